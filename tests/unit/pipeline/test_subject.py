"""Subjects: several animals in one frame, each with a box, a state and a number of its own; frames count once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from support.films import film_in_a_ring
from support.pipelines import tiny_models

from realtime_cropzoom.inference.model import Model, Outputs
from realtime_cropzoom.inference.presence import JudgeLimits, PoseJudge, Presence
from realtime_cropzoom.inference.schedule import NO_BOX
from realtime_cropzoom.pipeline.pose import PoseOptions, PoseStage
from realtime_cropzoom.pipeline.subject import Subject
from realtime_cropzoom.runtime.box_slot import BoxSlot
from realtime_cropzoom.runtime.records import FrameCounts, FrameOutcome, Record
from realtime_cropzoom.runtime.worker import RunControl
from realtime_cropzoom.types import ActiveBox, Box, Detection, FrameMeta, Keypoints, State

FRAMES, SIZE = 5, (160, 96)
BOXES = (Box(0, 0, 64, 64), Box(80, 20, 64, 64), None)
"""The third animal is not there."""


class Fixed:
    """Schedule with one box."""

    def __init__(self, box: Box | None) -> None:
        self.active = NO_BOX if box is None else ActiveBox(box, 0, 0.0, State.TRACKING, 1)

    def offer(self, detection: Detection) -> None:
        raise AssertionError

    def choose(self, meta: FrameMeta) -> ActiveBox:
        return self.active


class Listening:
    """Sink and publisher that keep what they get."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.messages: list[tuple[Record, ...]] = []

    def put(self, record: Record) -> None:
        self.records.append(record)

    def publish(self, *records: Record) -> int:
        self.messages.append(records)
        return 77

    def end(self) -> None:
        pass

    def of(self, subject: int) -> list[Record]:
        return [record for record in self.records if record.subject == subject]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    model = Model(Path(tiny_models(tmp_path_factory.mktemp("models"), batches=True)["pose"]), "pose")
    assert model.session.batch is None, "it takes batches"
    return model


def run(model: Model, boxes: Sequence[Box | None], options: PoseOptions) -> tuple[PoseStage, Listening]:
    _, reader = film_in_a_ring(FRAMES, SIZE)
    heard = Listening()
    subjects = [
        Subject(model, BoxSlot(Fixed(box)), PoseJudge(JudgeLimits(Presence(), 1000)), number=i)
        for i, box in enumerate(boxes)
    ]
    stage = PoseStage(model, reader, subjects, [heard], RunControl(), options, publisher=heard)
    stage.start()
    stage.join()
    return stage, heard


def xy(records: Sequence[Record]) -> np.ndarray:
    return np.array([r.keypoints.xy for r in records if r.keypoints is not None])


def test_each_animal_has_its_records_and_a_frame_counts_once(model: Model) -> None:
    stage, heard = run(model, BOXES, PoseOptions(edge="pad"))
    assert [(r.meta.index, r.subject) for r in heard.records if r.subject != 2] == [
        (frame, subject) for frame in range(FRAMES) for subject in (0, 1)
    ]
    assert stage.counts == FrameCounts(FRAMES, FRAMES, 0, 0)
    for subject in range(3):
        records = heard.of(subject)
        assert [r.seq for r in records] == list(range(FRAMES)), "numbers of its own"
        assert records[-1].counts == stage.counts
        assert {r.published_ns for r in records} == {77}
    assert {r.active_box.state for r in heard.of(2)} == {State.SEARCHING}
    assert all(r.keypoints is None for r in heard.of(2))
    assert stage.last is not None
    assert stage.last.active_box.state is State.TRACKING, "of the animal that is tracked best"


@pytest.mark.parametrize("one_message", [False, True])
@pytest.mark.parametrize("together", [False, True])
def test_an_animal_among_others_has_the_numbers_that_it_has_alone(
    model: Model, together: bool, one_message: bool
) -> None:
    _, heard = run(model, BOXES, PoseOptions(edge="pad", together=together, one_message=one_message))
    for subject in (0, 1):
        _, alone = run(model, [BOXES[subject]], PoseOptions(edge="pad"))
        np.testing.assert_allclose(xy(heard.of(subject)), xy(alone.records), atol=1e-3 if together else 0)


def test_the_poses_of_a_frame_go_out_together_if_they_share_a_message(model: Model) -> None:
    _, apart = run(model, BOXES, PoseOptions(edge="pad"))
    assert [len(message) for message in apart.messages] == [1] * 3 * FRAMES
    _, heard = run(model, BOXES, PoseOptions(edge="pad", one_message=True))
    assert [[r.meta.index for r in message] for message in heard.messages] == [[i] * 3 for i in range(FRAMES)]
    assert xy(heard.of(1)).tolist() == xy(apart.of(1)).tolist()


@pytest.mark.parametrize("one_message", [False, True])
def test_a_frame_that_breaks_off_between_two_animals_fails_for_those_without_a_pose(
    model: Model, monkeypatch: pytest.MonkeyPatch, one_message: bool
) -> None:
    real, calls = model.decode, list[int]()

    def broken(outputs: Outputs, view: object) -> Keypoints:
        calls.append(1)
        if len(calls) == 4:  # the second animal of the second frame
            raise RuntimeError("broken")
        return real(outputs, view)  # type: ignore[arg-type]

    monkeypatch.setattr(model, "decode", broken)
    options = PoseOptions(edge="pad", restart=True, one_message=one_message)
    stage, heard = run(model, BOXES[:2], options)
    outcomes = [[r.outcome for r in heard.of(subject)] for subject in (0, 1)]
    done, failed = FrameOutcome.PROCESSED, FrameOutcome.FAILED
    assert outcomes[1] == [done, failed, done, done, done]
    assert outcomes[0] == [done, failed if one_message else done, done, done, done]
    assert stage.counts == FrameCounts(FRAMES, FRAMES - 1, 0, 1)
    assert [r.seq for r in heard.of(1)] == [0, -1, 1, 2, 3]
