"""Causes: what the facts mean, in plain words, and what to do. Each is a small function with its limits. No I/O.

The limits come from recordings: docs/how-to/doctor.md says which. Where the animal is found, a cause that only makes
pictures worse is no finding.
"""

from __future__ import annotations

from collections.abc import Callable

from realtime_cropzoom.checks.doctor.facts import MOVING_SHARE, Facts
from realtime_cropzoom.checks.doctor.finding import Finding, first_up, knows, train
from realtime_cropzoom.checks.doctor.helped import HELPS_SHARE, helped
from realtime_cropzoom.checks.doctor.pictures import OF_PICTURES
from realtime_cropzoom.inference.pose_quality import MAX_JUMP_SHARE, percent

GOOD_SHARE = 0.9
"""Share of frames with a found animal above which nothing about the pictures hinders."""
REPEATED_SHARE = 0.2
"""Share of frames that repeat the one before, from which the rate is filled up."""
FROZEN_SHARE = 0.9
"""Share of samples that equal the one before, some time earlier, from which the picture is frozen."""
SEVERAL_SHARE = 0.5
"""Share of the frames with a second thing of a similar size, for a second animal."""
OUTSIDE_SHARE = 0.7
"""Share of the frames in which what moves is outside of the box, for a wrong one."""
SAME_PLACE = 0.15
"""Boxes that are nearer to their usual place (box sides) are always at the same place."""


def find_causes(facts: Facts) -> list[Finding]:
    """Return what hinders, the most likely cause first; empty if nothing does."""
    found = [finding for cause in _ALWAYS if (finding := cause(facts)) is not None]
    if facts.seen.share < GOOD_SHARE:
        weak = too_weak(facts)
        found += helped(facts) if weak is None else [weak]  # weak models find something in any changed picture
        found += [finding for cause in OF_PICTURES if (finding := cause(facts)) is not None]
        named = {finding.cause for finding in found}
        found = [f for k, f in enumerate(found) if f.cause not in {one.cause for one in found[:k]}]
        if not named - {"jumps", "flicker"}:
            found.append(_unknown(facts))
    return sorted(found, key=lambda finding: -finding.weight)


def too_weak(facts: Facts) -> Finding | None:
    """The models of a project fail on its own held-out frames, too."""
    if facts.held_out is None or facts.held_out[0] >= GOOD_SHARE * facts.held_out[1]:
        return None
    found, frames = facts.held_out
    text = (
        f"These models are not good enough yet: they find the animal in {found} of {frames} held-out frames of their "
        "own project, and in this video no better"
    )
    advice = (
        "Label more frames (cropzoom frames PROJECT --uncertain SESSION) and train again, or train for longer "
        "(training.minutes in project.yaml)."
    )
    return Finding("weak models", 2.5, text, advice)


def frozen(facts: Facts) -> Finding | None:
    """The picture never changes."""
    if facts.repeats.far < FROZEN_SHARE or facts.seen.frames < 3:
        return None
    text = "The picture does not change: all frames that were looked at are the same"
    return Finding("frozen", 3.0, text, "Is it the right source? Start the camera again, or look at its own program.")


def repeated(facts: Facts) -> Finding | None:
    """Frames come twice."""
    share = facts.repeats.following
    if share < REPEATED_SHARE or facts.repeats.far >= FROZEN_SHARE or facts.moving.share < MOVING_SHARE:
        return None
    rate = "" if facts.fps is None else f": about {(1 - share) * facts.fps:.0f} of {facts.fps:.0f} a second are new"
    text = f"Frames are repeated: {percent(share)} of them equal the one before{rate}"
    advice = "Set the camera to the rate that it can really give, or record without filling up the rate."
    return Finding("repeated frames", 0.8, text, advice)


