"""Report: what the doctor found, as lines of text and as values for JSON. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from realtime_cropzoom.checks.doctor.facts import Facts, SessionFacts
from realtime_cropzoom.checks.doctor.finding import Finding
from realtime_cropzoom.checks.doctor.samples import Sampled
from realtime_cropzoom.inference.pose_quality import percent

ALL_WELL = "All is well: nothing was found that hinders"


def report_lines(sampled: Sampled, facts: Facts, findings: Sequence[Finding], models: str) -> list[str]:
    """Return what was found, one line for each thing.

    Args:
        sampled: The samples.
        facts: What was measured on them.
        findings: The causes, the most likely first.
        models: The models, in a few words.
    """
    of = f" of {sampled.count}" if sampled.count is not None else ""
    width, height = facts.frame_size
    lines = [f"{sampled.name}: looked at {len(sampled.samples)}{of} frames, {width}×{height}, with {models}"]
    if facts.session is not None:
        lines.append(_session_line(facts.session))
    lines.append(_seen_line(facts))
    if not findings:
        return [*lines, ALL_WELL]
    for number, finding in enumerate(findings, 1):
        stop = "" if finding.text.endswith("?") else "."
        lines += [f"{number}. {finding.text}{stop}", f"   What to do: {finding.advice}"]
    return lines


def _seen_line(facts: Facts) -> str:
    seen = facts.seen
    others = facts.session is not None and facts.session.models is not None
    who = "with the models of now, the animal is" if others else "animal"
    if facts.animals > 1:
        who = f"{'with the models of now, ' if others else ''}of {facts.animals} animals, the one that is seen best is"
    text = f"{who} found in {seen.found} of {seen.frames} frames ({percent(seen.share)})"
    if seen.likelihood is not None:
        text += f"; likelihood {seen.likelihood:.2f} (median of all keypoints)"
    return text + ("" if seen.length_px is None else f"; {seen.length_px:.0f} px long")


def _session_line(session: SessionFacts) -> str:
    which = "" if session.models is None else f" (with {session.models})"
    text = f"the session{which}: tracked in {percent(session.tracked)} of {session.frames} frames"
    if session.longest_lost is not None:
        begin, end = session.longest_lost
        text += f"; longest without the animal: frames {begin} to {end - 1}"
    if session.skipped > 0.05:
        text += f"; {percent(session.skipped)} of the frames were skipped: the machine does not keep up"
    return text


def report_values(sampled: Sampled, facts: Facts, findings: Sequence[Finding], models: str) -> dict[str, Any]:
    """Return the same as values for JSON; arguments as of ``report_lines``."""
    return {
        "source": sampled.name,
        "models": models,
        "found": facts.seen.share,
        "findings": [asdict(finding) for finding in findings],
        "facts": asdict(facts),
        "frames": [sample.number for sample in sampled.samples],
    }
