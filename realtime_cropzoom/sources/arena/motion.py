"""Motion of the synthetic animal: moods and steering, and the path that results.

The path is integrated with a fixed step and depends only on the seed, not on the frame rate. Units and
directions are as in ``posture``.
"""

from __future__ import annotations

import math
from array import array
from collections import OrderedDict
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from realtime_cropzoom.sources.arena.build import MOUSE, Build
from realtime_cropzoom.sources.arena.posture import TAIL_JOINTS, Posture, Rect
from realtime_cropzoom.types import Float64

STEP_S = 0.01
"""Time step (s) of the integration."""
SEGMENT_STEPS = 200
"""Number of steps of a segment of the path."""


class _Mood(NamedTuple):
    """Behaviour of the animal for a while. Values are drawn uniformly from each range."""

    weight: float
    speed: tuple[float, float]
    turn: tuple[float, float]
    seconds: tuple[float, float]


_MOODS = (
    _Mood(0.16, (0.0, 0.0), (0.0, 0.15), (0.5, 1.8)),  # rest
    _Mood(0.38, (0.5, 1.3), (0.0, 0.8), (1.0, 3.5)),  # walk
    _Mood(0.20, (0.15, 0.5), (2.0, 4.5), (0.35, 0.9)),  # turn
    _Mood(0.26, (2.5, 4.0), (0.0, 0.6), (0.5, 1.3)),  # sprint
)


@dataclass(slots=True)
class _Animal:
    """State that is integrated, as plain floats. The first fields are the same as in ``Posture``."""

    x: float
    y: float
    heading: float
    speed: float = 0.0
    bend: float = 0.0
    head: float = 0.0
    gait: float = 0.0
    tail0: float = 0.0
    tail1: float = 0.0
    tail2: float = 0.0
    tail3: float = 0.0
    tail4: float = 0.0
    turn: float = 0.0
    wander: float = 0.0
    curl: float = 0.0
    gaze: float = 0.0
    gaze_left_s: float = 0.0
    mood_left_s: float = 0.0
    speed_goal: float = 0.0
    turn_goal: float = 0.0

    def posture(self, build: Build) -> Posture:
        tail = (self.tail0, self.tail1, self.tail2, self.tail3, self.tail4)
        return Posture(self.x, self.y, self.heading, self.speed, self.bend, self.head, self.gait, tail, 0.0, build)

    def decide(self, chance: list[float]) -> None:
        """Choose a new mood or gaze when the last one has run out. ``chance`` holds four uniform draws."""
        pick, a, b, c = chance
        self.mood_left_s -= STEP_S
        self.gaze_left_s -= STEP_S
        if self.mood_left_s <= 0:
            for mood in _MOODS:
                pick -= mood.weight
                if pick < 0:
                    break
            self.speed_goal = mood.speed[0] + a * (mood.speed[1] - mood.speed[0])
            turn = mood.turn[0] + abs(2 * b - 1) * (mood.turn[1] - mood.turn[0])
            self.turn_goal = math.copysign(turn, b - 0.5)
            self.mood_left_s = mood.seconds[0] + c * (mood.seconds[1] - mood.seconds[0])
        elif self.gaze_left_s <= 0:
            self.gaze = 1.5 * (a - 0.5)
            self.gaze_left_s = 0.25 + 0.9 * b

    def steer(self, floor: Rect) -> tuple[float, float]:
        """Return the target speed and turn rate: the values of the mood, adapted if a wall is ahead."""
        reach = 0.6 + 0.3 * self.speed
        cos, sin = math.cos(self.heading), math.sin(self.heading)
        ahead_x, ahead_y = self.x + reach * cos, self.y + reach * sin
        free_x, free_y = _clip(ahead_x, floor.x0, floor.x1), _clip(ahead_y, floor.y0, floor.y1)
        over = math.hypot(free_x - ahead_x, free_y - ahead_y)
        turn = self.turn_goal + self.wander
        if over == 0:
            return self.speed_goal, turn
        inward_x, inward_y = (floor.x0 + floor.x1) / 2 - self.x, (floor.y0 + floor.y1) / 2 - self.y
        pull = 2 * over / (math.hypot(inward_x, inward_y) + 1e-6)
        away = math.atan2(free_y - self.y + pull * inward_y, free_x - self.x + pull * inward_x) - self.heading
        away = math.remainder(away, 2 * math.pi)
        weight = min(1.0, over / 0.35) * min(1.0, self.speed / 0.4)
        speed = min(self.speed_goal, 0.4 + 3.2 * max(0.0, reach - over - 0.35))
        return speed, (1 - weight) * turn + weight * _clip(7 * away, -6.0, 6.0)

    def advance(self, floor: Rect, build: Build, chance: list[float], noise: list[float]) -> None:
        """Integrate one step of ``STEP_S``. ``chance`` holds four uniform, ``noise`` two standard normal draws."""
        self.decide(chance)
        speed, turn = self.steer(floor)
        self.speed += (speed - self.speed) * STEP_S / 0.14
        self.turn += (turn - self.turn) * STEP_S / 0.09
        self.wander += -self.wander * STEP_S / 0.8 + 0.9 * math.sqrt(STEP_S) * noise[0]
        self.curl += -self.curl * STEP_S / 1.5 + 0.22 * math.sqrt(STEP_S) * noise[1]
        self.heading += self.turn * STEP_S
        self.x += self.speed * math.cos(self.heading) * STEP_S
        self.y += self.speed * math.sin(self.heading) * STEP_S
        self.gait += 2 * math.pi * STEP_S * self.speed / 0.6
        sway = 0.1 * min(1.0, self.speed) * math.sin(self.gait)
        self.bend += (_clip(0.26 * self.turn, -0.9, 0.9) + sway - self.bend) * STEP_S / 0.16
        calm = 1 - 0.7 * min(1.0, self.speed / 2.5)
        self.head += (_clip(self.gaze * calm + 0.12 * self.turn, -0.9, 0.9) - self.head) * STEP_S / 0.11
        self._drag_tail(build)
        self._keep_inside(floor, build)

    def _drag_tail(self, build: Build) -> None:
        """Let each tail joint follow the previous one, as if dragged: the faster the animal, the faster the joint."""
        rate = min(1.0, STEP_S * (0.8 + self.speed * TAIL_JOINTS / build.tail))
        leader = self.heading - self.bend / 2 + math.pi
        tail = []
        for joint in (self.tail0, self.tail1, self.tail2, self.tail3, self.tail4):
            joint += rate * (leader + self.curl - joint)
            leader += _clip(joint - leader, -0.6, 0.6)
            tail.append(leader)
        self.tail0, self.tail1, self.tail2, self.tail3, self.tail4 = tail

    def _keep_inside(self, floor: Rect, build: Build) -> None:
        """Slide along a wall instead of into it."""
        if floor.x0 + 0.8 < self.x < floor.x1 - 0.8 and floor.y0 + 0.8 < self.y < floor.y1 - 0.8:
            return
        posture = self.posture(build)
        end = posture.length / 2
        points = [posture.along(s * end, side) for s in (-0.45, 0.45) for side in (-build.flank, build.flank)]
        points += [posture.along(-end), posture.on_head(build.snout + 0.02, 0.0)]
        points += [posture.on_head(build.ear_ahead, side * (build.ear_aside + 0.05)) for side in (-1, 1)]
        xs, ys = [x for x, _ in points], [y for _, y in points]
        self.x += max(0.0, floor.x0 - min(xs)) - max(0.0, max(xs) - floor.x1)
        self.y += max(0.0, floor.y0 - min(ys)) - max(0.0, max(ys) - floor.y1)


