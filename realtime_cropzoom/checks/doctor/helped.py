"""Causes that an experiment shows: the animal is found once one thing is changed. No I/O.

An experiment names a cause if it finds the animal in half of the frames in which it was not found. Frames at the
limit are found by any small change; there, a measure of the pictures must say the same.
"""

from __future__ import annotations

from collections.abc import Callable

from realtime_cropzoom.checks.doctor.experiments import Tried
from realtime_cropzoom.checks.doctor.facts import Facts
from realtime_cropzoom.checks.doctor.finding import (
    PROGRESSIVE,
    Finding,
    exposure_advice,
    first_up,
    its_size,
    knows,
    train,
)
from realtime_cropzoom.checks.doctor.pictures import BLOCKS, BRIGHT, COMBING, DARK_FROM, NOISE
from realtime_cropzoom.checks.doctor.sizes import has_other_boxes, is_contradicted
from realtime_cropzoom.errors import advise
from realtime_cropzoom.inference.appearance import MIN_CONTRAST
from realtime_cropzoom.inference.pose_quality import percent

HELPS_SHARE = 0.5
"""Share of the lost frames in which an experiment must find the animal to name a cause."""
TURNED_SHARE = 0.8
"""The same for a turned picture, which changes nothing for most models but what lies at their limits."""
TURNED_FOUND = 0.2
"""Share of the frames with an animal found as they are, from which the picture is not upside down."""
HELPS_FRAMES = 2
"""Minimum number of those frames."""
ENOUGH_LOST = 7
"""Number of lost frames from which an experiment counts by itself, where half of the frames are found as they are."""
NEARLY_AS_GOOD = 0.25
"""A cause is named beside the best one if its experiment finds at most this share of frames less."""


def helped(facts: Facts) -> list[Finding]:
    """Return the causes whose experiment makes the animal be found."""
    return [_WORDS[_cause(tried)](facts, tried) for tried in named(facts)]


def named(facts: Facts) -> list[Tried]:
    """Return the experiments that name a cause, the one that helps most first."""
    best: dict[str, Tried] = {}
    for tried in facts.tried:
        old = best.get(_cause(tried))
        if _helps(facts, tried) and (old is None or tried.share > old.share):
            best[_cause(tried)] = tried
    most = max((tried.share for tried in best.values()), default=0.0)
    kept = [tried for tried in best.values() if tried.share >= most - NEARLY_AS_GOOD]
    if any(_is_supported(facts, tried) for tried in kept):
        kept = [tried for tried in kept if _is_supported(facts, tried)]
    if {"box", "zoom"} <= {_cause(tried) for tried in kept}:  # the detector finds it: only its box is wrong
        worse = "zoom" if best["box"].share >= best["zoom"].share else "box"
        kept = [tried for tried in kept if _cause(tried) != worse]
    return sorted(kept, key=lambda tried: -tried.share)


def _cause(tried: Tried) -> str:
    """Return the family that an experiment speaks for. Of two changes, the other size does not help by itself."""
    return "contrast" if tried.experiment.inverted else tried.experiment.family


def _helps(facts: Facts, tried: Tried) -> bool:
    """Return whether an experiment names a cause. Frames at the limit are found by any small change."""
    least = TURNED_SHARE if tried.experiment.family == "turn" else HELPS_SHARE
    if tried.found < HELPS_FRAMES or tried.share < least or is_contradicted(facts, tried):
        return False
    if tried.experiment.family == "turn" and facts.seen.share >= TURNED_FOUND:
        return False
    return facts.seen.share < HELPS_SHARE or tried.frames >= ENOUGH_LOST or _is_supported(facts, tried)


def _is_supported(facts: Facts, tried: Tried) -> bool:
    """Return whether a measure of the pictures says the same as an experiment."""
    light = facts.light
    match _cause(tried):
        case "contrast":
            contrast, usual = facts.moving.contrast, -1.0 if facts.trained is None else facts.trained.contrast[1]
            return contrast is not None and abs(contrast) >= MIN_CONTRAST and contrast * usual < 0
        case "light":
            return not DARK_FROM <= light.brightness <= BRIGHT
        case "noise":
            return light.noise >= NOISE or facts.blocks >= BLOCKS
        case "interlacing":
            return facts.combing is not None and facts.combing >= COMBING
        case _:
            return False


def _how_often(tried: Tried, changed: str) -> str:
    return (
        f"of {tried.frames} frames in which the models find nothing, they find the animal in {tried.found} "
        f"({percent(tried.share)}) once {changed}"
    )


