"""Client of orders: finds the program that an order is for, gives the order, and returns the answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import zmq

from realtime_cropzoom.control import AUTO
from realtime_cropzoom.control.address import Target, control_folder, running_processes, target_of
from realtime_cropzoom.control.protocol import (
    MAX_ANSWER_BYTES,
    ORDERS,
    RUN,
    STATE,
    TRIGGER,
    Request,
    encode_request,
)
from realtime_cropzoom.errors import ConfigError, SinkError, advise, explain
from realtime_cropzoom.messaging.sockets import new_socket, use_client_keys

_LOOK_TIMEOUT_S = 1.0
"""Timeout (s) for the state of each program that runs, while the one for an order is looked for."""
_TIMEOUT_S = 2.0
"""Timeout (s) for an answer."""
_TIMEOUTS_S = dict.fromkeys(("record", "stop_recording", "rules", "zones"), 12.0)
"""The same for orders that wait for a disk, which has 10 s."""
_STARTS = {RUN: "'cropzoom run SOURCE'", TRIGGER: "'cropzoom trigger RULES.yaml'"}


def give_order(
    order: str,
    target: str | None = None,
    value: Any = None,
    *,
    to: str = AUTO,
    keys: str | Path | None = None,
    by: str | None = "script",
) -> dict[str, Any]:
    """Give an order to a run or trigger process of this user, as ``cropzoom ctl`` does.

    Args:
        order: Order, such as marker, record, arm or state; ``protocol.ORDERS`` has all.
        target: Rule to arm or disarm, None for all; output to test; setting to set.
        value: What else the order needs, such as the text of a marker.
        to: Name of the program if several take such an order, or its endpoint.
        keys: Key file of this client, if the endpoint is a TCP endpoint.
        by: Name of your program, for the log.

    Returns:
        The answer: ``ok``, and the state or the ``error``.

    Raises:
        ConfigError: if ``to`` or ``keys`` are wrong, or several programs take the order.
        SinkError: if no program answers.
        OrderError: if the order is too large.
    """
    return send(find_target(order, to, keys), order, target, value, by=by)


def find_target(order: str, to: str = AUTO, keys: str | Path | None = None) -> Target:
    """Return the address of the program that an order is for.

    Args:
        order: The order.
        to: AUTO for the only one that takes such an order, the name of a program, or its endpoint.
        keys: Key file of this client, for a TCP endpoint.

    Raises:
        ConfigError: if several fit, or a key is missing.
        SinkError: if none runs.
    """
    if "://" in to:
        return target_of(to, None if keys is None else Path(keys))
    running = running_processes(control_folder())
    if to != AUTO:
        if to in running:
            return running[to]
        raise SinkError(f"no program called {to} takes orders; {_others(list(running))}")
    kinds = [kind for kind, orders in ORDERS.items() if order in orders] or list(ORDERS)
    found = running if len(kinds) == len(ORDERS) else _of_kind(running, kinds[0])
    if not found:
        others = f"; {_others(list(running))}" if running else ""
        starts = " or ".join(_STARTS[kind] for kind in kinds)
        raise SinkError(f"no {' or '.join(kinds)} of this user takes orders{others}; start one with {starts}")
    if len(found) > 1:
        choose = advise("choose one with --to NAME", "choose one")
        raise ConfigError(f"{len(found)} programs take this order: {', '.join(found)}; {choose}")
    return next(iter(found.values()))


def _others(names: list[str]) -> str:
    return f"there are {', '.join(names)}" if names else "none runs"


def _of_kind(running: dict[str, Target], kind: str) -> dict[str, Target]:
    return {name: target for name, target in running.items() if read_state(target).get("kind") == kind}


def read_states() -> dict[str, dict[str, Any]]:
    """Return the state of each program of this user that runs, by name; see ``read_state``."""
    return {name: read_state(target) for name, target in running_processes(control_folder()).items()}


def read_state(target: Target) -> dict[str, Any]:
    """Return the state of the program at an address; one without ``kind`` if it does not answer."""
    try:
        return send(target, STATE, timeout_s=_LOOK_TIMEOUT_S)
    except SinkError as error:
        return {"ok": False, "error": str(error)}


def send(
    to: str | Target,
    order: str,
    target: str | None = None,
    value: Any = None,
    *,
    by: str | None = None,
    timeout_s: float | None = None,
) -> dict[str, Any]:
    """Give an order to the program at an address; return its answer.

    Args:
        to: Address of the program.
        order: See ``give_order``.
        target: See ``give_order``.
        value: See ``give_order``.
        by: See ``give_order``.
        timeout_s: Maximum time (s) to wait for the answer; None for what the order may need.

    Raises:
        SinkError: if no program answers.
        OrderError: if the order is too large.
    """
    timeout_s = _TIMEOUTS_S.get(order, _TIMEOUT_S) if timeout_s is None else timeout_s
    to = Target(to) if isinstance(to, str) else to
    request = encode_request(Request(order, target, value, by))
    with zmq.Context() as context, new_socket(context, zmq.REQ, to.endpoint) as socket:
        socket.set(zmq.MAXMSGSIZE, MAX_ANSWER_BYTES)
        if to.keys is not None:
            use_client_keys(socket, to.keys)
        try:
            socket.connect(to.endpoint)
        except zmq.ZMQError as error:
            raise SinkError(f"cannot connect to {to.endpoint}: {explain(error)}") from error
        socket.send(request)
        if not socket.poll(round(timeout_s * 1000)):
            raise SinkError(f"no program answers orders at {to.endpoint}; is it running, with this address?")
        return _decode_answer(socket.recv(), to)


def _decode_answer(data: bytes, to: Target) -> dict[str, Any]:
    try:
        answer = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        answer = None
    if not isinstance(answer, dict) or not isinstance(answer.get("ok"), bool):
        raise SinkError(f"the program at {to.endpoint} does not answer as 'cropzoom' does; check the address")
    return answer
