"""Causes that measures of the pictures show, where the animal is not found. No I/O."""

from __future__ import annotations

from collections.abc import Callable

from realtime_cropzoom.checks.doctor.facts import Facts
from realtime_cropzoom.checks.doctor.finding import PROGRESSIVE, Finding, exposure_advice, first_up, knows, train
from realtime_cropzoom.errors import advise
from realtime_cropzoom.inference.appearance import MIN_CONTRAST
from realtime_cropzoom.inference.pose_quality import percent

WHOLE_SHARE = 0.3
"""Share of the frames in which nearly everything differs, for a moving camera."""
FLICKER = 0.02
"""Change of the background from one frame to the next, relative to its brightness."""
NOISE = 8.0
"""Standard deviation of noise that is worth a word (gray levels)."""
WIDE_EDGE, WIDE_EDGE_PX = 0.085, 6.0
"""Width of edges (lengths of what moves, and pixels) from which the picture is out of focus."""
MOTION_SPEED, MOTION_SMEAR = 0.12, 1.3
"""Minimum speed (animal lengths per frame), and width of the edges in front relative to those at the sides."""
SHARP_MOTION = 0.03
"""Blur that no model minds (animal lengths)."""
COMBING = 3.5
"""Difference of rows relative to that of columns, from which video is interlaced."""
BLOCKS = 5.0
"""Steps at the borders of blocks relative to those inside, from which compression is strong."""
SIZE_RANGE = (0.6, 1.7)
"""Accepted length of an animal, relative to the shortest and longest 5 % of the training."""
DARK_ANIMALS = (-1.0, -0.5, 0.0)
"""Contrast of the animals that the shipped models know, if they do not say it."""
DARK, DARK_FROM, BRIGHT = 0.12, 0.25, 0.9
"""Mean gray that is too dark by itself, that is dark, and that is too bright."""
CLIPPED_SHARE = 0.3
"""Share of white pixels from which a picture is overexposed."""


def flicker(facts: Facts) -> Finding | None:
    """The light changes from frame to frame."""
    if facts.light.flicker < FLICKER:
        return None
    text = f"The light flickers: the background changes by {percent(facts.light.flicker)} from one frame to the next"
    advice = "Use lamps of direct current, or an exposure of a multiple of 10 ms (50 Hz) or 8.33 ms (60 Hz)."
    return Finding("flicker", 0.3, text, advice)


def out_of_focus(facts: Facts) -> Finding | None:
    """All edges are wide."""
    width, length = facts.edge_px, facts.moving.length_px
    if width is None or length is None or width < max(WIDE_EDGE_PX, WIDE_EDGE * length):
        return None
    if motion_blur(facts) is not None:
        return None
    share = percent(width / length)
    text = f"The picture is not sharp: edges of what moves are {width:.0f} px wide, {share} of its length"
    return Finding("focus", 0.6, text, "Focus the lens on the floor, clean it, and close the aperture a little.")


def motion_blur(facts: Facts) -> Finding | None:
    """The animal moves far in one frame, and its edges in front and behind are wide."""
    speed, length = facts.speed, facts.length_px
    if speed is None or speed.smear is None or length is None:
        return None
    if speed.median < MOTION_SPEED * length or speed.smear < MOTION_SMEAR:
        return None
    text = (
        f"The animal is blurred by its movement: it moves {speed.median:.0f} px a frame, and its edges in front and "
        f"behind are {speed.smear:.1f} times as wide as those at its sides"
    )
    ms = None if facts.fps is None else 1000 * SHARP_MOTION * length / (speed.fast * facts.fps)
    value = "a shorter exposure" if ms is None else f"an exposure of {ms:.2g} ms"
    flag = "" if ms is None else advise(f" (--exposure-ms {ms:.2g})")
    return Finding("motion blur", 0.9, text, f"Try {value}{flag}, with more light.")


def much_noise(facts: Facts) -> Finding | None:
    """Strong noise."""
    if facts.light.noise < NOISE:
        return None
    text = f"The picture is noisy: {facts.light.noise:.0f} gray levels"
    return Finding("noise", 0.5, text, "Add light, and lower the gain.")


def clipped(facts: Facts) -> Finding | None:
    """Much too dark or much too bright."""
    light = facts.light
    if light.brightness < DARK:
        text = f"The picture is very dark: the mean gray is {255 * light.brightness:.0f} of 255"
        return Finding("exposure", 0.6, text, exposure_advice(dark=True))
    if light.brightness > BRIGHT or light.white > CLIPPED_SHARE:
        text = (
            f"The picture is overexposed: {percent(light.white)} of it is white, and the mean gray is "
            f"{255 * light.brightness:.0f} of 255"
        )
        return Finding("exposure", 0.6, text, exposure_advice(dark=False))
    return None


def combed(facts: Facts) -> Finding | None:
    """Rows of two times in one frame."""
    if facts.combing is None or facts.combing < COMBING or facts.blocks >= BLOCKS:
        return None
    text = (
        f"The video looks interlaced: where something moves, rows differ {facts.combing:.1f} times as much as columns"
    )
    return Finding("interlacing", 0.6, text, f"{PROGRESSIVE}.")


def blocks(facts: Facts) -> Finding | None:
    """Strong compression."""
    if facts.blocks < BLOCKS:
        return None
    text = f"The video is strongly compressed: steps at the borders of blocks are {facts.blocks:.1f} times those inside"
    return Finding("compression", 0.4, text, "Record with a higher bit rate or quality.")


def everything_moves(facts: Facts) -> Finding | None:
    """The camera moves, or the light changes as a whole."""
    if facts.moving.whole < WHOLE_SHARE:
        return None
    text = f"In {percent(facts.moving.whole)} of the frames nearly everything differs: the camera or the light moves"
    return Finding("moving camera", 0.4, text, "Fix the camera, and keep the light as it is.")


def other_size(facts: Facts) -> Finding | None:
    """What moves has another size than the animals of the training."""
    length, trained = facts.length_px, facts.trained
    if length is None or trained is None:
        return None
    width, usual = facts.frame_size[0], trained.frame_size[0]
    relative = length / width * usual  # the detector sees the whole frame
    if SIZE_RANGE[0] * trained.length_px[0] <= relative <= SIZE_RANGE[1] * trained.length_px[2]:
        return None
    small = relative < trained.length_px[1]
    text = (
        f"What moves is about {length:.0f} px long in frames {width} px wide: too {'small' if small else 'large'}; "
        f"{knows(facts)}"
    )
    move = "Move the camera nearer" if small else "Move the camera further away"
    return Finding("size in the frame", 0.7, text, f"{move}, or {train(facts)}.")


def other_contrast(facts: Facts) -> Finding | None:
    """What moves is brighter than the floor, and the animals of the training are darker, or the other way round."""
    contrast, trained = facts.moving.contrast, facts.trained
    if contrast is None or abs(contrast) < MIN_CONTRAST or (trained is None and not facts.shipped):
        return None
    low, _, high = DARK_ANIMALS if trained is None else trained.contrast
    if (contrast > 0) == (high > 0) or (contrast < 0) == (low < 0):
        return None
    how = "brighter" if contrast > 0 else "darker"
    text = f"What moves is {how} than the floor (by {percent(abs(contrast))}); {knows(facts)}"
    return Finding("contrast", 0.8, text, f"{first_up(train(facts))}.")


OF_PICTURES: tuple[Callable[[Facts], Finding | None], ...] = (
    *(motion_blur, out_of_focus, flicker, much_noise, clipped, combed, blocks, everything_moves),
    *(other_contrast, other_size),
)
