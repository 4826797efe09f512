"""Doctor: samples of a source or a session, the models as they run, the causes, and the picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from realtime_cropzoom.checks.doctor.causes import find_causes
from realtime_cropzoom.checks.doctor.finding import Finding
from realtime_cropzoom.checks.doctor.measure import measure
from realtime_cropzoom.checks.doctor.report import report_lines, report_values
from realtime_cropzoom.checks.doctor.samples import of_region, take_samples
from realtime_cropzoom.checks.doctor.session import OfSession
from realtime_cropzoom.checks.doctor.sheet import draw_sheet
from realtime_cropzoom.checks.looking import Looker
from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.evaluation.results import count_tracked
from realtime_cropzoom.files.paths import is_file
from realtime_cropzoom.inference.model import Models
from realtime_cropzoom.pipeline.startup import load_models
from realtime_cropzoom.plots.image_files import write_png
from realtime_cropzoom.project.folder import load_project
from realtime_cropzoom.runtime.tuning import usable_cores

_UNLIKELY = 0.5
"""Likelihood below which a keypoint of models without limits of their own does not count."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the doctor found."""

    findings: tuple[Finding, ...]
    """What hinders, the most likely cause first; empty if nothing does."""
    lines: tuple[str, ...]
    """The report."""
    values: dict[str, Any]
    """The same, for JSON."""


def examine(
    settings: Settings,
    picture: Path,
    seconds: float,
    session: OfSession | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Diagnosis:
    """Find out why the animal is not found, and write a picture of what the models see.

    Args:
        settings: The source, and the models and boxes of the run.
        picture: The PNG to write.
        seconds: Time for which a camera or stream is looked at (s).
        session: The session whose frames are looked at; None for a source.
        say: Takes a line about what is done.

    Raises:
        CropzoomError: if the source or a model cannot be used, or the settings do not fit them.
    """
    if settings.regions:
        raise ConfigError(
            "the settings have regions, and the doctor looks at the animal of one. Run with them first, and give the "
            "file of one region: cropzoom doctor SESSION/NAME_REGION.csv"
        )
    settings, models = load_models(settings.model_copy(update={"pace": "fast"}), threads=usable_cores())
    looker = Looker(settings, models, _UNLIKELY)
    options = settings.source_options()
    sampled = take_samples(str(settings.source), options, seconds, None if session is None else session.wanted)
    if session is not None and session.region is not None:
        sampled = of_region(sampled, session.region)
    looker.make_ready((sampled.width, sampled.height))
    ran = None if session is None else replace(session.facts, models=_other_models(session.models, models))
    measured = measure(sampled, looker, ran, say)
    animals = settings.animals if session is None else session.animals
    facts = replace(measured.facts, animals=animals, held_out=_held_out(settings.project))
    findings = find_causes(facts)
    write_png(picture, draw_sheet(sampled, measured, looker))
    which = _words(models)
    return Diagnosis(
        tuple(findings),
        tuple(report_lines(sampled, facts, findings, which)),
        report_values(sampled, facts, findings, which) | {"picture": str(picture)},
    )


def _held_out(project: str | None) -> tuple[int, int] | None:
    """Return in how many of a project's held-out frames its models find the animal, and their number, if known."""
    errors = None if project is None else load_project(project).evaluation_folder / "errors.csv"
    return count_tracked(errors) if errors is not None and is_file(errors) else None


def _other_models(ran: Mapping[str, Any], models: Models) -> str | None:
    """Return the models of a run in a few words if others are used now; None if they are the same, or unknown."""
    used = {"detector": models.detector, "pose": models.pose}
    both = [(ran[role], model) for role, model in used.items() if model is not None and ran.get(role)]
    if all(of_run.get("sha256") == model.sha256 for of_run, model in both):
        return None
    if all(of_run.get("shipped") for of_run, _ in both):
        return "the shipped models"
    if all(of_run.get("path") == str(model.file.onnx) for of_run, model in both):
        return "earlier models from the same folders"
    return " and ".join(str(of_run.get("path")) for of_run, _ in both)


def _words(models: Models) -> str:
    """Return the models in a few words."""
    both = [model for model in (models.detector, models.pose) if model is not None]
    if all(model.is_shipped for model in both):
        return "the shipped models"
    return " and ".join(str(model.path) for model in both)
