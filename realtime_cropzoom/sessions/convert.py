"""Export of a session to a file for other programs: one tidy table, DeepLabCut's H5, or NWB.

Each row is a frame of the video, so programs that read rows in order, such as ``movement``, stay aligned with it.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from realtime_cropzoom.errors import ConfigError, DataError, SinkError, error_text, install_advice
from realtime_cropzoom.files.replacing import replace_file
from realtime_cropzoom.sessions.files import Session
from realtime_cropzoom.sessions.h5_table import save_h5_table
from realtime_cropzoom.sessions.table import SessionTables, read_session, tidy

_EXTRAS = {"nwb": ("nwb", ("pynwb", "ndx_pose")), "h5": ("tables", ("tables",)), "parquet": ("tables", ("pyarrow",))}
"""The extra that each format needs, and the modules of that extra."""


def convert(
    run: Path,
    to: str,
    out: Path | None = None,
    *,
    video: str | Path | None = None,
    fps: float | None = None,
    overwrite: bool = False,
    calibration: Path | None = None,
) -> Path:
    """Write a session in the format of another program, and return the new file. It is complete or absent.

    Args:
        run: A session folder, or a file of predictions.
        to: The format: nwb, h5, parquet or csv.
        out: The new file; None puts it next to the poses.
        video: The video of the predictions. The rows are then its frames; None ends with the last frame that has a row.
        fps: Frame rate of predictions without frame times; None if they have times, or need none.
        overwrite: Whether to replace an existing file.
        calibration: File of a calibration, for coordinates in cm; None for the one of the run, if it has one.

    Raises:
        DataError: if the session cannot be read, or lacks what the format needs.
        SinkError: if the file exists, or cannot be written.
        ConfigError: if a library is missing, or the format does not exist.
    """
    write = _writer(to)
    path = export_path(run, "_table.csv" if to == "csv" else f".{to}") if out is None else out
    check_writable(path, run, overwrite=overwrite)
    tables = read_session(run, video=video, fps=fps, calibration=calibration)
    if not len(tables.poses):
        raise DataError(f"{tables.path} has no frames; there is nothing to convert")
    write_whole(path, lambda partial: write(partial, path, tables))
    return path


def export_path(run: Path, ending: str) -> Path:
    """Return the usual path of an export, next to the poses.

    Args:
        run: A session folder, or a file of predictions.
        ending: What replaces the suffix of the poses.

    Raises:
        DataError: if there is no such session.
    """
    poses = Session.open(run).poses
    return poses.with_name(poses.stem + ending)


def check_writable(path: Path, run: Path, *, overwrite: bool) -> None:
    """Check that an export may be written.

    Args:
        path: The new file.
        run: The session or file of predictions that it is made of.
        overwrite: Whether to replace an existing file.

    Raises:
        SinkError: if it exists and may not be replaced.
    """
    if not path.exists():
        return
    is_input = path.samefile(Session.open(run).poses)
    if is_input or not overwrite:
        advice = "it is the input; give another" if is_input else "add --overwrite, or give another"
        raise SinkError(f"{path} exists; {advice} with --out")


def _writer(to: str) -> Callable[[Path, Path, SessionTables], None]:
    """Return the function that writes a format. Raises ConfigError if a library that it needs is missing."""
    if to not in _WRITERS:
        raise ConfigError(f"unknown format {to}; expected one of {', '.join(_WRITERS)}")
    _, modules = _EXTRAS.get(to, ("", ()))
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ConfigError(f"{to}: {install_advice(error.name or module)}") from None
    return _WRITERS[to]


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Write under a temporary name first. After a failure the old file is unchanged and no other file stays.

    Args:
        path: The new file.
        write: Writes it to the path that it is given.

    Raises:
        SinkError: if it cannot be written.
    """
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        write(partial)
        replace_file(partial, path)
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error_text(error)}; give another file with --out") from error
    finally:
        with contextlib.suppress(OSError):  # after a success it does not exist
            partial.unlink()


def _write_csv(partial: Path, _: Path, tables: SessionTables) -> None:
    tidy(tables).to_csv(partial, index=False)


def _write_parquet(partial: Path, _: Path, tables: SessionTables) -> None:
    tidy(tables).to_parquet(partial, engine="pyarrow", index=False)


def _write_h5(partial: Path, _: Path, tables: SessionTables) -> None:
    """Write as DeepLabCut does: the three header rows are levels of the columns."""
    levels = [[tables.scorer], tables.keypoint_names, ("x", "y", "likelihood")]
    columns = pd.MultiIndex.from_product(levels, names=["scorer", "bodyparts", "coords"])
    table = pd.DataFrame(tables.poses.reshape(len(tables.poses), -1), columns=columns)
    save_h5_table(partial, table)


def _write_nwb(partial: Path, path: Path, tables: SessionTables) -> None:
    from realtime_cropzoom.sessions.nwb import write_nwb

    write_nwb(partial, tables, relative_to=path.parent)


_WRITERS = {"nwb": _write_nwb, "h5": _write_h5, "parquet": _write_parquet, "csv": _write_csv}
