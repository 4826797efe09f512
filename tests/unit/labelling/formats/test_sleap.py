"""``.slp`` and ``.pkg.slp``, written by sleap-io itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.labelled import NAMES, picture, pose, write_picture

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.labelling.formats.sleap import read_slp

sio: Any = pytest.importorskip("sleap_io", reason="sleap-io is not installed (extra labels)")


@pytest.fixture
def video(tmp_path: Path) -> Any:
    paths = [write_picture(tmp_path / "m" / f"img{i}.png", picture("m", i)) for i in range(3)]
    return sio.Video.from_filename([str(path) for path in paths])


def instance(index: int, **options: Any) -> Any:
    return sio.Instance.from_numpy(pose(index), sio.Skeleton(list(NAMES)), **options)


def save(path: Path, frames: list[Any], **options: Any) -> Path:
    for frame in frames:
        for one in frame.instances:
            one.skeleton = frames[0].instances[0].skeleton
    sio.Labels(frames).save(str(path), verbose=False, **options)
    return path


@pytest.mark.parametrize("embed", [False, "all"])
def test_labels_keep_every_bit(tmp_path: Path, video: Any, embed: Any) -> None:
    path = save(tmp_path / f"a{'.pkg' if embed else ''}.slp", [sio.LabeledFrame(video, 2, [instance(2)])], embed=embed)
    file = read_slp(path)
    (entry,) = file.entries
    assert (file.keypoint_names, entry.image, entry.frame) == (NAMES, video.filename[2], None)
    assert np.array_equal(list(entry.points.values()), pose(2))
    assert (entry.size, entry.predicted) == ((96, 64), False)
    if embed:
        assert entry.picture is not None
        assert np.array_equal(entry.picture(), picture("m", 2))


def test_a_keypoint_that_is_not_visible_has_no_label(tmp_path: Path, video: Any) -> None:
    one = instance(0)
    one.points["visible"][1] = False
    (entry,) = read_slp(save(tmp_path / "a.slp", [sio.LabeledFrame(video, 0, [one])])).entries
    assert tuple(entry.points) == ("nose", "ear_r", "tail_base")


def test_predictions_and_tracks_are_told_apart(tmp_path: Path, video: Any) -> None:
    predicted = sio.PredictedInstance.from_numpy(pose(1), sio.Skeleton(list(NAMES)), score=0.5)
    track = sio.Track("white")
    frames = [sio.LabeledFrame(video, 0, [instance(0, track=track)]), sio.LabeledFrame(video, 1, [predicted])]
    entries = read_slp(save(tmp_path / "a.slp", frames)).entries
    assert [(e.animal, e.predicted) for e in entries] == [("white", False), ("", True)]


def test_a_video_that_is_gone_is_named_with_its_frame(tmp_path: Path) -> None:
    video = sio.Video(filename="/gone/mouse.mp4", backend=None, open_backend=False)
    (entry,) = read_slp(save(tmp_path / "a.slp", [sio.LabeledFrame(video, 17, [instance(0)])])).entries
    assert (entry.image, entry.frame, entry.picture) == ("/gone/mouse.mp4", 17, None)


def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.slp").write_bytes(b"no HDF5")
    with pytest.raises(DataError, match=r"cannot read .*a\.slp") as caught:
        read_slp(tmp_path / "a.slp")
    assert "\n" not in str(caught.value)
