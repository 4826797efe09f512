"""The report of an evaluation: one HTML file with all pictures inside, without scripts, that prints on A4.

The order is that of a reader with two minutes: verdict, five numbers, what to do, figures, worst frames, method.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np

from realtime_cropzoom import __version__
from realtime_cropzoom.errors import pluralize
from realtime_cropzoom.evaluation import findings, measures
from realtime_cropzoom.evaluation.judgement import SURE, Judgement
from realtime_cropzoom.evaluation.measures import ErrorSummary
from realtime_cropzoom.evaluation.page import escaped, sentence, sentences, whole_page
from realtime_cropzoom.evaluation.svg import ErrorRow, calibration_chart, error_chart, pck_chart
from realtime_cropzoom.evaluation.worst import worst_pictures
from realtime_cropzoom.inference.pose_quality import percent
from realtime_cropzoom.plots.overlay import palette
from realtime_cropzoom.train.verdict import FAR_ERROR
from realtime_cropzoom.types import Float64

WORST = 20
"""Number of frames that are drawn."""
_FEW_IN_BIN = 10
"""Number of keypoints below which a bar of the calibration says little."""
_COLOURS = {"good": "#1b7f4b", "usable with care": "#b26a00", "poor": "#b3261e", "unknown": "#555"}
_PCK_STEPS = 200


def report_html(judged: Judgement, title: str, next_command: str) -> str:
    """Return the report.

    Args:
        judged: The numbers.
        title: What was judged.
        next_command: The command that helps to get better models.

    Raises:
        DataError: if the image of a worst frame cannot be read.
    """
    body = [
        _head(judged, title),
        _numbers(judged),
        _to_do(judged, next_command),
        _figures(judged),
        _tables(judged),
        _worst(judged),
        _method(judged),
    ]
    return whole_page(title, body)


def _head(judged: Judgement, title: str) -> str:
    verdict, when = findings.verdict(judged), datetime.now().strftime("%Y-%m-%d %H:%M")
    reason = verdict.reason[0].upper() + verdict.reason[1:]
    frames = pluralize(judged.frames, "frame")
    recordings = pluralize(len(judged.by_recording), "recording")
    return (
        f"<h1>{escaped(title)}</h1><p class=small>{frames} of {recordings} that the models were not trained on · "
        f"{when} · cropzoom {escaped(__version__)}</p>"
        f'<div class=verdict style="--c:{_COLOURS[verdict.word]}"><b>{escaped(verdict.word.capitalize())}</b>'
        f"<p>{escaped(reason)}.</p></div>"
    )


def _numbers(judged: Judgement) -> str:
    wrong, trusted = judged.sure_and_wrong
    body = f"{judged.median.value / judged.body_px:.1%} of body length" if judged.body_px > 0 else ""
    tiles = [
        ("median error", _px(judged.median.value), body),
        (f"within {judged.within_px:g} px", _share(judged.within), "of all keypoints"),
        ("animal found", _share(judged.tracked / judged.frames), f"{judged.tracked} of {judged.frames} frames"),
        ("box holds all", _share(judged.boxed / judged.frames), f"{judged.boxed} of {judged.frames} frames"),
        ("sure and wrong", str(wrong), f"of {trusted} keypoints that a rule would trust"),
    ]
    cells = (f"<div>{escaped(name)}<b>{escaped(number)}</b><span class=small>{escaped(more)}</span></div>"
             for name, number, more in tiles)  # fmt: skip
    return f"<div class=numbers>{''.join(cells)}</div>{sentences(findings.uncertainty(judged))}"


def _to_do(judged: Judgement, next_command: str) -> str:
    parts = []
    if judged.comparison is not None:
        parts.append(f"<h2>Compared with the models before</h2>{sentences([findings.compared(judged.comparison)])}")
    advice = findings.what_to_label(judged)
    none = ["No keypoint, recording or kind of frame stands out: label frames in which the models are unsure"]
    items = "".join(f"<li>{escaped(sentence(line))}</li>" for line in advice or none)
    parts.append(f"<h2>What to label next</h2><ul>{items}</ul><p><code>{escaped(next_command)}</code></p>")
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
    parts = [
        "<h2>Error of each keypoint</h2><p class=small>Bar: median. Line: 95 % of the errors are smaller."
        f"{known}</p>{error_chart(rows, judged.body_px)}",
        "<h2>How many keypoints are near their label</h2><p class=small>The PCK curve: the share of keypoints within a "
        f"distance of their label. A keypoint without a position counts as a miss. Dashed: {judged.within_px:g} px.</p>"
        f"{pck_chart(distances.tolist(), shares.tolist(), judged.within_px, judged.body_px)}",
        _calibration(judged),
    ]
    return "".join(parts)


def _distances(judged: Judgement) -> Float64:
    """Return the distances of the PCK curve: to a quarter of the animal's length, and beyond the marked distance."""
    most = max(2 * judged.within_px, FAR_ERROR * judged.body_px if judged.body_px > 0 else 0)
    return np.linspace(0, most, _PCK_STEPS)


