"""Measure speed and memory, side by side on the same frames, and write benchmarks/results.md.

    python scripts/bench.py [--quick] [--only NAME] [--data FOLDER] [--out FOLDER] [--long]

It takes about a quarter of an hour on an idle machine. Only a full run is written to benchmarks/. With
--quick or --only the results are printed, unless --out names a folder.
"""

from __future__ import annotations

import argparse
import importlib
import shlex
import sys
import tempfile
import time
import traceback
from pathlib import Path

from benchmarks.material import Bench
from benchmarks.results import ROOT, Part, Row, machine, write

PARTS = ("bare", "throughput", "latency", "offline", "peer", "memory", "triggers")
_BUSY = 0.3


def main() -> int:
    """Measure, print and write. The exit code is 0 if everything ran, met aims or not; 2 on a busy machine."""
    args = _parse_args()
    about = machine()
    out = args.out or (None if args.quick or args.only else ROOT / "benchmarks")
    if about["load_before"] > _BUSY:
        print(f"the machine is busy (load average {about['load_before']}, expected at most {_BUSY}): numbers are off")
        if args.out is None and out is not None:
            print(
                "nothing is measured for benchmarks/. Wait until nothing else runs, or give --out FOLDER or --only PART"
            )
            return 2
    data = args.data if (args.data / "openfield").exists() else None
    if data is None:
        print(f"no data at {args.data}: the synthetic arena takes the recording's place, ResNet-18 rows are skipped")
    parts: list[Part] = []
    with tempfile.TemporaryDirectory(prefix="cropzoom-bench-") as scratch:
        bench = Bench(data, args.quick, args.long, Path(scratch))
        for name in [args.only] if args.only else PARTS:
            parts.append(_measure(name, bench, args))
            if out is not None:
                write(out, about, parts)
    if out is not None:
        print(f"\nwritten: {out / 'results.md'} and results.json")
    return any(row.numbers.get("error") for part in parts for row in part.rows)


def _measure(name: str, bench: Bench, args: argparse.Namespace) -> Part:
    """Run one measurement. A failure becomes a row that says so, and the other measurements still run."""
    module = importlib.import_module(f"benchmarks.{name}")
    print(f"\n{module.TITLE}\n", flush=True)
    begun, rows = time.monotonic(), []
    try:
        for row in module.run(bench):
            rows.append(row)
            print(f"  {row.line()}", flush=True)
    except Exception as error:
        traceback.print_exc()
        rows.append(Row(f"{name} broke off", repr(error), "to run", False, numbers={"error": repr(error)}))
    return Part(name, module.TITLE, _command(name, args), time.monotonic() - begun, rows)


def _command(name: str, args: argparse.Namespace) -> str:
    flags = [flag for flag, given in (("--quick", args.quick), ("--long", args.long)) if given]
    return shlex.join(["python", "scripts/bench.py", "--only", name, *flags])


def _parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="only see whether it runs; the numbers mean nothing")
    parser.add_argument("--only", choices=PARTS, help="one measurement")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="openfield/ and litpose/")
    parser.add_argument("--out", type=Path, help="folder for results.md and results.json")
    parser.add_argument("--long", action="store_true", help="decode 100 000 frames where memory is measured")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
