"""How much of a session kill -9 costs: what is missing from its tables and its recording, in ms before the kill.

    python scripts/rows_after_kill.py [--runs 10] [--load 4] [--record h264]

Starts ``cropzoom run`` on the built-in arena again and again, ends each with kill -9 at some moment, and prints how
long before the kill the last frame was captured that is in each table, that is in the recording, and whose pose was
heard. ``--load`` keeps so many other processes busy meanwhile.
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
    """Run, kill, and return what is missing, by file."""
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
    """Listen for so long after the first pose; return when the frame of the last one was captured."""
    last_ns, deadline = 0, float("inf")
    with Subscriber(endpoint) as poses:
        while time.monotonic() < deadline:
            message = poses.receive(0.1)
            if isinstance(message, PoseMessage):
                deadline = min(deadline, time.monotonic() + seconds)
                last_ns = message.time.captured_ns
    return last_ns


def whole_lines(path: Path) -> list[list[str]]:
    """The cells of a table, without a line that was cut off."""
    return list(csv.reader(path.read_text().rpartition("\n")[0].splitlines()))


def captured_ns(timing: Path) -> dict[int, int]:
    """Frame → when it was captured."""
    header, *rows = whole_lines(timing)
    return {int(row[0]): int(row[header.index("captured_ns")]) for row in rows}


def last_index(path: Path, *, recorded: bool) -> int:
    """The last frame in a table; of a recording's, the last one that is in the recording."""
    frames = [row for row in whole_lines(path) if row[0].isdigit() and (row[1] or not recorded)]
    return int(frames[-1][0])


if __name__ == "__main__":
    main()