_state = attrgetter(*(field.name for field in fields(_Animal)))


class Trajectory:
    """Path for one seed on one floor. It can be queried at any time, in any order.

    The path is integrated in segments of two seconds, each with its own random draws. The state at the
    start of every segment is kept (130 bytes per second of path, 11 MB per day), and the last few segments.
    The first query of a time integrates the path up to it, which takes about 3 ms per second of path.
    """

    def __init__(self, floor: Rect, seed: int, build: Build = MOUSE) -> None:
        """Place the animal at a random position on the floor."""
        self._floor = floor
        self._build = build
        self._seed = seed
        draw = np.random.default_rng([seed, 0])
        heading = float(draw.uniform(-math.pi, math.pi))
        animal = _Animal(
            float(draw.uniform(floor.x0 + 1, floor.x1 - 1)) if floor.x1 - floor.x0 > 2 else (floor.x0 + floor.x1) / 2,
            float(draw.uniform(floor.y0 + 1, floor.y1 - 1)) if floor.y1 - floor.y0 > 2 else (floor.y0 + floor.y1) / 2,
            heading,
            **{f"tail{joint}": heading + math.pi for joint in range(TAIL_JOINTS)},
        )
        self._starts = [array("d", _state(animal))]
        self._segments: OrderedDict[int, Float64] = OrderedDict()

    def at(self, time_s: float) -> Posture:
        """Return the posture at ``time_s`` ≥ 0, interpolated between two steps."""
        step, part = divmod(time_s / STEP_S, 1.0)
        number, row = divmod(int(step), SEGMENT_STEPS)
        before, after = self._segment(number)[row : row + 2]
        x, y, heading, speed, bend, head, gait, *tail = (before + part * (after - before)).tolist()
        return Posture(x, y, heading, speed, bend, head, gait, tuple(tail), 2 * math.pi * 2.3 * time_s, self._build)

    def _segment(self, number: int) -> Float64:
        """Return the posture at every step of a segment and at its end: (SEGMENT_STEPS + 1, 7 + TAIL_JOINTS)."""
        while number not in self._segments:
            self._integrate(min(number, len(self._starts) - 1))
        return self._segments[number]

    def _integrate(self, number: int) -> None:
        draw = np.random.default_rng([self._seed, 1, number])
        chances = draw.random((SEGMENT_STEPS, 4)).tolist()
        noises = draw.standard_normal((SEGMENT_STEPS, 2)).tolist()
        animal = _Animal(*self._starts[number])
        rows = [_state(animal)]
        for chance, noise in zip(chances, noises, strict=True):
            animal.advance(self._floor, self._build, chance, noise)
            rows.append(_state(animal))
        if number + 1 == len(self._starts):
            self._starts.append(array("d", rows[-1]))
        self._segments[number] = np.array(rows)[:, : 7 + TAIL_JOINTS]
        if len(self._segments) > 4:
            self._segments.popitem(last=False)


def _clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
