"""Loss of a session after kill -9: the time (ms) before the kill that its tables and its recording lack.

    python scripts/rows_after_kill.py [--runs 10] [--load 4] [--record h264]

The script starts ``cropzoom run`` on the synthetic arena repeatedly, and ends each run with kill -9 at a random moment.
It prints the time between the kill and the capture of the last frame in each table, in the recording, and among the
received poses. ``--load`` is the number of busy processes beside it.
"""

from __future__ import annotations

import argparse
import csv
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from realtime_cropzoom import Subscriber
from realtime_cropzoom.messaging.message import PoseMessage

PORT = 42150
_BUSY = "while True: pass"


def main() -> None:
    """Measure, and print a line for each file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--load", type=int, default=0)
    parser.add_argument("--record", default="none")
    parser.add_argument("--fps", type=int, default=60)
    arguments = parser.parse_args()
    load = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(arguments.load)]
    missing: dict[str, list[float]] = defaultdict(list)
    try:
        for _ in range(arguments.runs):
            with tempfile.TemporaryDirectory() as out:
                for what, ms in killed(Path(out), arguments.fps, arguments.record).items():
                    missing[what].append(ms)
    finally:
        for process in load:
            process.kill()
    for what, values in missing.items():
        print(f"{what:22} missing, ms: median {statistics.median(values):6.0f}  most {max(values):6.0f}")


def killed(out: Path, fps: int, record: str) -> dict[str, float]:
    """Run, kill, and return the missing time (ms) of each file."""
    endpoint = f"tcp://127.0.0.1:{PORT}"
    source = f"synthetic:arena,fps={fps},seconds=600"
    command = [sys.executable, "-m", "realtime_cropzoom", "run", source, "--out", out, "--record", record]
    command += ["--publish", endpoint, "--publish-latest", "none", "--quiet"]
    process = subprocess.Popen([str(part) for part in command])
    heard = heard_until(endpoint, random.uniform(2.0, 4.0))
    process.kill()
    killed_ns = time.monotonic_ns()
    process.wait()
    (timing,) = out.glob("*/*_timing.csv")
    captured = captured_ns(timing)
    last = {"published": heard}
    for path in [*timing.parent.glob("*.csv")]:
        index = last_index(path, recorded=path.name.endswith("_recording.csv"))
        last[path.name] = captured.get(index, captured[max(captured)])
    return {what: (killed_ns - ns) / 1e6 for what, ns in last.items()}


def heard_until(endpoint: str, seconds: float) -> int:
    """Listen for ``seconds`` after the first pose; return the capture time of the last one."""
    last_ns, deadline = 0, float("inf")
    with Subscriber(endpoint) as poses:
        while time.monotonic() < deadline:
            message = poses.receive(0.1)
            if isinstance(message, PoseMessage):
                deadline = min(deadline, time.monotonic() + seconds)
                last_ns = message.time.captured_ns
    return last_ns


def whole_lines(path: Path) -> list[list[str]]:
    """Return the cells of a table, without a last line that was cut off."""
    return list(csv.reader(path.read_text().rpartition("\n")[0].splitlines()))


def captured_ns(timing: Path) -> dict[int, int]:
    """Return the capture time of each frame."""
    header, *rows = whole_lines(timing)
    return {int(row[0]): int(row[header.index("captured_ns")]) for row in rows}


def last_index(path: Path, *, recorded: bool) -> int:
    """Return the last frame in a table; in a recording's table, the last recorded one."""
    frames = [row for row in whole_lines(path) if row[0].isdigit() and (row[1] or not recorded)]
    return int(frames[-1][0])


if __name__ == "__main__":
    main()
