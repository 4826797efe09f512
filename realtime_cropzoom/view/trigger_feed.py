"""Thread of one trigger process: receives its feed, so that the page shows what is armed and what was decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import zmq

from realtime_cropzoom.clock import now_s
from realtime_cropzoom.messaging.keys import ClientKeys
from realtime_cropzoom.messaging.sockets import new_socket, use_client_keys
from realtime_cropzoom.view.follower import Follower
from realtime_cropzoom.view.protocol import Trigger

if TYPE_CHECKING:
    from realtime_cropzoom.view.hub import Hub

_POLL_MS = 100
_GONE_AFTER_S = 3.0
_MAX_BYTES = 1 << 20
_MAX_WAITING = 1000


class TriggerFollower(Follower):
    """Follows the feed of one trigger process until it is stopped."""

    def __init__(self, name: str, feed: str, keys: ClientKeys | None, hub: Hub) -> None:
        """Follow a feed.

        Args:
            name: Name of the process's socket for orders.
            feed: ZeroMQ endpoint of the feed.
            keys: Keys of this client, where the feed has keys.
            hub: Gets what the feed says.
        """
        super().__init__("cropzoom-feed")
        self.name, self._feed, self._keys, self._hub = name, feed, keys, hub
        self._state: Trigger | None = None

    def _run(self) -> None:
        with zmq.Context() as context, new_socket(context, zmq.SUB, self._feed) as socket:
            socket.set(zmq.MAXMSGSIZE, _MAX_BYTES)
            socket.set(zmq.RCVHWM, _MAX_WAITING)
            if self._keys is not None:
                use_client_keys(socket, self._keys)
            socket.connect(self._feed)
            socket.subscribe(b"trigger/")
            heard_s = now_s()
            while not self._over.is_set():
                if socket.poll(_POLL_MS):
                    heard_s = now_s()
                    self.take(socket.recv_multipart()[-1])
                elif now_s() - heard_s > _GONE_AFTER_S:
                    self._set_gone()
        self._set_gone()

    def take(self, payload: bytes) -> None:
        """Take a message of the feed. Anything else is left out."""
        try:
            message = msgspec.json.decode(payload, type=dict[str, Any])
            kind = message.get("type")
            if kind == "trigger_state":
                self._take_state(message)
            elif kind == "decision":
                self._take_decision(msgspec.convert(message, _Decision))
            elif kind == "order":
                self._take_order(msgspec.convert(message, _Order))
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError, OverflowError):
            return

    def _take_state(self, message: dict[str, Any]) -> None:
        given = {name: message[name] for name in Trigger.__struct_fields__ if name in message}
        state = msgspec.convert({**given, "kind": "trigger", "name": self.name, "link": "connected"}, Trigger)
        if self._state is None or self._state.link != "connected":
            self._hub.add_event("trigger_started", f"trigger {self.name} answers", trigger=self.name)
        self._set(state)

    def _take_decision(self, decision: _Decision) -> None:
        acts = ", ".join(f"{output} {act}" for output, act in decision.outputs)
        what = " ".join(part for part in (decision.rule, acts, "(test)" if decision.test else "") if part)
        self._hub.add_event(
            decision.verdict,
            f"{what}: {decision.reason}" if decision.reason else what,
            camera=self._hub.find_camera("" if self._state is None else self._state.endpoint, decision.camera),
            trigger=self.name,
            t_unix_ms=decision.unix_ms,
            frame=decision.frame,
        )

    def _take_order(self, order: _Order) -> None:
        text = " ".join(part for part in (order.order, order.target) if part)
        result = "" if order.ok else f": refused, {order.error}"
        self._hub.add_event("order", text + result, trigger=self.name, t_unix_ms=order.unix_ms, by=order.by)

    def _set_gone(self) -> None:
        if self._state is not None and self._state.link != "gone":
            self._set(msgspec.structs.replace(self._state, link="gone"))
            self._hub.add_event("trigger_gone", f"trigger {self.name} does not answer", trigger=self.name)

    def _set(self, state: Trigger) -> None:
        self._state = state
        self._hub.set_trigger(state)


class _Timed(msgspec.Struct, frozen=True, kw_only=True):
    """What all messages about one moment have."""

    time_ns: int
    unix_offset_ns: int

    @property
    def unix_ms(self) -> float:
        return round((self.time_ns + self.unix_offset_ns) / 1e6, 2)


class _Decision(_Timed, frozen=True, kw_only=True):
    rule: str | None
    verdict: str
    reason: str | None = None
    frame: int | None = None
    camera: str | None = None
    outputs: list[tuple[str, str]] = []
    test: bool = False


class _Order(_Timed, frozen=True, kw_only=True):
    order: str
    target: str | None = None
    by: str | None = None
    ok: bool = True
    error: str | None = None
