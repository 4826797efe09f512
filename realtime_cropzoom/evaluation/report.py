"""The report of an evaluation: one HTML file with all pictures inside, without scripts, that prints on A4.

The order is that of a reader with two minutes: verdict, five numbers, what to do, figures, worst frames, method.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath

import numpy as np

from realtime_cropzoom import __version__
from realtime_cropzoom.errors import pluralize
from realtime_cropzoom.evaluation import findings, measures
from realtime_cropzoom.evaluation.judgement import SURE, Judgement
from realtime_cropzoom.evaluation.measures import ErrorSummary
from realtime_cropzoom.evaluation.page import escaped, sentence, sentences, whole_page
from realtime_cropzoom.evaluation.session import SessionFacts
from realtime_cropzoom.evaluation.session_findings import session_lines, session_signs
from realtime_cropzoom.evaluation.svg import ErrorRow, calibration_chart, error_chart, pck_chart, state_strip
from realtime_cropzoom.evaluation.what_to_label import exchanged, what_to_label
from realtime_cropzoom.evaluation.worst import worst_pictures
from realtime_cropzoom.inference.pose_quality import percent
from realtime_cropzoom.plots.overlay import palette
from realtime_cropzoom.train.verdict import FAR_ERROR, GOOD, GOOD_FAR_SHARE, USABLE, USABLE_FAR_SHARE
from realtime_cropzoom.types import Float64

WORST = 20
"""Number of frames that are drawn."""
_FEW_IN_BIN = 10
"""Number of keypoints below which a bar of the calibration says little."""
_COLOURS = {"good": "#1b7f4b", "usable with care": "#b26a00", "poor": "#b3261e", "unknown": "#555"}
_PCK_STEPS = 200


@dataclass(frozen=True, slots=True)
class Report:
    """What a report is about."""

    title: str
    judged: Judgement | None
    """The numbers about labelled frames; None without labels."""
    next_commands: tuple[str, ...] = ()
    """The commands that pick frames to label, one after the other; empty without a project."""
    facts: SessionFacts | None = None
    """The numbers about a session; None if none was given."""
    too_short: str = ""
    """A sentence if the training of the models was too short; empty if not, or unknown."""
    way_back: str = ""
    """The command that puts the models before back; empty if they are not there."""


def report_html(report: Report) -> str:
    """Return the report. Raises DataError if the image of a worst frame cannot be read."""
    judged, parts = report.judged, [_title(report)]
    if judged is not None:
        parts += [_verdict(judged, report.way_back), _numbers(judged)]
    if report.facts is not None:
        parts.append(_session(report.facts))
    parts.append(_to_do(report))
    if judged is not None:
        parts += [_figures(judged), _tables(judged), _worst(judged), _method(report)]
    return whole_page(report.title, parts)


def _title(report: Report) -> str:
    judged, when = report.judged, datetime.now().strftime("%Y-%m-%d %H:%M")
    what = "no labelled frame: errors are unknown"
    if judged is not None:
        frames, recordings = pluralize(judged.frames, "frame"), pluralize(len(judged.by_recording), "recording")
        unseen = judged.results.truth.unseen
        what = f"{frames} of {recordings}" + (" that the models were not trained on" if unseen else "")
    return (
        f"<h1>{escaped(report.title)}</h1><p class=small>{escaped(what)} · {when} · cropzoom {escaped(__version__)}</p>"
    )


def _verdict(judged: Judgement, way_back: str) -> str:
    found, worse = findings.verdict(judged), findings.worse(judged, way_back)
    word, colour = found.word.capitalize(), _COLOURS[found.word]
    if worse:
        word += f", {'but' if found.word == 'good' else 'and'} worse than the models before"
        colour = _COLOURS["usable with care"] if found.word == "good" else colour
    before = "".join(f"<p>{escaped(sentence(line))}</p>" for line in worse)
    if worse and way_back:
        before += f"<p class=small><code>{escaped(way_back)}</code></p>"
    reason = f"<p>{escaped(sentence(found.reason))}</p>"
    return f'<div class=verdict style="--c:{colour}"><b>{escaped(word)}</b>{before}{reason}</div>'


def _session(facts: SessionFacts) -> str:
    return (
        f"<h2>The session as a whole, without labels</h2>{state_strip(facts.states)}{sentences(session_lines(facts))}"
    )


def _numbers(judged: Judgement) -> str:
    wrong, trusted = judged.sure_and_wrong
    part = findings.part_of_body(judged.median.value, judged.body_px)
    tiles = [
        ("median error", _px(judged.median.value), f"{part} of body length" if part else ""),
        (f"within {judged.within_px:g} px", _share(judged.within), "of all keypoints"),
        ("animal found", _share(judged.tracked / judged.frames), f"{judged.tracked} of {judged.frames} frames"),
        ("box holds all", _share(judged.boxed / judged.frames), f"{judged.boxed} of {judged.frames} frames"),
        ("sure and wrong", str(wrong), f"of {trusted} keypoints that a rule would trust"),
    ]
    cells = (f"<div>{escaped(name)}<b>{escaped(number)}</b><span class=small>{escaped(more)}</span></div>"
             for name, number, more in tiles)  # fmt: skip
    return f"<div class=numbers>{''.join(cells)}</div>{sentences(findings.uncertainty(judged))}"


def _to_do(report: Report) -> str:
    judged, parts, advice = report.judged, [], list[str]()
    if judged is not None:
        advice += what_to_label(judged, report.too_short)
        if judged.comparison is not None and not judged.is_worse:
            parts.append(f"<h2>Compared with the models before</h2>{sentences([findings.compared(judged.comparison)])}")
    if report.facts is not None:
        advice += session_signs(report.facts)
    advice = advice or ["nothing stands out: label frames in which the models are unsure"]
    items = "".join(f"<li>{escaped(sentence(line))}</li>" for line in advice)
    commands = "".join(f"<p><code>{escaped(command)}</code></p>" for command in report.next_commands)
    parts.append(f"<h2>What to label next</h2><ul>{items}</ul>{commands}")
    return "".join(parts)


def _figures(judged: Judgement) -> str:
    colours = ["rgb({},{},{})".format(*colour) for colour in palette(len(judged.names))]
    rows = [
        ErrorRow(name, colour, each.median_px, each.p95_px)
        for (name, each), colour in zip(judged.by_keypoint.items(), colours, strict=True)
    ]
    distances = _distances(judged)
    shares = measures.share_within(judged.results.errors, distances)
    known = f" The animal is {judged.body_px:.0f} px long." if judged.body_px > 0 else ""
    charts = [
        _chart(
            "Error of each keypoint",
            f"Bar: median. Line: 95 % of the errors are smaller. Scales: pixels, and share of body length.{known}",
            error_chart(rows, judged.body_px),
        ),
        _chart(
            "How many keypoints are near their label",
            "The PCK curve: the share of keypoints within a distance of their label. A keypoint without a position "
            f"counts as a miss. Dashed: {judged.within_px:g} px.",
            pck_chart(distances.tolist(), shares.tolist(), judged.within_px, judged.body_px),
        ),
        _calibration(judged),
    ]
    return "".join(charts)


def _chart(title: str, text: str, svg: str) -> str:
    return f"<section><h2>{escaped(title)}</h2><p class=small>{escaped(text)}</p>{svg}</section>"


def _distances(judged: Judgement) -> Float64:
    """Return the distances of the PCK curve: to a quarter of the animal's length, and beyond the marked distance."""
    most = max(2 * judged.within_px, FAR_ERROR * judged.body_px if judged.body_px > 0 else 0)
    return np.linspace(0, most, _PCK_STEPS)


