"""Facts become causes: each limit from both sides, and silence where the animal is found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.checks.doctor.causes import find_causes
from realtime_cropzoom.checks.doctor.experiments import Experiment, Tried
from realtime_cropzoom.checks.doctor.facts import Facts, Moving, OtherOrder, Seen, SessionFacts, Speed
from realtime_cropzoom.checks.doctor.quality import Light, Repeats
from realtime_cropzoom.checks.doctor.report import report_lines
from realtime_cropzoom.checks.doctor.samples import Sampled
from realtime_cropzoom.errors import flags_of_command
from realtime_cropzoom.inference.manifest import Trained

TRAINED = Trained(
    (640, 480), (90.0, 115.0, 140.0), (-0.5, -0.4, -0.3), (0.5, 0.6, 0.7), "a dark mouse on a bright floor"
)
GOOD = Facts(
    shipped=True,
    trained=TRAINED,
    frame_size=(640, 480),
    fps=30.0,
    live=False,
    crop_size=240,
    usual_crop_size=240,
    seen=Seen(24, 24, 24, {}, 0.99, 115.0, 240.0, 0.5, (320.0, 240.0), None),
    tried=(),
    light=Light(0.69, 0.0, 0.03, 0.0, 0.3, 0.0),
    repeats=Repeats(0.0, 0.0),
    moving=Moving(1.0, 0.04, 0.0, 145.0, -0.34, 0.0, None),
    speed=Speed(3.6, 5.0, 1.2),
    edge_px=5.1,
    combing=1.25,
    blocks=1.1,
)


def with_facts(**parts: Any) -> Facts:
    """The good facts with some of their parts changed: ``seen={"found": 3}`` changes one number of a part."""
    changed = {
        name: replace(getattr(GOOD, name), **value) if isinstance(value, dict) else value
        for name, value in parts.items()
    }
    return replace(GOOD, **changed)


def lost(**parts: Any) -> Facts:
    """Facts of a source in which the animal is found in 1 of 24 frames."""
    return with_facts(**{"seen": {"found": 1, "length_px": None}, **parts})


def tried(family: str, found: int, frames: int = 12, length: float = 115.0, **how: Any) -> Tried:
    return Tried(Experiment(family, **how), found, frames, length if found else None)


SMALL, LARGE = {"length_px": 80.0}, {"length_px": 220.0}
"""What moves is smaller, and larger, than the animals of the training."""


def causes(facts: Facts) -> list[str]:
    return [finding.cause for finding in find_causes(facts)]


def test_a_good_recording_has_no_cause() -> None:
    assert causes(GOOD) == []


@given(
    found=st.integers(22, 24),
    light=st.builds(Light, *[st.floats(0, 1)] * 3, st.floats(0, 1), st.floats(0, 60), st.floats(0, 255)),
    edge=st.floats(0, 60),
    combing=st.floats(0, 20),
    blocks=st.floats(0, 20),
    smear=st.floats(0.1, 5),
)
def test_bad_pictures_are_no_cause_where_the_animal_is_found(
    found: int, light: Light, edge: float, combing: float, blocks: float, smear: float
) -> None:
    facts = with_facts(
        seen={"found": found}, light=light, edge_px=edge, combing=combing, blocks=blocks, speed=Speed(60.0, 80.0, smear)
    )
    assert causes(facts) == []


CASES = [
    pytest.param({"tried": (tried("contrast", 11),)}, {"tried": (tried("contrast", 5),)}, "contrast", id="contrast"),
    pytest.param(
        {"tried": (tried("zoom", 9, length=70.0, factor=2.0),), "moving": SMALL},
        {"tried": (tried("zoom", 9, factor=2.0),)},
        "size in the frame",
        id="size",
    ),
    pytest.param(
        {"tried": (tried("box", 9, length=200.0, box_factor=2.0),), "moving": LARGE},
        {"tried": (tried("box", 9, box_factor=2.0),)},
        "box size",
        id="box",
    ),
    pytest.param({"tried": (tried("light", 9),)}, {"tried": (tried("light", 1),)}, "exposure", id="stretched"),
    pytest.param({"tried": (tried("channels", 9),)}, {"tried": ()}, "colour order", id="colours"),
    pytest.param({"tried": (tried("turn", 10),)}, {"tried": (tried("turn", 9),)}, "turned", id="turned"),
    pytest.param({"tried": (tried("aspect", 9),)}, {"tried": ()}, "frame shape", id="shape"),
    pytest.param({"edge_px": 13.0}, {"edge_px": 10.0}, "focus", id="focus"),
    pytest.param({"speed": Speed(50.0, 60.0, 1.45)}, {"speed": Speed(4.0, 6.0, 1.45)}, "motion blur", id="motion"),
    pytest.param({"speed": Speed(50.0, 60.0, 1.45)}, {"speed": Speed(50.0, 60.0, 1.2)}, "motion blur", id="no smear"),
    pytest.param({"light": {"flicker": 0.1}}, {"light": {"flicker": 0.01}}, "flicker", id="flicker"),
    pytest.param({"light": {"noise": 13.0}}, {"light": {"noise": 6.4}}, "noise", id="noise"),
    pytest.param({"light": {"brightness": 0.07}}, {"light": {"brightness": 0.2}}, "exposure", id="dark"),
    pytest.param({"light": {"white": 0.6}}, {"light": {"white": 0.1}}, "exposure", id="white"),
    pytest.param({"combing": 10.5}, {"combing": 2.7}, "interlacing", id="interlacing"),
    pytest.param({"blocks": 6.9}, {"blocks": 3.6}, "compression", id="compression"),
    pytest.param({"moving": {"whole": 0.5}}, {"moving": {"whole": 0.1}}, "moving camera", id="camera"),
    pytest.param({"moving": {"contrast": 0.34}}, {"moving": {"contrast": 0.03}}, "contrast", id="bright mover"),
    pytest.param(
        {"moving": {"length_px": 40.0}}, {"moving": {"length_px": 80.0}}, "size in the frame", id="small mover"
    ),
    pytest.param({"repeats": {"far": 1.0}}, {"repeats": {"far": 0.5}}, "frozen", id="frozen"),
    pytest.param({"repeats": {"following": 0.5}}, {"repeats": {"following": 0.1}}, "repeated frames", id="repeated"),
    pytest.param({"moving": {"several": 0.8}}, {"moving": {"several": 0.3}}, "several animals", id="several"),
    pytest.param({"moving": {"outside_box": 0.9}}, {"moving": {"outside_box": 0.3}}, "wrong thing", id="wrong thing"),
]


@pytest.mark.parametrize(("bad", "fine", "cause"), CASES)
def test_a_cause_is_named_beyond_its_limit_and_not_before(bad: Any, fine: Any, cause: str) -> None:
    assert causes(lost(**bad))[0] == cause
    assert cause not in causes(lost(**fine))


@pytest.mark.parametrize(("bad", "fine", "cause"), CASES)
def test_each_finding_has_numbers_and_advice_in_one_line(bad: Any, fine: Any, cause: str) -> None:
    finding = find_causes(lost(**bad))[0]
    assert "\n" not in finding.text + finding.advice
    assert any(letter.isdigit() for letter in finding.text) or cause == "frozen"
    assert finding.text[0].isupper()
    assert finding.advice[0].isupper()
    assert finding.advice.endswith((".", "?"))
    assert not finding.text.endswith(".")


def test_the_wrong_thing_counts_where_poses_look_good_and_says_where() -> None:
    at_one_place = with_facts(
        moving={"outside_box": 0.95}, seen={"box_spread": 0.02, "box_place": (100.0, 60.0)}
    )  # fmt: skip
    assert "is always near x 100, y 60" in find_causes(at_one_place)[0].text
    assert "jumps between places" in find_causes(with_facts(moving={"outside_box": 0.95}))[0].text


def test_names_that_detector_and_pose_model_exchange_are_told() -> None:
    order = OtherOrder((("nose", "tail"), ("tail", "nose")), 0.9, 0.05)
    [finding] = find_causes(with_facts(seen={"order": order}))
    assert "nose of the detector is tail of the pose model" in finding.text


def test_jumps_of_a_session_count_where_each_pose_is_plausible() -> None:
    session = SessionFacts(1000, 0.99, None, 0.2, 0.0)
    assert causes(with_facts(session=session)) == ["jumps"]
    assert causes(with_facts(session=replace(session, jumps=0.01))) == []


def test_models_that_fail_on_their_own_held_out_frames_are_named_and_no_experiment_counts() -> None:
    """Weak models find something in any changed picture."""
    turned = tried("turn", 12)
    assert causes(lost(tried=(turned,))) == ["turned"]
    assert causes(lost(tried=(turned,), held_out=(10, 20))) == ["weak models"]
    assert causes(lost(tried=(turned,), held_out=(19, 20))) == ["turned"]
    assert causes(with_facts(held_out=(10, 20))) == [], "here they find it"
    [finding] = find_causes(lost(held_out=(10, 20)))
    assert "in 10 of 20 held-out frames" in finding.text


def test_the_contrast_says_what_is_measured_and_what_the_models_know() -> None:
    [finding] = find_causes(lost(tried=(tried("contrast", 11),), moving={"contrast": 0.35}))
    assert finding.text == (
        "The contrast is reversed: your animal is brighter than the floor (by 35 %); the shipped models know a dark "
        "mouse on a bright floor, 115 px long (90–140) in frames of 640×480; of 12 frames in which the models find "
        "nothing, they find the animal in 11 (92 %) once dark and bright are exchanged"
    )
    assert finding.advice.startswith("Train your own on frames of it: cropzoom init")
    assert finding.needs_training


def test_boxes_come_with_the_side_to_set_where_the_command_has_the_flag() -> None:
    both = tried("box", 12, length=200.0, box_factor=2.0), tried("zoom", 9, length=200.0, factor=0.5)
    facts = lost(tried=both, moving=LARGE)
    with flags_of_command(["--crop-size"]):
        [finding] = find_causes(facts)
    assert (finding.advice, finding.crop_size) == ("Set --crop-size 480.", 480)
    with flags_of_command([]):
        assert find_causes(facts)[0].advice == "Set crop_size 480."


@pytest.mark.parametrize("trained", [TRAINED, None])
def test_what_needs_two_changes_is_a_matter_of_the_models_and_no_size_to_set(trained: Trained | None) -> None:
    with_size = tried("box", 12, length=150.0, box_factor=2.0, inverted=True)
    bright = lost(tried=(tried("contrast", 0), with_size), moving={"contrast": 0.3}, trained=trained)
    [finding] = find_causes(bright)
    assert (finding.cause, finding.crop_size) == ("contrast", None)
    assert finding.text.endswith("once dark and bright are exchanged and boxes are twice as wide")
    assert finding.advice.startswith("Train your own")


def test_no_size_contradicts_the_length_of_what_moves() -> None:
    """A pose half as long as what moves is none, whatever the picture was changed to."""
    for size in (tried("box", 12, length=71.0, box_factor=0.5), tried("zoom", 12, length=71.0, factor=2.0)):
        moves = {"length_px": 170.0}
        assert causes(lost(tried=(size,), moving=moves)) == ["unknown animal"]
        assert causes(lost(tried=(size,), moving={"length_px": 80.0})) != ["unknown animal"]


def test_no_size_contradicts_the_length_at_which_the_animal_is_found_as_it_is() -> None:
    seen = {"found": 11, "length_px": 118.0}
    larger = tried("box", 12, length=145.0, box_factor=1.4)
    found = with_facts(seen=seen, tried=(larger,))
    assert "box size" not in causes(found)
    assert "box size" in causes(replace(found, moving=replace(found.moving, lost_ratio=1.6)))
    assert "box size" not in causes(replace(found, moving=replace(found.moving, lost_ratio=0.6)))


def test_poses_that_are_not_as_long_as_what_moves_say_nothing_of_its_size() -> None:
    assert causes(with_facts(seen={"found": 10, "length_px": 50.0})) == ["unknown animal"]


def test_boxes_of_another_side_than_in_the_training_are_named_with_that_side() -> None:
    set_to_160 = lost(seen={"found": 8, "length_px": 118.0, "box_side": 160.0}, crop_size=160)
    larger, smaller = tried("box", 12, box_factor=1.4), tried("box", 12, box_factor=0.5)
    [finding] = find_causes(replace(set_to_160, tried=(larger,)))
    assert (finding.cause, finding.crop_size) == ("box size", 240)
    assert "in the training they are 240 px wide" in finding.text
    assert "box size" not in causes(replace(set_to_160, tried=(smaller,)))


def test_a_picture_in_which_the_animal_is_often_found_is_not_upside_down() -> None:
    turned = (tried("turn", 12),)
    assert causes(with_facts(seen={"found": 11}, tried=turned)) == ["unknown animal"]
    assert causes(lost(tried=turned)) == ["turned"]


def test_the_report_says_which_models_each_number_is_of() -> None:
    ran = SessionFacts(600, 1.0, None, 0.0, 0.0, "the shipped models")
    sampled = Sampled("rat.mp4", 640, 480, 30.0, 600, ())
    other = report_lines(sampled, with_facts(session=ran), [], "rat_arena")
    assert other[1] == "the session (with the shipped models): tracked in 100 % of 600 frames"
    assert other[2].startswith("with the models of now, the animal is found in 24 of 24 frames")
    same = report_lines(sampled, with_facts(session=replace(ran, models=None)), [], "rat_arena")
    assert same[1].startswith("the session: tracked")
    assert same[2].startswith("animal found in 24")


def test_where_most_frames_are_found_a_few_are_not_explained_by_any_small_change() -> None:
    some = (tried("turn", 4, 4), tried("interlacing", 4, 4), tried("box", 4, 4, box_factor=1.4))
    assert causes(with_facts(seen={"found": 20}, tried=some)) == ["some frames"]
    assert causes(with_facts(seen={"found": 20}, tried=some, combing=10.0)) == ["interlacing"]


@pytest.mark.parametrize(
    ("facts", "cause"),
    [
        (lost(tried=(tried("contrast", 0),)), "unknown animal"),
        (lost(moving={"in_lost": 0.1}), "no animal"),
        (lost(seen={"found": 0, "length_px": None}, moving={"share": 0.0, "in_lost": 0.0}), "no animal"),
        (with_facts(seen={"found": 20}), "some frames"),
    ],
)
def test_without_an_explanation_it_says_what_is_not_known(facts: Facts, cause: str) -> None:
    assert causes(facts) == [cause]


def test_an_own_model_is_trained_again_and_not_made_anew() -> None:
    [finding] = find_causes(replace(lost(), shipped=False, trained=None))
    assert "cropzoom frames PROJECT VIDEO" in finding.advice
    assert "cropzoom init" not in finding.advice


def test_shipped_models_that_do_not_say_it_know_dark_animals_and_own_models_are_not_guessed() -> None:
    bright = replace(lost(moving={"contrast": 0.4}), trained=None)
    assert causes(bright) == ["contrast"]
    assert causes(replace(bright, shipped=False)) == ["unknown animal"]
    both = msgspec.structs.replace(TRAINED, contrast=(-0.5, 0.1, 0.6))
    assert causes(replace(bright, trained=both)) == ["unknown animal"]
