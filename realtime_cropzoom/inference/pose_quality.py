"""Pose quality: counts during a run whether the poses look like an animal, and reports it in words at the end.

No I/O. Memory use does not grow with the run: it keeps counts, and histograms of likelihoods and body lengths.
Live and offline passes count in the same way. Poses are added one by one and counted in batches, which costs
one or two microseconds per frame.
"""

from __future__ import annotations

import enum
import textwrap
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from realtime_cropzoom.errors import advise, pluralize, quoted
from realtime_cropzoom.inference.manifest import Trained
from realtime_cropzoom.inference.manifest_words import trained_text
from realtime_cropzoom.inference.presence import Doubt
from realtime_cropzoom.types import Float32, Float64, Keypoints, State

MIN_FOUND_SHARE = 0.5
"""Minimum share of frames with an animal. Below it, the animal is probably not what the models were trained on."""
MAX_JUMP_SHARE = 0.05
"""Maximum share of poses with a jump. Above it, the models track another object, or two objects in turn."""
MAX_LENGTH_SPREAD = 1.0
"""Maximum range of the middle 80 % of body lengths, relative to their median."""
SHIPPED_KNOW = "one mouse seen from above, darker or brighter than the floor"
SHIPPED_ARE_FOR = f"The shipped models are for {SHIPPED_KNOW}."
OTHER_ANIMALS = "these models were trained on others"
FIRST_COMMANDS = "cropzoom init NAME --keypoints …, then cropzoom frames NAME VIDEO"
"""How to begin with models for another animal."""
TUTORIAL = "docs/tutorials/your-animal.md"
DO_NOT_FIT = "these models probably do not fit"

_BATCH = 128
_REPORT_COLUMNS = 80
"""Maximum width of the report of a file."""
_LIKELIHOOD_BINS = 101
_LENGTH_EDGES: Float64 = np.geomspace(0.5, 20_000, 700)
"""Edges of the bins of body lengths (px), each 1.5 % above the last."""


class InputKind(enum.StrEnum):
    """The input of the poses, as the sentences name it."""

    VIDEO = "this video"
    IMAGES = "these images"

    @property
    def one(self) -> str:
        """Word for one image of the input."""
        return "frame" if self is InputKind.VIDEO else "image"

    @property
    def kind(self) -> str:
        """Word for several inputs of this kind."""
        return "videos" if self is InputKind.VIDEO else "images"


class PoseQuality:
    """Counts states, doubts, likelihoods and body lengths of a run. Use it from one thread at a time."""

    def __init__(self, keypoint_names: Sequence[str]) -> None:
        self._names = tuple(keypoint_names)
        self._states: Counter[str] = Counter()
        self._doubts: Counter[str] = Counter()
        self._waiting: list[Keypoints] = []
        self._likelihoods = np.zeros((len(self._names), _LIKELIHOOD_BINS), np.int64)
        self._poses = 0
        self._lengths = np.zeros(len(_LENGTH_EDGES) + 1, np.int64)
        """Histogram of the body lengths of poses with all keypoints."""

    def add(self, state: State, found: Keypoints | None, doubt: Doubt | None) -> None:
        """Add a processed frame.

        Args:
            state: State of the frame.
            found: Its keypoints (frame pixels); None without a pose.
            doubt: Why its pose is not plausible; None if it is.
        """
        self._states[state.value] += 1
        if doubt is not None:
            self._doubts[doubt.value] += 1
        if found is not None:
            self._waiting.append(found)
            if len(self._waiting) == _BATCH:
                self._count()

    def summary(self) -> dict[str, Any]:
        """Return the counts for ``summary.json``: shares from 0 to 1, lengths in px, None if unknown."""
        self._count()
        frames, poses = sum(self._states.values()), self._poses
        low, middle, high = (_quantile(self._lengths, share) for share in (0.1, 0.5, 0.9))
        return {
            "frames": frames,
            "poses": poses,
            "found": round(self._states[State.TRACKING.value] / frames, 4) if frames else None,
            "states": {state.value: self._states[state.value] for state in State},
            "doubts": {doubt.value: self._doubts[doubt.value] for doubt in Doubt},
            "likelihood": {name: _likely(counts) for name, counts in zip(self._names, self._likelihoods, strict=True)},
            "jumps": round(self._doubts[Doubt.JUMP.value] / poses, 4) if poses else None,
            "length_px": middle,
            "length_px_10_90": [low, high],
        }

    def _count(self) -> None:
        if not self._waiting:
            return
        xy = np.stack([found.xy for found in self._waiting])
        likelihood = np.stack([found.likelihood for found in self._waiting])
        self._waiting = []
        complete = xy[np.isfinite(xy).all(axis=(1, 2))]
        self._poses += len(xy)
        np.add.at(self._lengths, np.searchsorted(_LENGTH_EDGES, pose_lengths(complete)), 1)
        known = np.isfinite(likelihood)
        bins = np.clip(np.nan_to_num(likelihood) * (_LIKELIHOOD_BINS - 1), 0, _LIKELIHOOD_BINS - 1).round().astype(int)
        for keypoint, counts in enumerate(self._likelihoods):
            counts += np.bincount(bins[known[:, keypoint], keypoint], minlength=_LIKELIHOOD_BINS)


