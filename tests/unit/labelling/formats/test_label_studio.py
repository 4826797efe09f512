"""JSON of Label Studio, as its pages describe it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.labelling.formats.label_studio import is_label_studio, read_label_studio

PATH = Path("export.json")


def keypoint(name: str, x: float, y: float, **more: Any) -> dict[str, Any]:
    value = {"x": x, "y": y, "width": 0.5, "keypointlabels": [name]}
    return {"original_width": 200, "original_height": 100, "type": "keypointlabels", "value": value, **more}


def task(image: str, *results: Any, **more: Any) -> dict[str, Any]:
    return {"id": 1, "data": {"image": image}, "annotations": [{"result": list(results), **more}]}


def read(*tasks: Any) -> Any:
    assert is_label_studio(list(tasks))
    return read_label_studio(PATH, list(tasks))


@pytest.mark.parametrize(
    ("address", "image"),
    [
        ("/data/upload/3/0a1b2c3d-mouse__img00000012.png", "/data/upload/3/mouse__img00000012.png"),
        ("/data/local-files/?d=mouse/img12.png", "mouse/img12.png"),
        ("https://host/a%20b/img12.png?token=1", "/a b/img12.png"),
        ("s3://bucket/mouse/img12.png", "/mouse/img12.png"),
    ],
)
def test_percent_become_pixels_whatever_the_address(address: str, image: str) -> None:
    (entry,) = read(task(address, keypoint("nose", 25, 50), keypoint("tail", 33.333333333333336, 10))).entries
    assert (entry.image, entry.size) == (image, (200, 100))
    assert entry.points == {"nose": (50.0, 50.0), "tail": (66.666667, 10.0)}


def test_the_short_form_is_read() -> None:
    value = {"x": 25, "y": 50, "keypointlabels": ["nose"], "original_width": 200, "original_height": 100}
    (entry,) = read({"image": "/data/upload/1/0a1b2c3d-a.png", "keypoints": [value], "id": 4}).entries
    assert entry.points == {"nose": (50.0, 50.0)}


def test_the_newest_annotation_that_was_not_cancelled_counts() -> None:
    one = task("a.png")
    one["annotations"] = [
        {"result": [keypoint("nose", 1, 1)], "updated_at": "2026-01-03", "was_cancelled": True},
        {"result": [keypoint("nose", 2, 2)], "updated_at": "2026-01-02"},
        {"result": [keypoint("nose", 3, 3)], "updated_at": "2026-01-01"},
    ]
    file = read(one)
    assert [entry.points["nose"] for entry in file.entries] == [(4.0, 2.0)]
    assert file.notes == ("1 tasks were annotated more than once; in each the newest annotation counts",)


def test_a_name_that_comes_twice_and_a_box_are_animals() -> None:
    twice = read(task("a.png", keypoint("nose", 1, 1), keypoint("nose", 9, 9)))
    assert [entry.points["nose"] for entry in twice.entries] == [(2.0, 1.0), (18.0, 9.0)]
    links = [{"type": "relation", "from_id": f"k{i}", "to_id": f"box{i}"} for i in (1, 2)]
    boxes = read(task("a.png", keypoint("nose", 1, 1, id="k1"), keypoint("nose", 9, 9, id="k2"), *links))
    assert [entry.animal for entry in boxes.entries] == ["box1", "box2"]


def test_tasks_without_keypoints_are_refused() -> None:
    with pytest.raises(DataError, match="no task has a keypoint"):
        read(task("a.png", {"type": "choices", "value": {"choices": ["x"]}}))
    assert not is_label_studio([{"data": {"text": "hello"}}])
    assert not is_label_studio([])
