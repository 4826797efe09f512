"""``cropzoom evaluate``: how good are the models of a project?"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realtime_cropzoom.cli import terminal
from realtime_cropzoom.cli.common import say_next
from realtime_cropzoom.cli.values import a_path, a_session, number
from realtime_cropzoom.errors import DataError
from realtime_cropzoom.runtime.signals import signals_held_back

if TYPE_CHECKING:
    from realtime_cropzoom.evaluation import EvaluationSummary
    from realtime_cropzoom.project.folder import Project

_OTHER_FORMATS = (".h5", ".hdf5", ".slp", ".json", ".pkl", ".mat")
"""Endings of label files that only ``cropzoom labels import`` reads."""


def register(commands: Any) -> None:
    """Add the command to the parser."""
    evaluate = commands.add_parser("evaluate", help="how good are the models of a project? A report of two minutes")
    evaluate.add_argument("project", type=a_path, metavar="PROJECT", help="folder of a project, with trained models")
    evaluate.add_argument(
        "of", nargs="?", metavar="SESSION|LABELS",
        help="a session of this project, or a label file (CSV) of other frames (default: the frames that the training "
        "held out)",
    )  # fmt: skip
    evaluate.add_argument(
        "--within", type=number(0.1, 1000, "pixels"), default=5.0, metavar="PX",
        help="largest error of a keypoint that counts as right (default: 5)",
    )  # fmt: skip
    evaluate.set_defaults(command=_evaluate)


def _evaluate(arguments: argparse.Namespace) -> int:
    with signals_held_back():
        from realtime_cropzoom.project.folder import load_project

    project = load_project(arguments.project)
    summary = _summary(project, arguments.of, arguments.within)
    print(*summary.lines, sep="\n")
    print(f"report: {summary.report}")
    say_next("frames", arguments.project, "--uncertain", arguments.of if summary.facts is not None else "SESSION")
    return 0


def _summary(project: Project, of: str | None, within_px: float) -> EvaluationSummary:
    with signals_held_back():
        from realtime_cropzoom.evaluation import evaluate_labels, evaluate_project, evaluate_session

    if of is None:
        return evaluate_project(project, within_px=within_px, progress=_show)
    path = a_path(of)
    if path.suffix.lower() in _OTHER_FORMATS:
        raise DataError(
            f"{path}: got a {path.suffix} file, expected a session or labels as CSV. Import it with: "
            f"cropzoom labels import {project.folder} {path}"
        )
    if _is_labels(path):
        return evaluate_labels(project, path, within_px=within_px, progress=_show)
    return evaluate_session(project, a_session(of), within_px=within_px)


def _is_labels(path: Path) -> bool:
    """Return whether a file holds labels: a table in DeepLabCut's form without likelihoods. Raises DataError."""
    from realtime_cropzoom.sessions.dlc_csv import read_header

    return path.is_file() and not any(coord == "likelihood" for _, coord in read_header(path).columns)


def _show(done: int, of: int) -> None:
    """Show the progress on a terminal."""
    if sys.stderr.isatty() and (done % 10 == 0 or done == of):
        terminal.say(f"frame {done} of {of}")
