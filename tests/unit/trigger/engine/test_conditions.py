"""Every kind of condition, on poses as they come: what holds, from which pose on, and what is unknown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.pose_streams import Bench, fired_frames, one_rule, pose, received, verdicts

from realtime_cropzoom.calibration.calibration import from_rectangle, from_scale
from realtime_cropzoom.trigger.engine.conditions import All, Condition, Not
from realtime_cropzoom.trigger.engine.conditions import Any as AnyOf
from realtime_cropzoom.trigger.engine.factory import build_smoother
from realtime_cropzoom.trigger.engine.pose_sample import PoseSample
from realtime_cropzoom.trigger.engine.trajectory import turned_deg

SURE = 0.9


def held(when: str, xs: Sequence[float | None], step_ms: float = 10.0, **others: Any) -> list[int]:
    """The frames at which a condition holds: a hold is on exactly then."""
    settings = {k: others.pop(k) for k in list(others) if not isinstance(others[k], tuple)}
    bench = Bench(one_rule(when, hold=True, **settings), step_ms=step_ms)
    on = []
    for frame, x in enumerate(xs):
        bench.see(x, **others)
        if bench.engine.holding:
            on.append(frame)
    return on


def test_inside_and_outside() -> None:
    xs = [400.0, 320.0, 321.0, 0.0, -1.0]
    assert held("{inside: left_half, keypoint: snout}", xs) == [1, 3]
    assert held("{outside: left_half, keypoint: snout}", xs) == [0, 2, 4]


def test_a_margin_has_to_be_passed_to_leave() -> None:
    xs = [325.0, 319.0, 325.0, 330.0, 331.0, 325.0, 320.0]
    assert held("{inside: left_half, keypoint: snout, margin_px: 10}", xs) == [1, 2, 3, 6]
    assert held("{outside: left_half, keypoint: snout, margin_px: 10}", [325, 315, 310, 309, 315, 321]) == [0, 1, 2, 5]


def test_a_margin_is_forgotten_after_a_long_doubt() -> None:
    xs = [319.0, 325.0, *[None] * 11, 325.0]
    assert held("{inside: left_half, keypoint: snout, margin_px: 10}", xs) == [0, 1]
    assert held("{inside: left_half, keypoint: snout, margin_px: 10}", [319, 325, *[None] * 5, 325]) == [0, 1, 7]


@pytest.mark.parametrize(
    ("xs", "entered", "left"),
    [
        ([300, 300], [], []),
        ([400, 300, 310, 400, 300], [1, 4], [3]),
        ([300, 400, 300], [2], [1]),
        ([400, None, 300], [2], []),
        ([400, *[None] * 12, 300, 400], [], [14]),
        ([None, 300, None, 300], [], []),
    ],
)
def test_entered_and_left_are_from_known_to_known(xs: list[float | None], entered: list[int], left: list[int]) -> None:
    for verb, expected in (("entered", entered), ("left", left)):
        bench = Bench(one_rule(f"{{{verb}: left_half, keypoint: snout}}"))
        bench.see_all(xs)
        assert fired_frames(bench.decisions) == expected


def test_entered_with_a_margin_does_not_flicker() -> None:
    bench = Bench(one_rule("{entered: left_half, keypoint: snout, margin_px: 10}"))
    bench.see_all([400, 319, 321, 319, 322, 319, 340, 319])
    assert fired_frames(bench.decisions) == [1, 7]


def test_dwelt_counts_from_the_first_pose_inside() -> None:
    assert held("{dwelt: left_half, keypoint: snout, for_ms: 30}", [400, 300, 300, 300, 300, 300, 400, 300]) == [4, 5]
    with_gap: list[float | None] = [300.0, None, None, 300.0, 300.0]
    assert held("{dwelt: left_half, keypoint: snout, for_ms: 30}", with_gap) == [3, 4]
    long_gap: list[float | None] = [300.0, *[None] * 12, 300.0, 300.0, 300.0, 300.0]
    assert held("{dwelt: left_half, keypoint: snout, for_ms: 30}", long_gap) == [16]


def test_minimum_duration_of_a_rule() -> None:
    xs = [300.0, 300.0, 400.0, 300.0, 300.0, None, 300.0, 300.0]
    assert held("{inside: left_half, keypoint: snout}", xs, for_ms=30) == [6, 7]


def test_hysteresis_keeps_a_threshold() -> None:
    tail: dict[str, Any] = {"tailbase": (0.0, 100.0, SURE)}
    xs = [39.0, 40.0, 35.0, 30.0, 29.0, 35.0, 41.0]
    assert held("{distance_px: [snout, tailbase], above: 40, hysteresis: 10}", xs, **tail) == [1, 2, 3, 6]
    assert held("{distance_px: [snout, tailbase], below: 30, hysteresis: 10}", xs, **tail) == [3, 4, 5]
    assert held("{distance_px: [snout, tailbase], between: [30, 35]}", xs, **tail) == [2, 3, 5]
    assert held("{distance_px: [snout, tailbase], above: 30, below: 35}", xs, **tail) == [2, 3, 5]


def test_distance_to_a_place_and_length_of_a_body() -> None:
    assert held("{distance_px: [snout, [30, 140]], below: 50}", [0.0, -1.0, 30.0]) == [0, 2]
    tail: dict[str, Any] = {"tailbase": (0.0, 140.0, SURE), "middle": (0.0, 100.0, SURE)}
    assert held("{length_px: [snout, middle, tailbase], above: 70}", [20.0, 30.0, 40.0], **tail) == [1, 2]


@pytest.mark.parametrize("over_ms", [20, 50])
@pytest.mark.parametrize("step_ms", [2.0, 10.0, 33.0])
def test_speed_is_that_of_the_motion_at_any_rate(step_ms: float, over_ms: float) -> None:
    """150 px/s, from when the window is full."""
    xs = [100 + 0.15 * step_ms * i for i in range(40)]
    text = "{{speed_px_per_s: snout, between: [{}, {}], over_ms: {}}}"
    on = held(text.format(149.9, 150.1, over_ms), xs, step_ms)
    assert on == list(range(math.ceil(over_ms / step_ms), 40))
    assert held(text.format(0, 149.9, over_ms), xs, step_ms) == []


def test_speed_counts_no_jump_over_a_gap() -> None:
    fast = "{speed_px_per_s: snout, above: 300, over_ms: 20}"
    assert held(fast, [100.0] * 5 + [200.0] * 5) == [5, 6]
    assert held(fast, [100.0] * 5 + [None] * 12 + [200.0] * 5) == []
    bench = Bench(one_rule(fast))
    for segment in (0, 1):
        bench.see_all([100.0 + 100 * segment] * 5, segment=segment)
    assert fired_frames(bench.decisions) == []


def test_jitter_of_one_frame_is_less_the_more_frames_there_are() -> None:
    still = [100.0] * 30
    still[20] = 103.0
    fast = "{speed_px_per_s: snout, above: 150, over_ms: 50}"
    assert held(fast, still, 2.0) == []
    assert held("{speed_px_per_s: snout, above: 150, over_ms: 2}", still, 2.0) != []


def test_acceleration_has_a_sign() -> None:
    """At 10 ms a frame x grows by i · 0.05 px: 500 px/s²; then it brakes as fast."""
    up = [100 + 0.025 * i * i for i in range(30)]
    down = [up[-1] + 1.45 * i - 0.025 * i * i for i in range(1, 29)]
    assert held("{acceleration_px_per_s2: snout, between: [499, 501]}", up) == list(range(10, 30))
    on = held("{acceleration_px_per_s2: snout, between: [-501, -499]}", up + down)
    assert on == list(range(39, 58))


@pytest.mark.parametrize(
    ("turn", "direction", "expected"),
    [(1, "right", True), (1, "left", False), (-1, "left", True), (-1, "either", True), (0, "either", False)],
)
def test_turning_is_continuous_over_the_full_turn(turn: int, direction: str, expected: bool) -> None:
    """3° a frame of 10 ms is 300°/s; growing angles are turns to the right in a picture seen from above."""
    text = f"{{turning_deg_per_s: [tailbase, snout], between: [299, 301], direction: {direction}}}"
    bench = Bench(one_rule(text, hold=True))
    on = []
    for i in range(200):
        angle = math.radians(90 + 3 * i * turn)
        bench.see(200 + 50 * math.cos(angle), 200 + 50 * math.sin(angle), tailbase=(200.0, 200.0, SURE))
        on.append(bool(bench.engine.holding))
    assert on == [False] * 5 + [expected] * 195


@pytest.mark.parametrize(
    ("between", "degrees"),
    [([80, 100], {80, 90, 100}), ([350, 10], {0, 350, 10}), ([-10, 10], {0, 350, 10}), ([170, 190], {180})],
)
def test_headings_wrap_around(between: list[int], degrees: set[int]) -> None:
    """0 is to the right, 90 down in the picture."""
    for angle in (0, 10, 80, 90, 100, 180, 260, 350):
        x, y = 200 + 50 * math.cos(math.radians(angle)), 200 + 50 * math.sin(math.radians(angle))
        bench = Bench(one_rule(f"{{heading_deg: [tailbase, snout], between: {between}, hysteresis: 0}}"))
        bench.see(x + 1e-9, y, tailbase=(200.0, 200.0, SURE))
        edge = angle in between
        assert edge or bool(fired_frames(bench.decisions)) is (angle in degrees), angle


def test_heading_keeps_with_hysteresis() -> None:
    bench = Bench(one_rule("{heading_deg: [tailbase, snout], between: [350, 10], hysteresis: 5}", hold=True))
    on = []
    for angle in (14, 9, 14, 16, 346, 355, 346, 344):
        x, y = 200 + 50 * math.cos(math.radians(angle)), 200 + 50 * math.sin(math.radians(angle))
        bench.see(x, y, tailbase=(200.0, 200.0, SURE))
        on.append(bool(bench.engine.holding))
    assert on == [False, True, True, False, False, True, True, False]


@pytest.mark.parametrize(("target", "expected"), [("disc", 90.0), ("[100, 0]", 0.0), ("tailbase", 180.0)])
def test_angle_to_a_zone_a_place_or_a_keypoint(target: str, expected: float) -> None:
    """The snout looks up from the neck at (100, 240); the disc is to the right, the tail below."""
    text = "{{angle_deg: {{from: neck, to: snout, target: {}}}, between: [{}, {}]}}"
    others: dict[str, Any] = {"neck": (100.0, 240.0, SURE), "tailbase": (100.0, 300.0, SURE)}
    bench = Bench(one_rule(text.format(target, expected - 0.01, expected + 0.01)))
    bench.see(100.0, 200.0, **others)
    assert fired_frames(bench.decisions) == [0]


def test_two_keypoints_on_one_point_have_no_heading() -> None:
    bench = Bench(one_rule("{heading_deg: [tailbase, snout], between: [0, 359]}"))
    (decision,) = bench.see(100.0, tailbase=(100.0, 100.0, SURE))
    assert decision.reason == "tailbase and snout coincide"


def test_a_condition_on_likelihood_is_known_at_low_likelihood() -> None:
    bench = Bench(one_rule("{likelihood: snout, below: 0.3}"))
    bench.see(100.0, p=0.9)
    (decision,) = bench.see(100.0, p=0.2)
    assert (decision.verdict, decision.reason) == ("fired", "likelihood of snout 0.2")


def test_a_state_condition_holds_in_its_states() -> None:
    bench = Bench(one_rule("{state: [coasting, lost]}", states=["tracking", "coasting", "lost"]))
    for state in ("tracking", "coasting", "lost", "tracking", "lost"):
        bench.see(1.0, state=state)
    assert fired_frames(bench.decisions) == [1, 4]


def test_zones_and_lengths_in_cm() -> None:
    by_ten = from_scale(10.0, (640, 480))
    built = one_rule(
        "{all: [{inside: nest, keypoint: snout, margin_cm: 1}, {distance_cm: [snout, [3, 10]], above: 1}]}",
        calibration="arena.yaml",
        zones={"nest": {"rectangle_cm": [1, 1, 9, 19]}},
        hold=True,
    )
    bench = Bench(built, arena=by_ten)
    on = []
    for x in (5, 15, 25, 35, 45, 99, 105, 109, 111, 105):
        bench.see(float(x))
        on.append(bool(bench.engine.holding))
    assert on == [False, True, False, False, True, True, True, True, False, False]


def test_speed_in_cm_is_that_on_the_floor_for_a_tilted_camera() -> None:
    """5 cm/s along the floor of a slanted view is no even motion in the picture."""
    slanted = from_rectangle([(200, 100), (440, 100), (600, 400), (40, 400)], 40.0, 30.0, (640, 480))
    built = one_rule("{speed_cm_per_s: snout, between: [4.99, 5.01]}", calibration="a.yaml", hold=True)
    bench = Bench(built, arena=slanted)
    on = []
    for i in range(30):
        x, y = slanted.to_frame((5 + 0.05 * i, 5.0)).tolist()
        bench.see(x, y)
        on.append(bool(bench.engine.holding))
    assert on == [False] * 5 + [True] * 25


@pytest.mark.parametrize("name", ["one_euro", "kalman"])
def test_speed_and_prediction_come_from_the_filter(name: str) -> None:
    """At 300 px/s an animal 50 ms ahead is in the zone 15 px before its pose is."""
    built = one_rule(
        "{all: [{entered: left_half, keypoint: snout}, {speed_px_per_s: snout, between: [200, 400]}]}",
        filter=name,
        predict=True,
        output_delay_ms=45,
    )
    bench = Bench(built, smoother=build_smoother(built))
    xs = [400 - 3.0 * i for i in range(40)]
    bench.see_all(xs)
    (frame,) = fired_frames(bench.decisions)
    assert frame is not None
    assert 320 < xs[frame] < 340


class Said(Condition):
    """Says what it is told to."""

    def __init__(self, answer: bool | None) -> None:
        self.answer, self.asked = answer, 0
        self.reason = "nobody knows"

    def value(self, sample: PoseSample) -> bool | None:
        self.asked += 1
        return self.answer

    def describe(self) -> str:
        return f"said {self.answer}"


answers = st.lists(st.sampled_from([True, False, None]), min_size=1, max_size=5)


@given(answers)
def test_all_any_and_not_are_kleenes(given_answers: list[bool | None]) -> None:
    """Unknown is what could still become either."""
    look = PoseSample(1, 0, 0.0, "tracking", {})
    known = {False: [False], True: [True], None: [False, True]}

    def possible(combine: Any) -> bool | None:
        results = set()
        for choice in range(2 ** len(given_answers)):
            bits = [bool(choice >> i & 1) for i in range(len(given_answers))]
            if all(bit in known[a] for bit, a in zip(bits, given_answers, strict=True)):
                results.add(combine(bits))
        return results.pop() if len(results) == 1 else None

    parts = [Said(answer) for answer in given_answers]
    for made, combine in ((All(parts), all), (AnyOf(parts), any)):
        assert made.value(look) is possible(combine)
        if made.value(look) is None:
            assert made.reason == "nobody knows"
        opposite = Not(made).value(look)
        assert opposite is (None if possible(combine) is None else not possible(combine))
    assert len({part.asked for part in parts}) == 1, "who remembers must be asked every time"


def test_an_unknown_part_does_not_matter_if_the_others_decide() -> None:
    unsure: dict[str, Any] = {"tailbase": (500.0, 100.0, 0.2)}
    either = "{any: [{inside: left_half, keypoint: tailbase}, {inside: left_half, keypoint: snout}]}"
    assert held(either, [300.0, 400.0], **unsure) == [0]
    both = "{all: [{outside: left_half, keypoint: tailbase}, {inside: left_half, keypoint: snout}]}"
    bench = Bench(one_rule(both))
    bench.see(400.0, **unsure)
    assert bench.decisions == []
    (decision,) = bench.see(300.0, **unsure)
    assert (decision.verdict, decision.reason) == ("refused", "tailbase likelihood 0.20 < 0.6")


@pytest.mark.parametrize("p", [None, 0.59, math.nan])
def test_low_likelihood_is_unknown_unless_the_minimum_is_zero(p: float | None) -> None:
    bench = Bench(one_rule("{inside: left_half, keypoint: snout}"))
    bench.see(300.0, p=p)
    assert verdicts(bench.decisions) == ["refused"]
    lenient = Bench(one_rule("{inside: left_half, keypoint: snout}", min_likelihood=0))
    lenient.see(300.0, p=p)
    assert verdicts(lenient.decisions) == ["fired"]


@pytest.mark.parametrize(("p", "verdict"), [(1.07, "fired"), (85.0, "refused"), (-0.1, "refused")])
def test_a_likelihood_may_be_a_little_above_one(p: float, verdict: str) -> None:
    """That of SLEAP is the height of a peak."""
    bench = Bench(one_rule("{inside: left_half, keypoint: snout}", min_likelihood=0))
    bench.see(300.0, p=p)
    assert verdicts(bench.decisions) == [verdict]


@given(st.floats(0, 359.99), st.floats(-179.99, 179.99))
def test_the_smaller_angle_between_two_directions(before: float, turn: float) -> None:
    assert turned_deg(before, (before + turn) % 360.0) == pytest.approx(turn, abs=1e-9)


@given(
    st.lists(st.tuples(st.integers(1, 90), st.floats(-500, 500)), min_size=3, max_size=40),
    st.integers(1, 120),
)
def test_speed_is_the_slope_of_the_least_squares_line(steps: list[tuple[int, float]], over_ms: int) -> None:
    import numpy as np

    text = f"{{speed_px_per_s: snout, above: 0, over_ms: {over_ms}}}"
    bench = Bench(one_rule(text, hold=True, bridge_ms=100, for_ms=0))
    at_ms, times, xs = 0, [], []
    for frame, (step_ms, x) in enumerate(steps):
        at_ms += step_ms
        times.append(at_ms)
        xs.append(x)
        decisions = bench.take(received(pose(frame, at_ms, {"snout": (x, 0.0, SURE)})))
        window = [i for i in range(len(times)) if at_ms - times[i] <= over_ms]
        older = [i for i in range(len(times)) if at_ms - times[i] >= over_ms]
        if not older:
            assert not bench.engine.holding
            continue
        used = range(min(window[0], older[-1]), len(times))
        expected = abs(np.polyfit([times[i] / 1e3 for i in used], [xs[i] for i in used], 1)[0])
        fired = [d for d in decisions if d.verdict in ("fired", "resumed")]
        if fired:
            assert float(fired[0].reason.split()[-2]) == pytest.approx(expected, rel=2e-3, abs=1e-3)