def _calibration(judged: Judgement) -> str:
    bins, title = judged.calibration, "Can the likelihood be trusted?"
    if not any(each.count for each in bins):
        return _chart(title, "This model gives no likelihood.", "")
    text = (
        "Bar: share of the keypoints with such a likelihood that are within "
        f"{judged.within_px:g} px of their label. Orange: what the likelihood itself says. Bars that end at the orange "
        f"line mean an honest likelihood; lower bars, one that is too sure. Pale: fewer than {_FEW_IN_BIN} keypoints, "
        "which say little."
    )
    return _chart(title, text, calibration_chart(bins, _FEW_IN_BIN))


def _tables(judged: Judgement) -> str:
    parts = ["<h2>Numbers</h2>", _table("keypoint", {**judged.by_keypoint, "all": judged.all}, judged.body_px)]
    if len(judged.by_recording) > 1:
        errors = {f"{name}: found in {each.tracked} of {pluralize(each.frames, 'frame')}": each.errors
                  for name, each in judged.by_recording.items()}  # fmt: skip
        parts.append(f"<p></p>{_table('recording', errors, judged.body_px)}")
    lines = [exchanged(judged, swap) for swap in judged.swaps]
    if judged.detector.count:
        lines.append(
            f"The detector's own keypoints, which place the box: median error {_px(judged.detector.median_px)}, 95 % "
            f"below {_px(judged.detector.p95_px)}"
        )
    return "".join(parts) + sentences(lines)


