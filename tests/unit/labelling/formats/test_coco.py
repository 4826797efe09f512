"""COCO keypoints: the file alone, and the ``.zip`` of CVAT."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.labelled import NAMES, SIZE, coco, picture, pose

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.labelling.formats import json_text
from realtime_cropzoom.labelling.formats.coco import is_coco, read_coco, read_zip

OF_IMAGE_7 = {"id": 1, "image_id": 7, "category_id": 3}


def tree(tmp_path: Path) -> Any:
    xy = pose(1)
    xy[1] = np.nan
    return json.loads(coco(tmp_path / "a.json", {"m/img1.png": xy}).read_text())


def test_flag_0_is_no_label_and_all_others_are(tmp_path: Path) -> None:
    content = tree(tmp_path)
    content["annotations"][0]["keypoints"][2] = 1
    file = read_coco(tmp_path / "a.json", content)
    (entry,) = file.entries
    assert (file.keypoint_names, entry.image, entry.size) == (NAMES, "m/img1.png", SIZE)
    assert tuple(entry.points) == ("nose", "ear_r", "tail_base")
    assert entry.points["nose"] == tuple(pose(1)[0])


def test_the_track_of_cvat_tells_animals_apart(tmp_path: Path) -> None:
    content = tree(tmp_path)
    content["annotations"].append({**content["annotations"][0], "id": 2, "attributes": {"track_id": 5}})
    assert [entry.animal for entry in read_coco(tmp_path / "a.json", content).entries] == ["", "5"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"categories": [{"id": 3, "name": "mouse"}]}, "its categories have no keypoints"),
        ({"images": []}, "annotation 1 names an image or category it lacks"),
        (
            {"annotations": [{"id": 1, "image_id": 7, "category_id": 3, "keypoints": [1, 2, 2]}]},
            "3 values; expected 12",
        ),
        ({"annotations": [{"id": 1, "image_id": 7, "category_id": 3, "keypoints": [1e400] * 12}]}, "finite numbers"),
        ({"annotations": [{"id": [], "image_id": {}, "category_id": 3}]}, "names an image or category it lacks"),
    ],
)
def test_parts_that_do_not_fit_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_coco(tmp_path / "a.json", {**tree(tmp_path), **change})


def test_a_zip_gives_its_pictures_and_unpacks_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("annotations/person_keypoints_default.json", json.dumps(tree(tmp_path)))
        archive.writestr("images/default/m/img1.png", cv2.imencode(".png", picture("m", 1)[:, :, ::-1])[1].tobytes())
        archive.writestr("../../outside.png", b"x")
        archive.writestr("/etc/outside.json", "{}")
    before = sorted(tmp_path.parent.iterdir())
    ((entry,),) = [file.entries for file in read_zip(path)]
    assert entry.picture is not None
    assert np.array_equal(entry.picture(), picture("m", 1))
    assert sorted(tmp_path.parent.iterdir()) == before


@pytest.mark.parametrize("content", [b"PK no zip", None])
def test_a_zip_of_another_kind_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.zip"
    if content is None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("notes.json", "[1]")
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.zip"):
        read_zip(path)


def test_other_json_is_no_coco_and_damaged_json_is_refused(tmp_path: Path) -> None:
    assert not is_coco([])
    assert not is_coco({"images": []})
    for text in (b"{", b"\xff", b"[" * 100_000):
        with pytest.raises(DataError, match="it is no JSON"):
            json_text.parse(tmp_path / "a.json", text)


def test_only_finite_numbers_count() -> None:
    values = [1, 2.5, True, None, "1", float("nan"), float("inf"), 10**400]
    assert [json_text.number(value) for value in values] == [1.0, 2.5, *[None] * 6]
    assert json_text.size(640, 480.0) == (640, 480)
    assert json_text.size(0, 480) is None
