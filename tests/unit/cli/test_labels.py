"""``cropzoom labels``, as users type it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.labelled import deeplabcut_csv, label, make_project, pose

from realtime_cropzoom.cli.main import main
from realtime_cropzoom.sources.image_file import read_image

FRAMES = {"mouse": range(12)}


def labels_of_a_lab() -> dict[str, np.ndarray]:
    return {f"labeled-data/mouse/img{i:02d}.png": pose(i) for i in range(12)}


def test_labels_go_in_with_a_picture_and_the_next_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = make_project(tmp_path / "my mouse", FRAMES)
    file = deeplabcut_csv(tmp_path / "CollectedData.csv", labels_of_a_lab())
    assert main(["labels", "import", str(project.folder), str(file)]) == 0
    out, err = capsys.readouterr()
    assert out.replace("\n", " ").startswith(
        "12 labelled frames from CollectedData.csv (DeepLabCut): 12 new, 0 changed, 0 the same; 0 of before kept"
    )
    assert out.splitlines()[-1] == str(project.labels_folder / "contact_sheet.png")
    assert read_image(project.labels_folder / "contact_sheet.png").shape[0] > 200
    assert f"cropzoom train '{project.folder}'" in err


def test_a_second_import_says_what_changed_and_where_the_labels_of_before_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    project = make_project(tmp_path / "p", FRAMES)
    label(project, {f"frames/mouse/img{i:08d}.png": pose(i) for i in range(12)})
    labels = labels_of_a_lab()
    labels["labeled-data/mouse/img05.png"] = np.add(pose(5), (3.0, 4.0))
    labels["labeled-data/mouse/img06.png"][0] = np.nan
    file = deeplabcut_csv(tmp_path / "a.csv", labels)
    assert main(["labels", "import", str(project.folder), str(file)]) == 0
    text = capsys.readouterr().out
    assert "0 new, 1 changed, 11 the same; 0 of before kept" in text
    assert "moved: 5.0 px in the mean, most in frames/mouse/img00000005.png: 5.0 px" in text
    assert "kept: 1 label that the file does not have, first nose of frames/mouse/img00000006.png" in text
    assert "the labels of before are in" in text


def test_a_missing_picture_or_a_contact_sheet_that_cannot_be_written_undoes_no_import(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    project = make_project(tmp_path / "p", FRAMES)
    label(project, {f"frames/mouse/img{i:08d}.png": pose(i) for i in range(12)})
    (project.folder / "frames/mouse/img00000003.png").unlink()
    labels = {image: xy for image, xy in labels_of_a_lab().items() if "img03" not in image}
    file = deeplabcut_csv(tmp_path / "a.csv", labels)
    assert main(["labels", "import", str(project.folder), str(file)]) == 0
    out, err = capsys.readouterr()
    assert "1 picture cannot be read, so an empty tile is shown" in err
    assert "img00000003.png" in err
    assert out.splitlines()[-1].endswith("contact_sheet.png")
    (project.labels_folder / "contact_sheet.png").unlink()
    (project.labels_folder / "contact_sheet.png").mkdir()
    assert main(["labels", "import", str(project.folder), str(file)]) == 0
    err = capsys.readouterr().err
    assert "the labels are imported, but there is no picture of them" in err
    assert "--out" not in err


@pytest.mark.parametrize("program", ["deeplabcut", "coco"])
def test_frames_go_out_and_never_over_labels_that_nobody_has_imported(
    tmp_path: Path, program: str, capsys: pytest.CaptureFixture[str]
) -> None:
    project = make_project(tmp_path / "p", FRAMES)
    for name in (program, f"{program}-2"):
        assert main(["labels", "export", str(project.folder), "--to", program]) == 0
        out, err = capsys.readouterr()
        assert "12 frames: 0 with labels, 0 with predictions, 12 empty" in out
        assert f"labels/exports/{name}/" in out
        assert "docs/how-to/label.md" in out
        assert f"cropzoom labels import {project.folder}" in err
    there = str(project.exports_folder / program)
    assert main(["labels", "export", str(project.folder), "--to", program, "--out", there]) == 2
    assert "got a folder with files, expected a new or empty one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["export", "{project}", "--to", "sleep"],
            "expected one of deeplabcut, sleap, coco. Did you mean",
        ),
        (["import", "{project}", "{project}/gone.csv"], "there is no"),
        (["import", "{project}", "x.csv", "--rename", "nose"], "expected pairs such as leftear=ear_l"),
        (["import", "{project}", "x.csv", "--rename", "a=b,a=c"], "expected pairs such as"),
        (["import", "{nothing}", "x.csv"], "cropzoom init"),
        (["export", "{nothing}", "--to", "coco"], "cropzoom init"),
        (["export", "{project}", "--to", "coco"], "has no frames to label"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    project = make_project(tmp_path / "p")
    given = [text.format(project=project.folder, nothing=tmp_path) for text in arguments]
    assert main(["labels", *given]) == 2
    text = capsys.readouterr().err
    assert message in text
    assert len(text.strip().splitlines()) == 1
