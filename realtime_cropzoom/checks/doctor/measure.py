"""Measuring: samples of a source and the models → facts, with the looks that the picture shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np

from realtime_cropzoom.checks.doctor.causes import FROZEN_SHARE, GOOD_SHARE
from realtime_cropzoom.checks.doctor.experiments import (
    MOST_FRAMES,
    Changed,
    Experiment,
    Tried,
    Wanted,
    first_experiments,
    run_experiment,
    sized_experiments,
)
from realtime_cropzoom.checks.doctor.facts import Facts, Moving, OtherOrder, Seen, SessionFacts, Speed
from realtime_cropzoom.checks.doctor.helped import named
from realtime_cropzoom.checks.doctor.movement import Movement, Mover, find_movement
from realtime_cropzoom.checks.doctor.pictures import COMBING
from realtime_cropzoom.checks.doctor.quality import blockiness, combing, count_repeats, edge_width, measure_light
from realtime_cropzoom.checks.doctor.samples import Sample, Sampled
from realtime_cropzoom.checks.doctor.sizes import SEVERAL
from realtime_cropzoom.checks.looking import Look, Looker
from realtime_cropzoom.inference.appearance import animal_length, to_gray
from realtime_cropzoom.types import Box, Float64

ASPECT = 1.12
"""Ratio of two aspects from which they differ."""
_COLOURED = 4.0
"""Mean difference of the channels from which video has colours (gray levels)."""
_SIMILAR_AREA, _MIN_LENGTHS_APART = 0.45, 1.0
"""Area of a second mover, relative to the largest, and its distance in lengths, for a second animal."""
_MIN_SPEEDS = 8
"""Minimum number of samples with a known speed."""
_OTHER_NAME, _SAME_PLACE = 0.25, 0.5
"""Distance of keypoints of one name (animal lengths), and its share that is left if names are exchanged."""
_MAX_ORDERED = 7
"""Maximum number of keypoints whose order is compared: there are n! of them."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The facts, and what led to them."""

    facts: Facts
    looks: tuple[Look, ...]
    """What the models see in each sample."""
    helped: tuple[tuple[int, Experiment, Changed, Look], ...]
    """Of the best experiment: place of the sample, the experiment, and what was found in the changed frame."""


