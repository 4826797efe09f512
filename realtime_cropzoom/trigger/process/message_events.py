"""Adapter from the messages of a publisher to the events of the engine, which knows nothing of the wire."""

from __future__ import annotations

from typing import TypedDict

from realtime_cropzoom.messaging.message import (
    Animal,
    AnimalsMessage,
    EndMessage,
    FrameMessage,
    HelloMessage,
    PoseMessage,
    StatusMessage,
)
from realtime_cropzoom.trigger.engine.events import (
    AnimalPose,
    AnimalsEvent,
    EndEvent,
    HelloEvent,
    PoseEvent,
    PublisherEvent,
    StreamEvent,
)

StreamMessage = PoseMessage | AnimalsMessage | StatusMessage | HelloMessage | EndMessage
"""The messages that the engine hears of. Event messages tell what people did, which no rule asks for."""


class FrameFields(TypedDict):
    """The fields of an event that all animals of a frame share."""

    seq: int
    frame: int
    stream: str
    captured_ns: int
    published_ns: int
    segment: int


def event_from_message(message: StreamMessage, at_ns: int, uncertainty_ns: int = 0) -> PublisherEvent:
    """Return what the engine needs of a message.

    Args:
        message: The message.
        at_ns: Time at which it was received (ns of the publisher's clock).
        uncertainty_ns: Maximum error of ``at_ns``.
    """
    head = (at_ns, message.run, message.camera, uncertainty_ns)
    if isinstance(message, PoseMessage):
        return PoseEvent(
            *head,
            **_of_frame(message),
            state=message.state,
            keypoints=message.keypoints,
            plausible=message.plausible,
            doubt=message.doubt,
            region=message.region,
        )
    if isinstance(message, AnimalsMessage):
        return AnimalsEvent(*head, **_of_frame(message), animals=[_animal_pose(animal) for animal in message.animals])
    if isinstance(message, StatusMessage):
        return StreamEvent(*head, stream=message.stream)
    if isinstance(message, HelloMessage):
        return HelloEvent(
            *head, keypoint_names=message.keypoint_names, regions=list(message.regions), animals=message.animals
        )
    return EndEvent(*head, reason=message.reason)


def _of_frame(message: FrameMessage) -> FrameFields:
    """Return the fields of a frame's event."""
    return FrameFields(
        seq=message.seq,
        frame=message.frame,
        stream=message.stream,
        captured_ns=message.time.captured_ns,
        published_ns=message.time.published_ns,
        segment=message.segment,
    )


def _animal_pose(animal: Animal) -> AnimalPose:
    return AnimalPose(
        number=animal.number,
        state=animal.state,
        keypoints=animal.keypoints,
        plausible=animal.plausible,
        doubt=animal.doubt,
        uncertain=animal.uncertain,
        meetings=animal.meetings,
    )
