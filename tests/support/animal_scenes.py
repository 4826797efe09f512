"""Scenes of several animals for tests of tracks: where each is, and what a detector finds of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from realtime_cropzoom.inference.tracks import Spotted, Track, Tracks
from realtime_cropzoom.pipeline.animals import distinct
from realtime_cropzoom.types import Box

SIDE = 100
"""Side of the boxes (pixels); lengths of a scene are in sides."""
AREA, SPEED, MERGED, BODY = 6.0, 1.4, 0.25, 0.5
"""Side of the arena, maximum speed in each direction (a second), distance below which two animals are one detection,
and length of an animal."""


@dataclass(frozen=True)
class Habits:
    """What happens in a scene."""

    flicker: float = 0.0
    """Share of frames in which the detector misses an animal."""
    hides: float = 0.0
    """How often an animal goes out of sight, or comes back (a second)."""
    twice: float = 0.0
    """Share of detections beside which there is another one of the same animal."""
    false: float = 0.0
    """Share of frames with a detection of nothing."""
    absent: float = 0.3
    """Share of animals that are out of sight at first."""
    dead: float = 0.2
    """Share of animals that do not move."""


Seen = tuple[tuple[float, float], frozenset[int]]
"""A detection: where (sides), and of which animals."""


@dataclass(frozen=True)
class Scene:
    """Where the animals are in each frame, and what is found."""

    step_ms: float
    places: list[np.ndarray]
    """(animals, 2) a frame"""
    seen: list[list[Seen]]

    @classmethod
    def make(cls, seed: int, animals: int, step_ms: float, habits: Habits, frames: int = 60) -> Scene:
        random, step_s = np.random.default_rng(seed), step_ms / 1e3
        places, speeds = random.uniform(0, AREA, (animals, 2)), np.zeros((animals, 2))
        dead, hidden = random.random(animals) < habits.dead, random.random(animals) < habits.absent
        scene = cls(step_ms, [], [])
        for _ in range(frames):
            speeds = np.clip(speeds + random.normal(0, 3 * np.sqrt(step_s), (animals, 2)), -SPEED, SPEED)
            speeds[dead] = 0
            moved = places + speeds * step_s
            speeds[(moved < 0) | (moved > AREA)] *= -1
            places = np.clip(moved, 0, AREA)
            hidden ^= random.random(animals) < habits.hides * step_s
            visible = [a for a in range(animals) if not hidden[a] and random.random() >= habits.flicker]
            scene.places.append(places)
            scene.seen.append(detections(random, places, visible, habits))
        return scene

    def found(self) -> list[list[Spotted]]:
        """The detections of each frame, as a detector gives them: the surest first."""
        return [[spotted(x, y, 1 - 0.01 * number) for number, ((x, y), _) in enumerate(frame)] for frame in self.seen]

    def track(self, tracks: int) -> list[tuple[Track, ...]]:
        following = Tracks(tracks)
        return [
            following.update(round(index * self.step_ms * 1e6), distinct(found))
            for index, found in enumerate(self.found())
        ]

    def clear_animal(self, frame: int, box: Box | None) -> int | None:
        """The animal of a box, if there is no doubt: one detection of one animal, and no other within a body."""
        labels = [of for (x, y), of in self.seen[frame] if spotted(x, y).box == box]
        if len(labels) != 1 or len(labels[0]) != 1:
            return None
        (animal,) = labels[0]
        apart = np.linalg.norm(self.places[frame] - self.places[frame][animal], axis=1)
        return animal if (apart < BODY).sum() == 1 else None


def detections(random: np.random.Generator, places: np.ndarray, visible: Sequence[int], habits: Habits) -> list[Seen]:
    seen, left = [], list(visible)
    while left:
        group = [a for a in left if np.abs(places[a] - places[left[0]]).max() < MERGED]
        left = [a for a in left if a not in group]
        x, y = places[group].mean(axis=0).tolist()
        seen.append(((x, y), frozenset(group)))
        if random.random() < habits.twice:
            seen.append(((x + random.uniform(-0.3, 0.3), y + random.uniform(-0.3, 0.3)), frozenset(group)))
    if random.random() < habits.false:
        seen.append(((random.uniform(0, AREA), random.uniform(0, AREA)), frozenset()))
    return seen


def spotted(x: float, y: float, score: float = 1.0) -> Spotted:
    return Spotted(Box(x * SIDE - SIDE / 2, y * SIDE - SIDE / 2, SIDE, SIDE), score)


def unmarked_swaps(scene: Scene, tracked: Sequence[Sequence[Track]]) -> list[tuple[int, int, int]]:
    """Track, and the two frames, wherever a track changed its animal and was certain all the time."""
    found = []
    for index in range(len(tracked[0])):
        animal, since = None, 0
        for frame, tracks in enumerate(tracked):
            now = scene.clear_animal(frame, tracks[index].box)
            if now is None:
                continue
            if animal not in (None, now) and not any(t[index].uncertain for t in tracked[since : frame + 1]):
                found.append((index + 1, since, frame))
            animal, since = now, frame
    return found