def quality_lines(
    summary: Mapping[str, Any],
    *,
    shipped: bool,
    skipped: bool = False,
    of: InputKind = InputKind.VIDEO,
    boxes_as_trained: bool = False,
    animals: int = 1,
) -> list[str]:
    """Return the report of a summary: its numbers, and a warning if the poses do not look like an animal.

    Args:
        summary: Result of ``PoseQuality.summary``.
        shipped: Whether the models come with the package.
        skipped: Whether many frames were skipped. Then the warning does not blame the models.
        of: The input of the poses.
        boxes_as_trained: Whether the boxes have the size of the training. Then the advice does not doubt it.
        animals: Number of animals of the run: each counts its frames.

    Returns:
        One line per statement; empty without frames.
    """
    if not summary["frames"]:
        return []
    share = summary["found"]
    frames = "processed frames" if of is InputKind.VIDEO else "images"
    together = f", those of {animals} animals added up" if animals > 1 else ""
    lines = [f"animal found in {percent(share)} of {summary['frames']} {frames}{together}"] if share else []
    if summary["poses"]:
        likely = {name: value for name, value in summary["likelihood"].items() if value is not None}
        each = ", ".join(f"{quoted(name)} {value:.2f}" for name, value in likely.items())
        where = (
            ""
            if summary["poses"] == summary["frames"]
            else f" in the {pluralize(summary['poses'], of.one)} with a pose"
        )
        lines += [f"likelihood{where} (median): {each}" if likely else "likelihood: this model knows none"]
        length, (low, high) = summary["length_px"], summary["length_px_10_90"]
        known = "unknown, since a keypoint is absent in each pose"
        if length is not None:
            known = f"{length:.0f} px (80 % of poses: {low:.0f} to {high:.0f} px)"
        jumps = f", jumps in {percent(summary['jumps'])} of poses" if of is InputKind.VIDEO else ""
        lines.append(f"body length {known}{jumps}")
    why = misfit(summary, of=of)
    if skipped and why:
        return [*lines, skipped_line(summary)]
    return lines + misfit_lines(
        summary, shipped=shipped, of=of, drawable=of is InputKind.VIDEO, boxes_as_trained=boxes_as_trained
    )


def skipped_line(summary: Mapping[str, Any]) -> str:
    """Return the warning for a run with many skipped frames: they may be the cause, not the models."""
    return f"{misfit(summary)}; many frames were skipped, which may be the cause"


def misfit_lines(
    summary: Mapping[str, Any],
    *,
    shipped: bool,
    drawable: bool = True,
    of: InputKind = InputKind.VIDEO,
    boxes_as_trained: bool = False,
) -> list[str]:
    """Return a warning that the models do not fit, and advice.

    Args:
        summary: Result of ``PoseQuality.summary``.
        shipped: Whether the models come with the package.
        drawable: Whether there is a session that ``cropzoom draw`` can show.
        of: The input of the poses.
        boxes_as_trained: Whether the boxes have the size of the training. Then the advice does not doubt it.

    Returns:
        Two lines; empty if the models fit.
    """
    why = misfit(summary, of=of)
    if not why:
        return []
    doubt = f"{DO_NOT_FIT} {of}"
    first = f"{why}: {doubt}" if nothing_found(summary) else f"{doubt}: {why}"
    doubts_boxes = summary["poses"] > 0 and not boxes_as_trained  # without a pose there was no box
    return [
        first + (f". {SHIPPED_ARE_FOR}" if shipped else ""),
        _what_to_do(of, shipped=shipped, drawable=drawable, doubts_boxes=doubts_boxes),
    ]


def _what_to_do(of: InputKind, *, shipped: bool, drawable: bool, doubts_boxes: bool) -> str:
    """Return advice. It names only flags that the running command has."""
    look = " Look with 'cropzoom draw'." if drawable else ""
    look += " 'cropzoom doctor' says why it is not found." if of is InputKind.VIDEO else ""
    size = "a box about twice as wide as the animal is long"
    box = advise(" Give --crop-size, about twice its length in pixels.", f" It needs {size}.")
    other = advise(
        f"Else give models for such {of.kind} with --detector and --pose", f"Else take a model for such {of.kind}"
    )
    where = "frames of this video" if of is InputKind.VIDEO else "more images of this kind"
    size = f" Does it fill its box, or only a small part?{box}" if doubts_boxes else ""
    other = other if doubts_boxes else other.replace("Else give", "Give").replace("Else take", "Take")
    own = f"train your own: {FIRST_COMMANDS}; {TUTORIAL}" if shipped else f"label {where} and train again"
    return f"Is the animal in the picture?{look}{size} {other}, or {own}"