def several(facts: Facts) -> Finding | None:
    """More than one animal."""
    share = facts.moving.several
    if share < SEVERAL_SHARE or facts.animals > 1:
        return None
    text = f"In {percent(share)} of the frames two things of a similar size move: is there more than one animal?"
    return Finding("several animals", 0.9, text, "The models track one. Show one animal, or one part of the arena.")


def wrong_thing(facts: Facts) -> Finding | None:
    """The box is not on what moves."""
    outside, seen = facts.moving.outside_box, facts.seen
    if outside is None or outside < OUTSIDE_SHARE or seen.boxed < max(3, MOVING_SHARE * seen.frames):
        return None
    if facts.animals > 1:  # what moves may be another one
        return None
    if facts.moving.share < MOVING_SHARE or seen.box_place is None:
        return None
    x, y = seen.box_place
    if seen.box_spread is not None and seen.box_spread < SAME_PLACE:
        where = f"is always near x {x:.0f}, y {y:.0f}, and what moves is elsewhere in {percent(outside)} of the frames"
        advice = "What is there? Remove or cover it (a reflection, a light, a cable, an object)"
    else:
        where = f"jumps between places, and what moves is not in it in {percent(outside)} of the frames"
        advice = "Look at the picture: what is in the boxes?"
    return Finding(
        "wrong thing",
        2.2,
        f"The detector finds the wrong thing: its box {where}",
        f"{advice}; or label such frames and train.",
    )


def other_order(facts: Facts) -> Finding | None:
    """Detector and pose model name the keypoints differently."""
    order = facts.seen.order
    if order is None:
        return None
    pairs = ", ".join(f"{one} of the detector is {other} of the pose model" for one, other in order.pairs)
    text = (
        f"Detector and pose model disagree about the names: {pairs} (keypoints of the same name are "
        f"{percent(order.apart)} of the animal's length apart, {percent(order.apart_matched)} if they are exchanged)"
    )
    advice = "One of the two has its keypoints in the wrong order: cropzoom models MODEL --frame VIDEO draws them."
    return Finding("keypoint order", 2.0, text, advice)


def jumps(facts: Facts) -> Finding | None:
    """The poses of a session jump."""
    session = facts.session
    if session is None or session.jumps is None or session.jumps <= MAX_JUMP_SHARE:
        return None
    text = f"The pose jumps in {percent(session.jumps)} of the frames of the session"
    advice = "The models track another thing in between: cropzoom draw SESSION --traces shows when."
    return Finding("jumps", 0.7, text, advice)


_ALWAYS: tuple[Callable[[Facts], Finding | None], ...] = (frozen, repeated, several, wrong_thing, other_order, jumps)


def _unknown(facts: Facts) -> Finding:
    """The animal is not found, and nothing explains why."""
    seen, moving = facts.seen, facts.moving
    lost = seen.frames - seen.found
    if not moving.share and not seen.found:
        text = "Nothing moves, and nothing looks like an animal"
        return Finding(
            "no animal", 0.2, text, "Is the animal in the picture? Look at the picture, and take more seconds."
        )
    if moving.in_lost is not None and moving.in_lost < MOVING_SHARE:
        nothing = f"In {lost} of {seen.frames} frames nothing is found"
        text = f"{nothing}, and in most of them nothing moves: is the animal there?"
        return Finding("no animal", 0.2, text, "Look at the picture: these frames may show no animal.")
    likely = "" if seen.likelihood is None else f" (likelihood {seen.likelihood:.2f}, median)"
    how_often = f"found in {seen.found} of {seen.frames} frames{likely}"
    if seen.share >= HELPS_SHARE:
        text = f"The animal is {how_often}; no change of the picture makes it be found in the others"
        return Finding(
            "some frames", 0.1, text, f"What do they have in common? Look at the picture; or {train(facts)}."
        )
    text = f"The models do not know this animal: {how_often}, and no change of the picture helps; {knows(facts)}"
    return Finding("unknown animal", 0.1, text, f"{first_up(train(facts))}.")
