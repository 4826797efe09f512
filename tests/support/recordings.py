"""What the tests of recordings read of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pandas as pd

from realtime_cropzoom.types import UInt8
from support.pipelines import (
    Files,
)

FULL_DISK = """
import resource, sys
from realtime_cropzoom.cli.main import main
limit = int(sys.argv.pop(1))
sys.dont_write_bytecode = True  # half of a file of bytecode would stay for all others
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sys.exit(main())
"""


def read_video(path: Path) -> tuple[list[UInt8], list[float]]:
    """All frames of a video, and their times."""
    with av.open(str(path)) as container:
        frames = [
            (np.asarray(frame.to_ndarray(format="rgb24"), np.uint8), float(frame.time))
            for frame in container.decode(video=0)
        ]
    return [np.asarray(image, np.uint8) for image, _ in frames], [seconds for _, seconds in frames]


def read_table(video: Path) -> pd.DataFrame:
    return pd.read_csv(video.with_name(f"{video.stem}_recording.csv"), index_col=0, dtype={"dropped": "string"})


def check_recording(files: Files, video: Path) -> list[int]:
    """Every captured frame is recorded or dropped, in all that counts them; returns the recorded ones."""
    table = read_table(video)
    (summary,) = [entry for entry in files.summary["recordings"] if entry["file"] == video.name]
    assert list(table.index) == list(files.timing.index)
    recorded = table["recorded"].dropna()
    assert recorded.tolist() == list(range(len(recorded)))
    assert (table["recorded"].isna() == table["dropped"].notna()).all()
    assert summary["frames"] == len(recorded) == len(read_video(video)[0])
    dropped = {why: n for why, n in summary["dropped"].items() if n}
    assert dropped == table["dropped"].value_counts().drop("no_box", errors="ignore").to_dict()
    return recorded.index.tolist()


def same_poses(replayed: Files, live: Files, frames: list[int]) -> None:
    """Cell by cell, as they are written."""
    rows, again = live.rows("")[3:], replayed.rows("")[3:]
    assert [row[1:] for row in again] == [rows[frame][1:] for frame in frames]


def recorded_rows(out: Path, at_least: int) -> Callable[[], bool]:
    def check() -> bool:
        return any(p.read_bytes().count(b"\n") > at_least for p in out.glob("*/*_recording.csv"))

    return check
