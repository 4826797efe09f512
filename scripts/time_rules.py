"""How long the rule engine takes for a pose: twenty rules of mixed kinds, poses of four keypoints at 500 Hz.

    python scripts/time_rules.py [--poses 20000]

Prints the median, the 99th percentile and the maximum in µs of the thread's own time: what others take the
core for is not in it.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from typing import Any

from realtime_cropzoom.message import Counts, PoseMessage, TimeField
from realtime_cropzoom.trigger.engine import Engine
from realtime_cropzoom.trigger.events import Command, Order, Received
from realtime_cropzoom.trigger.rules import parse_rules

_KEYPOINTS = ("snout", "leftear", "rightear", "tailbase")
_PERIOD_NS = 2_000_000
_CONDITIONS: list[Any] = [
    {"entered": "corner", "keypoint": "snout"},
    {"left": "feeder", "keypoint": "snout", "margin_px": 5},
    {"dwelt": "nest", "keypoint": "tailbase", "for_ms": 300},
    {"all": [{"inside": "feeder", "keypoint": "snout"}, {"speed_px_per_s": "tailbase", "above": 100}]},
    {"all": [{"outside": "corner", "keypoint": "snout"}, {"distance_px": ["snout", "tailbase"], "below": 60}]},
    {"angle_deg": {"from": "tailbase", "to": "snout", "target": "feeder"}, "below": 20},
    {"any": [{"turning_deg_per_s": ["tailbase", "snout"], "above": 180}, {"inside": "nest", "keypoint": "snout"}]},
    {
        "all": [
            {"heading_deg": ["tailbase", "snout"], "between": [350, 10]},
            {"not": {"inside": "nest", "keypoint": "leftear"}},
        ]
    },
    {"acceleration_px_per_s2": "snout", "above": 2000},
    {"all": [{"likelihood": "leftear", "above": 0.7}, {"length_px": ["snout", "leftear", "tailbase"], "above": 50}]},
]


def rules() -> Any:
    """Each of ten conditions twice, as a pulse and, where that can be, as a hold."""
    made = {}
    for i, condition in enumerate(_CONDITIONS * 2):
        edge = "entered" in condition or "left" in condition
        action = {"hold": True} if i >= len(_CONDITIONS) and not edge else {"pulse_ms": 10, "refractory_ms": 500}
        made[f"rule_{i}"] = {"when": condition, "fire": "laser", **action}
    return parse_rules(
        {
            "limits": {"max_fired": 10**9, "max_on_s": 1e6},
            "zones": {
                "corner": {"rectangle_px": [0, 0, 200, 200]},
                "feeder": {"circle_px": [320, 240, 60]},
                "nest": {"polygon_px": [[400, 300], [600, 310], [560, 460], [480, 400], [420, 470]]},
            },
            "outputs": {"laser": {"serial": "none"}},
            "rules": made,
        }
    )


def event(i: int, chance: random.Random) -> Received:
    """An animal that runs round the arena, a little unsure of itself."""
    at_ns = 1_000_000_000 + i * _PERIOD_NS
    turn = i * 0.004
    points = {}
    for k, name in enumerate(_KEYPOINTS):
        x = 320 + 220 * math.cos(turn - 0.1 * k) + chance.gauss(0, 0.5)
        y = 240 + 160 * math.sin(turn - 0.1 * k) + chance.gauss(0, 0.5)
        points[name] = (x, y, 0.3 if chance.random() < 0.01 else 0.95)
    times = TimeField(None, at_ns, None, None, at_ns, at_ns, 0)
    message = PoseMessage(1, "r", "cam0", i, i, "tracking", "live", points, None, times, Counts(0, 0, 0, 0, 0))
    return Received(message, at_ns + 4_000_000)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="time the rule engine")
    parser.add_argument("--poses", type=int, default=20_000)
    poses = parser.parse_args().poses
    chance = random.Random(1)
    events = [event(i, chance) for i in range(poses)]
    engine = Engine(rules(), seed=1)
    engine.take(Command(Order.ARM, 0, "script"))
    took_ns, decisions = [], 0
    for one in events:
        begin = time.thread_time_ns()
        decisions += len(engine.take(one))
        took_ns.append(time.thread_time_ns() - begin)
    took_ns.sort()
    us = [took_ns[round(q * (poses - 1))] / 1000 for q in (0.5, 0.99, 1.0)]
    print(f"20 rules, {poses} poses, {decisions} decisions: median {us[0]:.1f}, 99 % {us[1]:.1f}, max {us[2]:.1f} µs")


if __name__ == "__main__":
    main()