def _contrast(facts: Facts, tried: Tried) -> Finding:
    brighter = facts.moving.contrast
    if brighter is None or abs(brighter) < MIN_CONTRAST:
        seen = "The animal and the floor are the other way round than in the training"
    else:
        how = "brighter" if brighter > 0 else "darker"
        seen = f"The contrast is reversed: your animal is {how} than the floor (by {percent(abs(brighter))})"
    experiment, changed = tried.experiment, "dark and bright are exchanged"
    if experiment.family == "box":
        changed += f" and boxes are {_times(experiment.box_factor)} as wide"
    elif experiment.family == "zoom":
        changed += f" and the picture is {_times(experiment.factor)} as large"
    text = f"{seen}; {knows(facts)}; {_how_often(tried, changed)}"
    return Finding("contrast", 1 + tried.share, text, f"{first_up(train(facts))}.")


def _zoom(facts: Facts, tried: Tried) -> Finding:
    factor = tried.experiment.factor
    small = factor > 1
    seen = f"The animal is too {'small' if small else 'large'} in the frame for these models"
    text = f"{seen}{its_size(facts, tried)}; {_how_often(tried, f'the picture is {_times(factor)} as large')}"
    move = "Move the camera nearer, take a longer lens, or read out a part of the sensor (--roi)"
    move = advise(move, "Move the camera nearer, or take a longer lens") if small else "Move the camera further away"
    return Finding("size in the frame", 1 + tried.share, text, f"{move}; or {train(facts)}.")


def _box(facts: Facts, tried: Tried) -> Finding:
    factor = tried.experiment.box_factor
    small = factor > 1
    seen = f"The boxes are too {'small' if small else 'large'} for this animal"
    text = f"{seen}{its_size(facts, tried)}; {_how_often(tried, f'boxes are {_times(factor)} as wide')}"
    side = None if facts.seen.box_side is None else max(16, round(factor * facts.seen.box_side / 10) * 10)
    if has_other_boxes(facts):
        side = facts.usual_crop_size
        text += f"; in the training they are {side} px wide"
    flag = "" if side is None else advise(f"Set --crop-size {side}", f"Set crop_size {side}")
    return Finding("box size", 1 + tried.share, text, f"{flag or 'Set other boxes'}.", side)


def _light(facts: Facts, tried: Tried) -> Finding:
    light = facts.light
    mean = f"the mean gray is {255 * light.brightness:.0f} of 255"
    how = "too dark" if light.brightness < 0.4 else "too bright" if light.brightness > 0.75 else "without contrast"
    trained = facts.trained
    usual = "" if trained is None else f", {255 * trained.brightness[1]:.0f} in the training"
    text = f"The picture is {how}: {mean}{usual}; {_how_often(tried, 'its brightness is stretched')}"
    return Finding("exposure", 1 + tried.share, text, exposure_advice(dark=light.brightness < 0.4))


def _noise(facts: Facts, tried: Tried) -> Finding:
    noisy = f"noise of {facts.light.noise:.0f} gray levels" if facts.light.noise >= 2 else "fine patterns"
    text = f"The picture has {noisy}; {_how_often(tried, 'it is smoothed')}"
    return Finding("noise", 1 + tried.share, text, "Add light and lower the gain, or compress the video less.")


def _channels(facts: Facts, tried: Tried) -> Finding:
    text = f"Red and blue are exchanged; {_how_often(tried, 'they are exchanged back')}"
    order = advise("Try another --pixel-format", "Record with another pixel format")
    return Finding("colour order", 1 + tried.share, text, f"{order}, or look how the video was written (BGR for RGB).")


def _turn(facts: Facts, tried: Tried) -> Finding:
    text = f"The picture is upside down for these models; {_how_often(tried, 'it is turned')}"
    return Finding("turned", 1 + tried.share, text, "Turn the camera, or train with frames from all sides.")


def _interlacing(facts: Facts, tried: Tried) -> Finding:
    text = f"The video is interlaced, every second row is of another time; {_how_often(tried, 'one half is shown')}"
    return Finding("interlacing", 1 + tried.share, text, f"{PROGRESSIVE}.")


def _aspect(facts: Facts, tried: Tried) -> Finding:
    width, height = facts.frame_size
    trained = facts.trained
    usual = "" if trained is None else f", {trained.frame_size[0]}×{trained.frame_size[1]} in the training"
    changed = "its ratio of width and height is that of the training"
    text = f"The frame has another shape: {width}×{height}{usual}; {_how_often(tried, changed)}"
    return Finding("frame shape", 1 + tried.share, text, "Record frames of the same ratio of width and height.")


_WORDS: dict[str, Callable[[Facts, Tried], Finding]] = {
    "contrast": _contrast,
    "zoom": _zoom,
    "box": _box,
    "light": _light,
    "noise": _noise,
    "channels": _channels,
    "turn": _turn,
    "interlacing": _interlacing,
    "aspect": _aspect,
}


def _times(factor: float) -> str:
    return {0.5: "half", 2.0: "twice"}.get(factor, f"{factor:g} times")
