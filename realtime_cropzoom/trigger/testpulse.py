"""One marked pulse on one output, without poses and rules: is it wired, and does it answer?"""

from __future__ import annotations

import queue

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import ConfigError, SinkError
from realtime_cropzoom.trigger.events import Act, Action, Decision, Done, Verdict
from realtime_cropzoom.trigger.outputs import Outputs, parse_output
from realtime_cropzoom.trigger.rules import Rules

_ANSWERS_WITHIN_S = 5.0


def test_pulse(rules: Rules, name: str) -> Done:
    """Fire a pulse of ``test_pulse_ms`` and return what became of it. Raises ConfigError or SinkError."""
    if name not in rules.outputs:
        raise ConfigError(f"there is no output {name}; there are {', '.join(rules.outputs)}")
    answers: queue.SimpleQueue[Done] = queue.SimpleQueue()
    outputs = Outputs({name: parse_output(name, rules.outputs[name])}, answers.put)
    outputs.open()
    try:
        pulse = Action(name, Act.PULSE, rules.test_pulse_ms)
        outputs.submit(Decision(0, Verdict.TEST, "", "by --test", (pulse,), now_ns()))
        while (done := answers.get(timeout=_ANSWERS_WITHIN_S)).number != 0:
            pass
        return done
    except queue.Empty:
        raise SinkError(f"output {name} did nothing for {_ANSWERS_WITHIN_S:g} s") from None
    finally:
        outputs.close()
