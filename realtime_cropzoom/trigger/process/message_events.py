"""Adapter from the messages of a publisher to the events of the engine, which knows nothing of the wire."""

from __future__ import annotations

from realtime_cropzoom.messaging.message import (
    Animal,
    AnimalsMessage,
    EndMessage,
    FrameMessage,
    HelloMessage,
    PoseMessage,
    StatusMessage,
)
from realtime_cropzoom.trigger.engine.events import EndEvent, HelloEvent, PoseEvent, PublisherEvent, StreamEvent

StreamMessage = PoseMessage | AnimalsMessage | StatusMessage | HelloMessage | EndMessage
"""The messages that the engine hears of. Event messages tell what people did, which no rule asks for."""

OneEvent = PoseMessage | StatusMessage | HelloMessage | EndMessage
"""Those that are one event."""


def events_from_message(message: StreamMessage, at_ns: int, uncertainty_ns: int = 0) -> list[PublisherEvent]:
    """Return what the engine needs of a message: one event, or for several animals one for each.

    Args:
        message: The message.
        at_ns: Time at which it was received (ns of the publisher's clock).
        uncertainty_ns: Maximum error of ``at_ns``.
    """
    if not isinstance(message, AnimalsMessage):
        return [event_from_message(message, at_ns, uncertainty_ns)]
    head = (at_ns, message.run, message.camera, uncertainty_ns)
    return [
        _pose_event(head, message, animal, region=f"animal{animal.number}", uncertain=animal.uncertain)
        for animal in message.animals
    ]


def event_from_message(message: OneEvent, at_ns: int, uncertainty_ns: int = 0) -> PublisherEvent:
    """Return what the engine needs of a message.

    Args:
        message: The message.
        at_ns: Time at which it was received (ns of the publisher's clock).
        uncertainty_ns: Maximum error of ``at_ns``.
    """
    head = (at_ns, message.run, message.camera, uncertainty_ns)
    if isinstance(message, PoseMessage):
        return _pose_event(head, message, message, region=message.region)
    if isinstance(message, StatusMessage):
        return StreamEvent(*head, stream=message.stream)
    if isinstance(message, HelloMessage):
        return HelloEvent(
            *head, keypoint_names=message.keypoint_names, regions=list(message.regions), animals=message.animals
        )
    return EndEvent(*head, reason=message.reason)


def _pose_event(
    head: tuple[int, str, str, int],
    message: FrameMessage,
    of: PoseMessage | Animal,
    *,
    region: str | None,
    uncertain: bool = False,
) -> PoseEvent:
    """Return the event of one animal of a frame: ``of`` is the message itself, or one of its animals."""
    return PoseEvent(
        *head,
        seq=message.seq,
        frame=message.frame,
        state=of.state,
        stream=message.stream,
        captured_ns=message.time.captured_ns,
        published_ns=message.time.published_ns,
        segment=message.segment,
        keypoints=of.keypoints,
        plausible=of.plausible,
        doubt=of.doubt,
        region=region,
        uncertain=uncertain,
    )
