"""Latency of some outputs: from the hand-over of a pulse to the write, and to the acknowledgement.

python scripts/output_latency.py
"""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.trigger.engine.events import Action, ActionResult, ActionType
from realtime_cropzoom.trigger.outputs.base import Job
from realtime_cropzoom.trigger.outputs.factory import Outputs, parse_output

PULSES = 2000
EVERY_S = 0.004
BOARD = [sys.executable, "-m", "realtime_cropzoom.trigger.outputs.simulated_board"]


def nothing(job: Job) -> None:
    """Function for the python output."""


def measure(name: str, mapping: dict[str, object]) -> None:
    """Fire pulses at one output and print its line of the table."""
    done: list[ActionResult] = []
    outputs = Outputs({name: parse_output(name, mapping)}, done.append)
    outputs.open()
    for number in range(PULSES):
        outputs.submit_job(Job(Action(name, ActionType.PULSE, 1.0), now_ns(), number, rule="latency"))
        time.sleep(EVERY_S)
    outputs.close()
    rows = [row for row in done if row.number >= 0]
    written = [(row.written_ns - row.queued_ns) / 1e6 for row in rows if row.written_ns]
    answered = [(row.acknowledged_ns - row.queued_ns) / 1e6 for row in rows if row.acknowledged_ns]
    print(f"{name:12} {len(written):5} {figures(written)}   {figures(answered)}")


def figures(ms: list[float]) -> str:
    """Return median, 99th percentile and maximum."""
    return " ".join(f"{np.percentile(ms, q):8.3f}" for q in (50, 99, 100)) if ms else "       -        -        -"


def main() -> None:
    """Print the table."""
    print("                   handed over → written, ms    → acknowledged, ms")
    print("output      pulses   median      p99      max     median      p99      max")
    board = subprocess.Popen(BOARD, stdout=subprocess.PIPE, text=True)
    assert board.stdout is not None
    port = board.stdout.readline().strip()
    drain = subprocess.Popen(["cat"], stdin=board.stdout, stdout=subprocess.DEVNULL)
    try:
        measure("serial", {"serial": port})
        measure("zmq_publish", {"zmq_publish": "tcp://127.0.0.1:*"})
        measure("python", {"python": "output_latency:nothing"})
        measure("osc", {"osc": "127.0.0.1:9"})
        measure("lsl", {"lsl": "cropzoom_latency"})
    finally:
        board.kill()
        board.wait()
        drain.wait()


if __name__ == "__main__":
    main()
