"""What a session without labels shows, in plain sentences: signs of trouble, never an error in pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator

from realtime_cropzoom.errors import pluralize, quoted
from realtime_cropzoom.evaluation.findings import GOOD_TRACKED
from realtime_cropzoom.evaluation.judgement import SURE
from realtime_cropzoom.evaluation.session import JUMP_OF_BODY, SessionFacts
from realtime_cropzoom.inference.pose_quality import MAX_JUMP_SHARE, percent

_SMALLER, _LARGER = 0.75, 1.33
"""Length of the animal, relative to the labels, outside of which its size does not fit."""
_UNSURE_SHARE = 0.2
"""Share of frames in which a keypoint must be unlikely to be named."""


def session_lines(facts: SessionFacts) -> list[str]:
    """Return the numbers of a session, a line each."""
    long = f" ({facts.seconds:.0f} s)" if math.isfinite(facts.seconds) else ""
    tracked = percent(facts.tracked) if facts.frames else "no part"
    lines = [f"the animal was tracked in {tracked} of {pluralize(facts.frames, 'frame')}{long}; {_gaps(facts)}"]
    likely = {name: median for name, (median, _) in facts.likelihood.items() if math.isfinite(median)}
    each = ", ".join(f"{quoted(name)} {median:.2f}" for name, median in likely.items())
    lines.append(f"likelihood where there is a pose (median): {each}" if likely else "the model gives no likelihood")
    low, middle, high = facts.length_px
    if math.isfinite(middle):
        trained = f"; {facts.trained_px:.0f} px in the labels" if math.isfinite(facts.trained_px) else ""
        lines.append(f"body length {middle:.0f} px (90 % of poses: {low:.0f} to {high:.0f} px){trained}")
    if math.isfinite(facts.trained_px):
        far = f"more than {percent(JUMP_OF_BODY)} of body length"
        lines.append(f"a keypoint jumped by {far} in {pluralize(facts.jumps, 'frame')}")
    return lines


def _gaps(facts: SessionFacts) -> str:
    if not facts.lost:
        return "never lost in between"
    longest = facts.lost[0]
    lasted = f"{longest.seconds:.1f} s" if math.isfinite(longest.seconds) else pluralize(longest.frames, "frame")
    return f"lost {pluralize(len(facts.lost), 'time')} in between, at most {lasted} (from frame {longest.first})"


def session_signs(facts: SessionFacts) -> Iterator[str]:
    """Yield what looks wrong, each with the number; nothing if nothing does."""
    if not facts.frames or facts.tracked < GOOD_TRACKED:
        yield "the animal is not tracked all the time: label frames in which it was lost"
    unsure = [name for name, (_, share) in facts.likelihood.items() if share < 1 - _UNSURE_SHARE]
    for name in unsure:
        share = percent(1 - facts.likelihood[name][1])
        yield f"{quoted(name)} has a likelihood below {SURE:g} in {share} of the frames: label more of it"
    ratio = facts.length_px[1] / facts.trained_px if facts.trained_px > 0 else float("nan")
    if ratio < _SMALLER or ratio > _LARGER:
        word = "smaller" if ratio < 1 else "larger"
        yield (
            f"the animal is {percent(ratio)} as long as in the labels, so much {word} that the models may not fit: "
            "label frames of this session"
        )
    if facts.frames and facts.jumps / facts.frames > MAX_JUMP_SHARE:
        share = percent(facts.jumps / facts.frames)
        yield f"the pose jumps in {share} of the frames: it follows something else at times"
    if facts.other_models:
        yield "this session ran with other models than those in the project now: the numbers are about those"