def _table(what: str, rows: dict[str, ErrorSummary], body_px: float) -> str:
    head = "".join(f"<th>{name}</th>" for name in (what, "n", "missing", "mean", "median", "95 %", "median / body"))
    lines = []
    for name, row in rows.items():
        part = findings.part_of_body(row.median_px, body_px) or "–"
        cells = (name, row.count, row.missing, _px(row.mean_px), _px(row.median_px), _px(row.p95_px), part)
        lines.append(f"<tr>{''.join(f'<td>{escaped(cell)}</td>' for cell in cells)}</tr>")
    rows_html = "".join(lines)
    return f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>{rows_html}</tbody></table></div>"


def _worst(judged: Judgement) -> str:
    truth, figures = judged.results.truth, []
    for frame in worst_pictures(judged.results, WORST):
        error = f"mean error {_px(frame.error_px)}" if np.isfinite(frame.error_px) else "a keypoint is missing"
        state = "" if judged.results.tracking[frame.row] else ", not tracked"
        image = f"{truth.recordings[frame.row]} {PurePosixPath(truth.images[frame.row]).name}"
        caption = escaped(f"{image}: {error}{state}")
        figures.append(f'<figure><img src="{frame.picture}" alt=""><figcaption>{caption}</figcaption></figure>')
    dots = "".join(
        f'<span class=key><span class=dot style="background:rgb({r},{g},{b})"></span>{escaped(name)}</span> '
        for name, (r, g, b) in zip(judged.names, palette(len(judged.names)), strict=True)
    )
    return (
        f"<h2>The {len(figures)} worst frames</h2><p class=small>Cross: label. Dot: prediction, hollow below a "
        f"likelihood of {SURE:g}. If the cross is wrong, correct the label.{dots}</p>"
        f"<div class=worst>{''.join(figures)}</div>"
    )


def _method(report: Report) -> str:
    judged = report.judged
    notes = () if judged is None else judged.results.truth.notes
    how = (
        "Each frame was given to the models as a live run does with its default settings: the detector makes a box "
        "from the whole frame, the pose model sees the box"
        if report.facts is None
        else "The poses are those of the session, as they were when it ran. A frame without a pose counts as missing"
    )
    lines = [
        how,
        "Mean, median and 95 % are about keypoints with a position; missing ones are counted beside them, and are "
        "misses in every share",
        "The length of the animal is the median, over the frames, of the largest distance between two labels",
        f"Good: found in {percent(findings.GOOD_TRACKED)} of the frames, median error up to {percent(GOOD)} of body "
        f"length, up to {percent(GOOD_FAR_SHARE)} of the keypoints missing or on a wrong place. Usable with care: "
        f"{percent(findings.USABLE_TRACKED)}, {percent(USABLE)}, {percent(USABLE_FAR_SHARE)}",
        f"Found: the state is 'tracking'. Sure: found, and a likelihood of {SURE:g} or more, as rules ask for "
        f"unless told otherwise. Wrong: off by more than {percent(FAR_ERROR)} of the animal's length",
        "Human labels differ by a few pixels, too: an error of that size cannot be told from that of the labels",
        *notes,
    ]
    return f"<h2>How this was measured</h2>{sentences(lines)}"


def _px(value: float) -> str:
    return f"{value:.1f} px" if np.isfinite(value) else "–"


def _share(value: float) -> str:
    return percent(value) if np.isfinite(value) else "–"
