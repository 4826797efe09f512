"""``frames.csv``: what is written is read, and names of recordings stay apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.labelling.frame_table import (
    FrameRow,
    image_path,
    read_frame_table,
    unique_folder,
    write_frame_table,
)
from realtime_cropzoom.project.folder import Project
from realtime_cropzoom.project.schema import ProjectFile

ROWS = (
    FrameRow("frames/a/img00000012.png", "/videos/a.mp4", 12, 1, "k-means"),
    FrameRow("frames/b, 2/img00000003.png", '/videos/b, "2".mp4', 3, 2),
)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path, ProjectFile(keypoints=("nose",)))


def test_what_is_written_is_read(project: Project) -> None:
    assert read_frame_table(project) == ()
    project.frames_folder.mkdir()
    write_frame_table(project, ROWS)
    assert read_frame_table(project) == ROWS
    assert ROWS[1].folder == "b, 2"
    assert image_path("a", 12) == ROWS[0].image


def test_each_recording_has_a_folder_of_its_own() -> None:
    assert unique_folder("a", "/videos/a.mp4", ROWS) == "a"
    assert unique_folder("A", "/others/A.mp4", ROWS) == "A-2"
    assert unique_folder("c", "/others/c.mp4", ROWS) == "c"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,frame\n", "has no column recording, round, why"),
        ("image,recording,frame,round,why\nframes/../x.png,a,1,1,\n", "expected frames/RECORDING"),
        ("image,recording,frame,round,why\nframes/a/x.png,a,one,1,\n", "the number of its frame"),
        (
            "image,recording,frame,round,why\nframes/a/1.png,a,1,1,\nframes/a/2.png,a,2,1,\nframes/a/1.png,a,1,1,\n",
            "got frames/a/1.png in lines 2 and 4, expected it once",
        ),
    ],
)
def test_a_damaged_table_is_refused(project: Project, text: str, message: str) -> None:
    project.frames_folder.mkdir()
    project.frames_table.write_text(text)
    with pytest.raises(DataError, match=message):
        read_frame_table(project)
