"""``cropzoom evaluate``: how good are the models of a project, or others?"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realtime_cropzoom.cli import terminal
from realtime_cropzoom.cli.common import say_next
from realtime_cropzoom.cli.values import a_path, a_session, number, whole
from realtime_cropzoom.errors import ConfigError, DataError
from realtime_cropzoom.runtime.signals import signals_held_back

if TYPE_CHECKING:
    from realtime_cropzoom.evaluation import EvaluationSummary
    from realtime_cropzoom.project.folder import Project

_OTHER_FORMATS = (".h5", ".hdf5", ".slp", ".json", ".pkl", ".mat")
"""Endings of label files that only ``cropzoom labels import`` reads."""


def register(commands: Any) -> None:
    """Add the command to the parser."""
    evaluate = commands.add_parser("evaluate", help="how good are the models of a project? A report of two minutes")
    evaluate.add_argument(
        "project", type=a_path, metavar="PROJECT",
        help="folder of a project, with trained models; with --pose, a label file (CSV)",
    )  # fmt: skip
    evaluate.add_argument(
        "of", nargs="?", metavar="SESSION|LABELS",
        help="a session of this project, or a label file (CSV) of other frames (default: the frames that the training "
        "held out)",
    )  # fmt: skip
    evaluate.add_argument(
        "--within", type=number(0.1, 1000, "pixels"), default=5.0, metavar="PX",
        help="largest error of a keypoint that counts as right (default: 5)",
    )  # fmt: skip
    others = evaluate.add_argument_group("models without a project")
    others.add_argument("--detector", metavar="MODEL", help="the detector, as in 'cropzoom run' (default: none)")
    others.add_argument("--pose", metavar="MODEL", help="the pose model, as in 'cropzoom run'")
    others.add_argument(
        "--crop-size", type=whole(1, 8192, "pixels"), metavar="PX",
        help="side of the box (default: that of the training of the pose model)",
    )  # fmt: skip
    others.add_argument("--out", type=a_path, metavar="DIR", help="folder of the report (default: evaluation)")
    evaluate.set_defaults(command=_evaluate)


def _evaluate(arguments: argparse.Namespace) -> int:
    if (arguments.pose or arguments.detector) and not arguments.project.exists():
        raise DataError(f"there is no {arguments.project}; expected a label file (CSV)")
    if arguments.pose is not None:
        _print(_of_models(arguments))
        return 0
    others = {"--detector": arguments.detector, "--crop-size": arguments.crop_size, "--out": arguments.out}
    if given := [flag for flag, value in others.items() if value is not None]:
        raise ConfigError(f"{given[0]} is for models without a project. Give --pose as well, and a label file (CSV)")
    with signals_held_back():
        from realtime_cropzoom.project.folder import load_project

    summary = _of_project(load_project(arguments.project), arguments.of, arguments.within)
    _print(summary)
    if summary.facts is None:
        say_next("run", "RECORDING", "--project", arguments.project, "--pace", "fast")
    say_next("frames", arguments.project, "--uncertain", "latest" if summary.facts is None else arguments.of)
    return 0


def _print(summary: EvaluationSummary) -> None:
    print(*summary.lines, sep="\n")
    print(f"report: {summary.report}")


def _of_project(project: Project, of: str | None, within_px: float) -> EvaluationSummary:
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


def _of_models(arguments: argparse.Namespace) -> EvaluationSummary:
    """Judge the models that the flags name on a label file."""
    with signals_held_back():
        from realtime_cropzoom.evaluation import evaluate_models
        from realtime_cropzoom.evaluation.still import StillTracker
        from realtime_cropzoom.inference.model_paths import model_path

    csv: Path = arguments.project
    if arguments.of is not None or not _is_labels(csv):
        given = csv if arguments.of is None else arguments.of
        raise ConfigError(f"evaluate --pose: got {given}, expected one label file (CSV), without a project")
    detector = None if arguments.detector in (None, "none") else model_path(arguments.detector, "detector")
    models = StillTracker(detector, model_path(arguments.pose, "pose"), arguments.crop_size)
    folder = arguments.out or Path("evaluation")
    return evaluate_models(models, csv, folder, within_px=arguments.within, progress=_show)


def _is_labels(path: Path) -> bool:
    """Return whether a file holds labels: a table in DeepLabCut's form without likelihoods. Raises DataError."""
    from realtime_cropzoom.sessions.dlc_csv import read_header

    return path.is_file() and not any(coord == "likelihood" for _, coord in read_header(path).columns)


def _show(done: int, of: int) -> None:
    """Show the progress on a terminal."""
    if sys.stderr.isatty() and (done % 10 == 0 or done == of):
        terminal.say(f"frame {done} of {of}")