def report_quality(
    name: str,
    quality: PoseQuality,
    *,
    shipped: bool,
    say: Callable[[str], None],
    warn: Callable[[str], None],
    of: InputKind = InputKind.VIDEO,
    boxes_as_trained: bool = False,
) -> None:
    """Report the quality of the poses of a file: its name, then the lines of ``quality_lines``, folded at 80 columns.

    Args:
        name: Name of the file.
        quality: Counts of the file.
        shipped: Whether the models come with the package.
        say: Prints the report.
        warn: Prints the report if no animal was found.
        of: The input of the poses.
        boxes_as_trained: Whether the boxes have the size of the training. Then the advice does not doubt it.
    """
    summary = quality.summary()
    lines = quality_lines(summary, shipped=shipped, of=of, boxes_as_trained=boxes_as_trained)
    if lines:
        report = warn if nothing_found(summary) else say
        report("\n".join([f"{name}:", *map(_folded, lines)]))


def _folded(line: str) -> str:
    wrapper = textwrap.TextWrapper(_REPORT_COLUMNS, "  ", "    ", break_long_words=False, break_on_hyphens=False)
    return wrapper.fill(line)


def as_sentences(lines: Sequence[str]) -> str:
    """Join lines into sentences, with one full stop between two of them and none at the end."""
    return " ".join(f"{line[0].upper()}{line[1:].rstrip('.')}." for line in lines).removesuffix(".")


def known_words(trained: Trained | None, *, shipped: bool) -> str:
    """Return what models know, as a part of a sentence.

    Args:
        trained: What their training looked like; None if they do not say.
        shipped: Whether they come with the package.
    """
    if trained is not None:
        return f"{'the shipped' if shipped else 'these'} models know {trained_text(trained)}"
    return f"the shipped models know {SHIPPED_KNOW}" if shipped else OTHER_ANIMALS


def nothing_found(summary: Mapping[str, Any]) -> bool:
    """Return whether there were frames, but no animal in any of them."""
    return bool(summary["frames"]) and not summary["found"]


def misfit(summary: Mapping[str, Any], *, of: InputKind = InputKind.VIDEO) -> str:
    """Return in a few words why the poses do not look like an animal; an empty text if they do."""
    if not summary["frames"]:
        return ""
    if nothing_found(summary):
        return f"the animal was found in no {of.one}"
    if summary["found"] < MIN_FOUND_SHARE:
        return f"the animal was found in only {percent(summary['found'])} of the {of.one}s"
    if summary["jumps"] is not None and summary["jumps"] > MAX_JUMP_SHARE:
        return f"the pose jumps in {percent(summary['jumps'])} of the frames"
    low, high = summary["length_px_10_90"]
    if summary["length_px"] and (high - low) / summary["length_px"] > MAX_LENGTH_SPREAD:
        return f"the body is between {low:.0f} and {high:.0f} px long"
    return ""


def pose_lengths(xy: Float32 | Float64) -> Float64:
    """Return the largest distance between two keypoints of each pose: (N, K, 2) → (N,), px. NaN counts for nothing."""
    longest = np.zeros(len(xy))
    for other in range(1, xy.shape[1]):
        apart = np.linalg.norm(xy[:, other:] - xy[:, :-other], axis=2).max(axis=1)
        longest = np.fmax(longest, apart)
    return longest


def _quantile(counts: np.ndarray, share: float) -> float | None:
    """Return the middle (px) of the bin that holds the quantile ``share`` of ``counts``; None without counts."""
    total = counts.sum()
    if total == 0:
        return None
    index = min(max(1, int(np.searchsorted(counts.cumsum(), share * total))), len(_LENGTH_EDGES) - 1)
    return round(float(_LENGTH_EDGES[index - 1] + _LENGTH_EDGES[index]) / 2, 1)


def _likely(counts: np.ndarray) -> float | None:
    total = counts.sum()
    if total == 0:
        return None
    return int(np.searchsorted(counts.cumsum(), 0.5 * total)) / (_LIKELIHOOD_BINS - 1)


def percent(share: float) -> str:
    """Return a share (0 to 1) as text. It is 0 % or 100 % only if the share is exactly 0 or 1."""
    percent = 100 * share
    if 0 < percent < 1 or 99 < percent < 100:
        return f"{min(max(percent, 0.1), 99.9):.1f} %"
    return f"{percent:.0f} %"
