"""Open Ephys output: TTL events in the Open Ephys GUI, through its Network Events plugin.

The plugin reads ``TTL Line=1 State=1``; before GUI 0.6 it read ``TTL Channel=1 on=1``. Each version ignores the words
of the other, so this output sends both, and checks the reply for what was understood. While nothing is acquired, the
plugin replies but drops the event. An event gets the time of the beginning of the block of samples in which it arrives.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from pydantic import Field

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import SinkError
from realtime_cropzoom.trigger.engine.events import ActionType
from realtime_cropzoom.trigger.outputs.base import Job, Output, OutputSettings, WriteResult, overtaken
from realtime_cropzoom.trigger.outputs.zmq_request import Requester

_OPEN_TIMEOUT_S = 2.0

logger = logging.getLogger(__name__)


class OpenEphysSettings(OutputSettings):
    """``ephys: {open_ephys: "tcp://127.0.0.1:5556", line: 1}``."""

    open_ephys: str = Field(min_length=1)
    """Endpoint of the plugin; its default port is 5556."""
    line: int = Field(1, ge=1, le=256)
    """TTL line, counted from 1; before GUI 0.6 up to 8."""
    acknowledge_ms: float = Field(200.0, gt=0, le=1000)
    """Timeout (ms) of the reply."""

    def make(self, name: str, shared: dict[str, Any]) -> OpenEphys:
        """Return the output."""
        return OpenEphys(self)


class OpenEphys(Output):
    """One TTL line."""

    holds_level = True
    supports_pulse = False
    beat_every_s = 0.2

    def __init__(self, settings: OpenEphysSettings) -> None:
        super().__init__()
        self._requester = Requester(settings.open_ephys)
        self._line, self._timeout_s = settings.line, settings.acknowledge_ms / 1000

    def open(self) -> None:
        """Connect, and ask whether the GUI acquires.

        Raises:
            SinkError: if the plugin does not answer.
        """
        self._requester.connect()
        self._requester.wait_connected()
        endpoint = self._requester.endpoint
        try:
            self._requester.send(b"IsAcquiring")
            reply = self._requester.reply(_OPEN_TIMEOUT_S, self)
        except SinkError:
            reply = None
        if reply is None:
            raise SinkError(
                f"Open Ephys does not answer at {endpoint}; start its GUI with the Network Events plugin in the "
                "signal chain, and check the port that the plugin shows"
            )
        if reply.strip() == b"0":
            logger.warning("Open Ephys at %s does not acquire yet; until it does, it drops all events", endpoint)
        self._set(False)

    def perform(self, job: Job) -> WriteResult:
        """Switch the line. The thread of the output makes pulses of on and off."""
        self.check(job)
        return self._set(job.act in (ActionType.ON, ActionType.PULSE))

    def beat(self, job: Job) -> None:
        """Ask something that changes nothing: the plugin knows no heartbeat.

        Raises:
            ReceiverGone: if the GUI has ended.
            SinkError: if it does not answer.
        """
        self._requester.ask(b"IsAcquiring", self._timeout_s, self)

    def close(self) -> None:
        """Disconnect."""
        self._requester.close()

    def _set(self, on: bool) -> WriteResult:
        line, state = self._line, int(on)
        request = f"TTL Channel={line} on={state} Line={line} State={state}"
        written_ns = self._requester.send(request.encode("ascii"))
        reply = self._requester.reply(self._timeout_s, self)
        if reply is None:
            if self.preempted():
                return overtaken(written_ns)
            return WriteResult(written_ns, None, f"Open Ephys did not reply within {self._timeout_s * 1000:.0f} ms")
        text = reply.decode("utf-8", "replace")
        if [int(number) for number in re.findall(r"=(\d+)", text)] != [line, state]:
            return WriteResult(written_ns, now_ns(), f"Open Ephys replied {text!r} to {request!r}")
        return WriteResult(written_ns, now_ns())
