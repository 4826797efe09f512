"""What a subscriber hears of a run, in order, while a test does something to its source."""

from __future__ import annotations

import time
from collections.abc import Callable

from realtime_cropzoom.client.subscriber import Subscriber
from realtime_cropzoom.messaging.message import EndMessage, Message, PoseMessage, StatusMessage
from support.pipelines import LONG_S


class Heard:
    """All messages of a subscriber, in order."""

    def __init__(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber
        self.messages: list[Message] = []

    def until(self, condition: Callable[[Message], bool]) -> Message:
        """Listen until a message is what is waited for, and return it."""
        deadline = time.monotonic() + LONG_S
        while time.monotonic() < deadline:
            message = self._subscriber.receive(0.5)
            if message is not None:
                self.messages.append(message)
                if condition(message):
                    return message
        raise AssertionError(f"not heard within {LONG_S} s; the last was {self.messages[-1:]}")

    def until_stream(self, *states: str) -> None:
        """Wait for a status with one of these."""
        self.until(lambda m: isinstance(m, StatusMessage) and m.stream in states)

    def until_pose(self, segment: int, count: int = 1) -> None:
        """Listen for so many poses of a segment."""
        for _ in range(count):
            self.until(lambda m: isinstance(m, PoseMessage) and m.segment == segment)

    def until_end(self) -> EndMessage:
        """Listen to the last word."""
        message = self.until(lambda m: isinstance(m, EndMessage))
        assert isinstance(message, EndMessage)
        return message

    @property
    def poses(self) -> list[PoseMessage]:
        """The poses among them."""
        return [m for m in self.messages if isinstance(m, PoseMessage)]

    @property
    def statuses(self) -> list[StatusMessage]:
        """The heartbeats among them."""
        return [m for m in self.messages if isinstance(m, StatusMessage)]

    def streams(self) -> list[str]:
        """Return the states of the stream, each once as long as it lasted."""
        said = [status.stream for status in self.statuses]
        return [s for i, s in enumerate(said) if i == 0 or s != said[i - 1]]