def _calibration(judged: Judgement) -> str:
    bins = judged.calibration
    if not any(each.count for each in bins):
        return "<h2>Can the likelihood be trusted?</h2><p>This model gives no likelihood.</p>"
    return (
        "<h2>Can the likelihood be trusted?</h2><p class=small>Bar: share of the keypoints with such a likelihood that "
        f"are within {judged.within_px:g} px of their label. Orange: what the likelihood itself says. Bars that end at "
        "the orange line mean an honest likelihood; lower bars, one that is too sure. Pale: fewer than "
        f"{_FEW_IN_BIN} keypoints, which say little.</p>{calibration_chart(bins, _FEW_IN_BIN)}"
    )


def _tables(judged: Judgement) -> str:
    parts = ["<h2>Numbers</h2>", _table("keypoint", {**judged.by_keypoint, "all": judged.all}, judged.body_px)]
    if len(judged.by_recording) > 1:
        parts.append(f"<p></p>{_table('recording', judged.by_recording, judged.body_px)}")
    lines = []
    for swap in judged.swaps:
        one, other = (judged.names[k] for k in swap.pair)
        lines.append(f"{one} and {other} exchanged: {swap.swapped} of {pluralize(swap.count, 'frame')}")
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
        part = f"{row.median_px / body_px:.1%}" if body_px > 0 and np.isfinite(row.median_px) else "–"
        cells = (name, row.count, row.missing, _px(row.mean_px), _px(row.median_px), _px(row.p95_px), part)
        lines.append(f"<tr>{''.join(f'<td>{escaped(cell)}</td>' for cell in cells)}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _worst(judged: Judgement) -> str:
    truth, figures = judged.results.truth, []
    for frame in worst_pictures(judged.results, WORST):
        error = f"mean error {_px(frame.error_px)}" if np.isfinite(frame.error_px) else "a keypoint is missing"
        state = "" if judged.results.tracking[frame.row] else ", not tracked"
        caption = escaped(f"{truth.images[frame.row]}: {error}{state}")
        figures.append(f'<figure><img src="{frame.picture}" alt=""><figcaption>{caption}</figcaption></figure>')
    dots = "".join(
        f'<span class=dot style="background:rgb({r},{g},{b})"></span>{escaped(name)}'
        for name, (r, g, b) in zip(judged.names, palette(len(judged.names)), strict=True)
    )
    return (
        f"<h2>The {len(figures)} worst frames</h2><p class=small>Cross: label. Dot: prediction, hollow below a "
        f"likelihood of {SURE:g}. If the cross is wrong, correct the label.{dots}</p>"
        f"<div class=worst>{''.join(figures)}</div>"
    )


def _method(judged: Judgement) -> str:
    lines = [
        "Each frame was given to the models as a live run does with its default settings: the detector makes a box "
        "from the whole frame, the pose model sees the box",
        "Mean, median and 95 % are about keypoints with a position; missing ones are counted beside them, and are "
        "misses in every share",
        "The length of the animal is the median, over the frames, of the largest distance between two labels",
        f"Found: a live run would say 'tracking'. Sure: found, and a likelihood of {SURE:g} or more, as rules ask for "
        f"unless told otherwise. Wrong: off by more than {FAR_ERROR:.0%} of the animal's length",
        "Human labels differ by a few pixels, too: an error of that size cannot be told from that of the labels",
        *judged.results.truth.notes,
    ]
    return f"<h2>How this was measured</h2>{sentences(lines)}"


def _px(value: float) -> str:
    return f"{value:.1f} px" if np.isfinite(value) else "–"


def _share(value: float) -> str:
    return percent(value) if np.isfinite(value) else "–"
