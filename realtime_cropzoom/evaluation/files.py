"""The files of an evaluation: report and errors, written together, and what is kept for the next comparison."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from realtime_cropzoom.evaluation import findings
from realtime_cropzoom.evaluation.judgement import Judgement
from realtime_cropzoom.evaluation.report import Report, report_html
from realtime_cropzoom.evaluation.results import EarlierErrors, errors_text, read_errors
from realtime_cropzoom.evaluation.session import SessionFacts
from realtime_cropzoom.evaluation.session_findings import session_lines, session_signs
from realtime_cropzoom.files.atomic import MAKE_ROOM, make_folder, write_all

_MODELS, _BEFORE = "models.json", "before.csv"


@dataclass(frozen=True, slots=True)
class EvaluationSummary:
    """What an evaluation found, and where it is written."""

    lines: tuple[str, ...]
    """What to print."""
    report: Path
    errors: Path | None
    """The table of errors; None without labels."""
    judged: Judgement | None
    """All numbers about labelled frames; None without labels."""
    facts: SessionFacts | None = None
    """All numbers about a session."""


def earlier_errors(folder: Path, models: Mapping[str, str]) -> tuple[dict[Path, str], EarlierErrors | None]:
    """Return the files that say which models were judged last, and the errors of the models before; None if unknown.

    Args:
        folder: Folder of the evaluation.
        models: Digests of the models that are judged now, by role.

    Raises:
        DataError: if the errors cannot be read.
    """
    errors, before = folder / "errors.csv", folder / _BEFORE
    said = {folder / _MODELS: json.dumps(models, indent=2) + "\n"}
    try:
        known = json.loads((folder / _MODELS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = models
    if known == models:
        return said, read_errors(before) if before.is_file() else None
    if not errors.is_file():
        return said, None
    return {**said, before: errors.read_text(encoding="utf-8")}, read_errors(errors)


def write_evaluation(
    folder: Path, report: Report, suffix: str, files: Mapping[Path, str] | None = None
) -> EvaluationSummary:
    """Write report and errors, all or none.

    Args:
        folder: Their folder, which is made.
        report: What the report is about.
        suffix: End of their names.
        files: Further files to write with them.

    Returns:
        What to print, and all numbers.

    Raises:
        DataError: if the image of a worst frame cannot be read.
        SinkError: if a file cannot be written.
    """
    judged, facts = report.judged, report.facts
    html, errors = folder / f"report{suffix}.html", folder / f"errors{suffix}.csv"
    texts = {html: report_html(report), **(files or {})}
    if judged is not None:
        texts[errors] = errors_text(judged.results)
    make_folder(folder)
    write_all(texts, MAKE_ROOM)
    lines = [] if judged is None else _lines(judged, report.way_back)
    if facts is not None:
        lines += [*session_lines(facts), *session_signs(facts)]
    return EvaluationSummary(tuple(lines), html, None if judged is None else errors, judged, facts)


def _lines(judged: Judgement, way_back: str) -> list[str]:
    """Return the lines for the terminal: first that the models before were better, if so."""
    worse = findings.worse(judged, way_back)
    if worse and way_back:
        worse[-1] += f": {way_back}"
    lines = [*worse, *judged.results.truth.notes, *findings.headline(judged)]
    if judged.comparison is not None and not worse:
        lines.append(findings.compared(judged.comparison))
    return lines
