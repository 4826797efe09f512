"""Test pulse on one output, without poses and rules, to check the wiring (``cropzoom trigger --test``)."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable

from realtime_cropzoom.clock import now_ns, now_s
from realtime_cropzoom.errors import ConfigError, SinkError
from realtime_cropzoom.trigger.engine.events import Action, ActionResult, ActionType, Decision, Verdict
from realtime_cropzoom.trigger.outputs.factory import Outputs, parse_output
from realtime_cropzoom.trigger.rules.rules import Rules

_ANSWER_TIMEOUT_S = 5.0
_POLL_S = 0.05
_MARGIN_S = 0.05
"""Time (s) from the end of the pulse to the safe level. A receiver that times the pulse itself has begun it later."""


def fire_test_pulse(rules: Rules, name: str, stopped: Callable[[], bool] = lambda: False) -> ActionResult | None:
    """Fire a pulse of ``test_pulse_ms``, wait until it is over, and return its result.

    Args:
        rules: The rules, which name the outputs.
        name: Name of the output.
        stopped: Function that returns True to stop.

    Returns:
        None if it was stopped before the pulse was written.

    Raises:
        ConfigError: if there is no such output.
        SinkError: if it cannot be opened, or does not answer.
    """
    if name not in rules.outputs:
        raise ConfigError(f"there is no output {name}; there are {', '.join(rules.outputs)}")
    answers: queue.SimpleQueue[ActionResult] = queue.SimpleQueue()
    outputs = Outputs({name: parse_output(name, rules.outputs[name])}, answers.put)
    if not outputs.open(stopped):
        return None
    try:
        pulse = Action(name, ActionType.PULSE, rules.test_pulse_ms)
        outputs.submit(Decision(0, Verdict.TEST, "", "by --test", (pulse,), now_ns()))
        outputs.settle()
        done = _answer(answers, name, stopped)
        if done is not None and done.written_ns is not None:
            began_ns = done.acknowledged_ns or done.written_ns
            _wait_until(began_ns / 1e9 + rules.test_pulse_ms / 1000 + _MARGIN_S, stopped)
        return done
    finally:
        outputs.close()


def _answer(answers: queue.SimpleQueue[ActionResult], name: str, stopped: Callable[[], bool]) -> ActionResult | None:
    """Return the result of the pulse; None if stopped. Raises SinkError if there is none in time."""
    deadline = now_s() + _ANSWER_TIMEOUT_S
    while now_s() < deadline:
        if stopped():
            return None
        try:
            done = answers.get(timeout=_POLL_S)
        except queue.Empty:
            continue
        if done.number == 0:
            return done
    raise SinkError(f"output {name} did nothing for {_ANSWER_TIMEOUT_S:g} s")


def _wait_until(at_s: float, stopped: Callable[[], bool]) -> None:
    """Wait until a time of the monotonic clock, or until it is stopped."""
    while (left_s := at_s - now_s()) > 0 and not stopped():
        time.sleep(min(left_s, _POLL_S))