def measure(
    sampled: Sampled,
    looker: Looker,
    session: SessionFacts | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Measured:
    """Show samples to the models as they are, and changed where nothing is found.

    Args:
        sampled: The samples.
        looker: The models.
        session: What the files of a session say; None without one.
        say: Takes a line about what is done.
    """
    samples = sampled.samples
    looks = tuple(looker.look(sample.image) for sample in samples)
    seen, movement = _seen(looks, looker), find_movement(samples)
    comb = _median([_comb(sample, mover) for sample, mover in zip(samples, movement.largest, strict=True)])
    light = measure_light(samples)
    trained = [model.manifest.trained for model in (looker.models.detector, looker.models.pose) if model is not None]
    known = next((one for one in trained if one is not None), None)
    size = samples[0].image.shape[1], samples[0].image.shape[0]
    wanted = Wanted(
        is_coloured=light.colour > _COLOURED,
        is_combed=comb is not None and comb > 0.7 * COMBING,
        aspect_factor=None if known is None else _aspect_factor(size, known.frame_size),
        has_boxes=looker.rule is not None,
    )
    repeats = count_repeats(samples)
    facts = Facts(
        shipped=looker.models.pose.is_shipped,
        trained=known,
        frame_size=size,
        fps=sampled.fps,
        live=sampled.live,
        crop_size=None if looker.rule is None else looker.rule.crop_size,
        usual_crop_size=looker.models.pose.manifest.crop_size,
        seen=seen,
        tried=(),
        light=light,
        repeats=repeats,
        moving=_moving(movement, looks),
        speed=_speed(movement),
        edge_px=_median([_edge(sample, mover) for sample, mover in zip(samples, movement.largest, strict=True)]),
        combing=comb,
        blocks=float(np.median([blockiness(to_gray(sample.image)) for sample in samples])),
        session=session,
    )
    one_picture = repeats.far >= FROZEN_SHARE and len(samples) > 1  # and nothing to learn from it
    tried, helped = ((), ()) if one_picture else _try(sampled, looks, movement, looker, (facts, wanted), say)
    return Measured(replace(facts, tried=tried), looks, helped)


def _aspect_factor(size: tuple[int, int], trained: tuple[int, int]) -> float | None:
    factor = trained[0] / trained[1] / (size[0] / size[1])
    return factor if max(factor, 1 / factor) > ASPECT else None


def _try(
    sampled: Sampled,
    looks: Sequence[Look],
    movement: Movement,
    looker: Looker,
    known: tuple[Facts, Wanted],
    say: Callable[[str], None],
) -> tuple[tuple[Tried, ...], tuple[tuple[int, Experiment, Changed, Look], ...]]:
    """Run the experiments on the samples in which nothing was found."""
    samples, (facts, wanted) = sampled.samples, known
    lost = [k for k, look in enumerate(looks) if not look.is_found]
    if not lost or 1 - len(lost) / len(samples) >= GOOD_SHARE:
        return (), ()
    say(f"the animal is not found in {len(lost)} of {len(samples)} frames; trying what makes it be found …")
    lost = [lost[k] for k in np.unique(np.linspace(0, len(lost) - 1, MOST_FRAMES).round().astype(int))]
    frames = [(samples[k].image, movement.largest[k]) for k in lost]
    results = [(*run_experiment(looker, one, frames, animal_length), one) for one in first_experiments(wanted)]
    if not named(replace(facts, tried=tuple(tried for tried, _, _ in results))):
        both = sized_experiments(wanted, inverted=True)
        results += [(*run_experiment(looker, one, frames, animal_length), one) for one in both]
    all_tried = tuple(tried for tried, _, _ in results)
    best = named(replace(facts, tried=all_tried))[:1]
    helped = [
        (k, experiment, *found)
        for tried, looked, experiment in results
        if tried in best
        for k, found in zip(lost, looked, strict=True)
        if found is not None
    ]
    return all_tried, tuple(helped)


def _seen(looks: Sequence[Look], looker: Looker) -> Seen:
    boxes = [look.box for look in looks if look.box is not None]
    likelihoods = [look.found.likelihood for look in looks if look.found is not None]
    lengths = [animal_length(look.found.xy) for look in looks if look.is_found and look.found is not None]
    place, spread = _spread(boxes) if looker.rule is not None else (None, None)
    likelihood = float(np.nanmedian(np.stack(likelihoods))) if likelihoods else None
    return Seen(
        frames=len(looks),
        boxed=len(boxes),
        found=sum(look.is_found for look in looks),
        doubts=Counter(look.doubt.value for look in looks if look.doubt is not None),
        likelihood=None if likelihood is None or np.isnan(likelihood) else likelihood,
        length_px=_median(lengths),
        box_side=float(np.median([box.w for box in boxes])) if boxes and looker.rule is not None else None,
        box_spread=spread,
        box_place=place,
        order=_other_order(looks, looker),
    )


def _spread(boxes: Sequence[Box]) -> tuple[tuple[float, float] | None, float | None]:
    """Return the usual middle of boxes, and how far they are from it (box sides)."""
    if len(boxes) < 3:
        return None, None
    middles = np.array([[box.x + box.w / 2, box.y + box.h / 2] for box in boxes])
    usual = np.median(middles, axis=0)
    sides = np.array([max(box.w, box.h) for box in boxes])
    apart = float(np.median(np.linalg.norm(middles - usual, axis=1) / sides))
    return (float(usual[0]), float(usual[1])), apart


def _other_order(looks: Sequence[Look], looker: Looker) -> OtherOrder | None:
    """Return names that mean other places in the detector than in the pose model."""
    detector, pose = looker.models.detector, looker.models.pose
    if detector is None:
        return None
    names = [name for name in detector.keypoint_names if name in pose.keypoint_names]
    if not 2 <= len(names) <= _MAX_ORDERED:
        return None
    apart = _distances(
        looks, [detector.keypoint_names.index(n) for n in names], [pose.keypoint_names.index(n) for n in names]
    )
    if apart is None:
        return None
    places = range(len(names))
    best = min(permutations(places), key=lambda order: float(sum(apart[k, order[k]] for k in places)))
    same, matched = float(np.mean([apart[k, k] for k in places])), float(np.mean([apart[k, best[k]] for k in places]))
    if same < _OTHER_NAME or matched > _SAME_PLACE * same:
        return None
    return OtherOrder(tuple((names[k], names[best[k]]) for k in places if best[k] != k), same, matched)


def _distances(looks: Sequence[Look], of_detector: Sequence[int], of_pose: Sequence[int]) -> Float64 | None:
    """Return the median distances (K, K) of keypoints of the detector from those of the pose (animal lengths)."""
    apart = []
    for look in looks:
        if look.found is None or look.seen is None or not look.is_found:
            continue
        length = animal_length(look.found.xy)
        if length is not None:
            one, other = look.seen.xy[list(of_detector)], look.found.xy[list(of_pose)]
            apart.append(np.linalg.norm(one[:, None] - other[None], axis=2) / length)
    if len(apart) < 3:
        return None
    return np.nan_to_num(np.nanmedian(np.stack(apart).astype(np.float64), axis=0), nan=9.0)


def _moving(movement: Movement, looks: Sequence[Look]) -> Moving:
    largest = movement.largest
    there = [mover for mover in largest if mover is not None]
    boxed = [(m, look.box) for m, look in zip(largest, looks, strict=True) if m is not None and look.box is not None]
    lost = [mover is not None for mover, look in zip(largest, looks, strict=True) if not look.is_found]
    return Moving(
        share=len(there) / len(largest),
        several=sum(_has_second(movers) for movers in movement.movers) / len(largest),
        whole=movement.whole / len(largest),
        length_px=_median([mover.length_px for mover in there]),
        contrast=_median([mover.contrast for mover in there]),
        outside_box=float(np.mean([not mover.is_in(box) for mover, box in boxed])) if boxed else None,
        in_lost=float(np.mean(lost)) if lost else None,
        lost_ratio=_lost_ratio(largest, looks),
    )


def _lost_ratio(movers: Sequence[Mover | None], looks: Sequence[Look]) -> float | None:
    """Return how long what moves is where the animal is not found, relative to where it is."""
    pairs = [(mover.length_px, look.is_found) for mover, look in zip(movers, looks, strict=True) if mover is not None]
    lost, found = ([length for length, is_found in pairs if is_found == wanted] for wanted in (False, True))
    return float(np.median(lost) / np.median(found)) if min(len(lost), len(found)) >= SEVERAL else None


def _has_second(movers: Sequence[Mover]) -> bool:
    """Return whether a second thing moves, of a similar size and not a part of the first."""
    if len(movers) < 2 or movers[1].area < _SIMILAR_AREA * movers[0].area:
        return False
    apart = float(np.hypot(movers[1].x - movers[0].x, movers[1].y - movers[0].y))
    return apart > _MIN_LENGTHS_APART * movers[0].length_px


def _speed(movement: Movement) -> Speed | None:
    speeds = [float(np.hypot(*step)) for step in movement.steps if step is not None]
    if len(speeds) < _MIN_SPEEDS:
        return None
    return Speed(float(np.median(speeds)), float(np.quantile(speeds, 0.75)), _median(movement.smears))


def _edge(sample: Sample, mover: Mover | None) -> float | None:
    return None if mover is None else edge_width(to_gray(sample.image), mover.region(), mover.contrast)


def _comb(sample: Sample, mover: Mover | None) -> float | None:
    return None if mover is None else combing(to_gray(sample.image), mover.region())


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None
