"""Lab Streaming Layer output: markers, each with the time at which its frame was captured.

LSL uses the monotonic clock of the machine in seconds, as this package does in ns. LSL always listens on all networks
of the machine, whatever its configuration says. This output restricts its sockets to the loopback, unless
``network: true``.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import ConfigError, SinkError, explain
from realtime_cropzoom.trigger.outputs.base import Job, Output, OutputSettings, WriteResult, needs
from realtime_cropzoom.trigger.outputs.loopback import CAN_KEEP, keep_on_this_machine

_DISCOVERY_PORT = 16571
_PORT = re.compile(r"<v[46](?:data|service)_port>(\d+)<")
CHANNELS = ("marker", "number", "frame")


class LslSettings(OutputSettings):
    """``lsl: {lsl: cropzoom_markers}``."""

    lsl: str = Field(min_length=1)
    """Name of the stream."""
    time: Literal["captured", "written"] = "captured"
    """Time of a marker: when its frame was captured, or when the marker was written."""
    network: bool = False
    """Whether other machines may receive the markers."""

    def make(self, name: str, shared: dict[str, Any]) -> Lsl:
        """Return the output.

        Raises:
            ConfigError: if pylsl is missing, or LSL cannot be restricted to this machine.
        """
        if not self.network and not CAN_KEEP:
            raise ConfigError(
                f"outputs.{name}: LSL cannot be kept on this machine here, so that every machine of the network could "
                "receive the markers; if that is what you want, add network: true"
            )
        try:
            import pylsl
        except (ImportError, RuntimeError) as error:  # pylsl raises RuntimeError if its library is not found
            why = error if isinstance(error, ImportError) else ImportError(" ".join(str(error).split()))
            raise needs("pylsl", "pylsl", why) from None
        return Lsl(self, name, pylsl)


class Lsl(Output):
    """An outlet of three text channels: ``rule act``, number of the decision, capture index of the frame."""

    def __init__(self, settings: LslSettings, name: str, pylsl: Any) -> None:
        super().__init__()
        self._settings, self._name, self._pylsl = settings, name, pylsl
        self._outlet: Any = None

    def open(self) -> None:
        """Announce the stream.

        Raises:
            SinkError: if it cannot be restricted to this machine.
        """
        source_id = f"realtime-cropzoom/{self._settings.lsl}/{self._name}"
        info = self._pylsl.StreamInfo(self._settings.lsl, "Markers", len(CHANNELS), 0.0, "string", source_id)
        channels = info.desc().append_child("channels")
        for label in CHANNELS:
            channels.append_child("channel").append_child_value("label", label)
        self._outlet = self._pylsl.StreamOutlet(info)
        if not self._settings.network:
            self._keep()

    def _keep(self) -> None:
        ports = {int(port) for port in _PORT.findall(self._outlet.get_info().as_xml())} - {0}
        try:
            keep_on_this_machine({*ports, _DISCOVERY_PORT})
        except OSError as error:
            raise SinkError(
                f"cannot keep LSL on this machine ({explain(error)}); with network: true, all machines of the network "
                "receive it"
            ) from error

    def perform(self, job: Job) -> WriteResult:
        """Push one marker; LSL sends it to all inlets."""
        captured_ns = None if job.captured_ns is None else job.captured_ns - job.offset_ns
        if captured_ns is None or self._settings.time == "written":
            captured_ns = now_ns()
        test = "test " if job.fields()["test"] else ""
        marker = f"{test}{job.rule} {job.act}".strip()
        sample = [marker, str(job.number), "" if job.frame is None else str(job.frame)]
        self.check(job)
        self._outlet.push_sample(sample, captured_ns / 1e9)
        return WriteResult(now_ns())

    def close(self) -> None:
        """Remove the stream."""
        self._outlet = None
