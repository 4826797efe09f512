"""Measure speed and memory, side by side on the same frames, and write benchmarks/results.md.

    python scripts/bench.py [--quick] [--only PART] [--rates FPS…] [--data FOLDER] [--out FOLDER]

It takes some eighteen minutes on an idle machine. Only a full run is written to benchmarks/. With --quick or --only
the results are printed, unless --out names a folder.
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

from benchmarks.curves import draw
from benchmarks.material import Bench
from benchmarks.results import ROOT, Part, Row, machine, write

from realtime_cropzoom.bench.others import BUSY_CORES, OtherPrograms, wait_for_calm

PARTS = (
    *("bare", "throughput", "latency", "stages", "sizes", "large", "models", "peer", "offline", "memory", "triggers"),
    *("view", "boxes"),
)


def main() -> int:
    """Measure, print and write. The exit code is 0 if everything ran, met aims or not; 2 on a busy machine."""
    args = _parse_args()
    out = args.out or (None if args.quick or args.only else ROOT / "benchmarks")
    about = {**machine(), "others_before": wait_for_calm() or 0.0}
    if about["others_before"] > BUSY_CORES:
        print(f"other programs keep {about['others_before']:.2f} cores busy, expected at most {BUSY_CORES}")
        if args.out is None and out is not None:
            print("nothing is measured for benchmarks/. End them, or give --out FOLDER or --only PART")
            return 2
    data = args.data if (args.data / "openfield").exists() else None
    if data is None:
        print(f"no data at {args.data}: the synthetic arena takes the recording's place, ResNet-18 rows are skipped")
    parts: list[Part] = []
    with tempfile.TemporaryDirectory(prefix="cropzoom-bench-") as scratch:
        bench = Bench(data, args.quick, Path(scratch), tuple(args.rates or ()))
        for name in [args.only] if args.only else PARTS:
            parts.append(_measure(name, bench, args))
            if out is not None:
                write(out, about, parts)
                draw(parts, out / "curves.png")
    print(f"\n{sum(part.seconds for part in parts) / 60:.1f} minutes in all")
    if out is not None:
        print(f"written: {out / 'results.md'}, results.json and curves.png")
    return any(row.numbers.get("error") for part in parts for row in part.rows)


def _measure(name: str, bench: Bench, args: argparse.Namespace) -> Part:
    """Run one measurement. A failure becomes a row that says so, and the other measurements still run."""
    module = importlib.import_module(f"benchmarks.{name}")
    print(f"\n{module.TITLE}\n", flush=True)
    begun, others, rows = time.monotonic(), OtherPrograms(), []
    try:
        for row in module.run(bench):
            rows.append(row)
            print(f"  {row.line()}", flush=True)
    except Exception as error:
        traceback.print_exc()
        rows.append(Row(f"{name} broke off", repr(error), "to run", False, numbers={"error": repr(error)}))
    part = Part(name, module.TITLE, _command(name, args), time.monotonic() - begun, others.cores() or 0.0, rows)
    print(f"  ({part.about()})", flush=True)
    return part


def _command(name: str, args: argparse.Namespace) -> str:
    flags = ["--quick"] if args.quick else []
    rates = ["--rates", *map(str, args.rates)] if args.rates else []
    return shlex.join(["python", "scripts/bench.py", "--only", name, *flags, *rates])


def _parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="only see whether it runs; the numbers mean nothing")
    parser.add_argument("--only", choices=PARTS, help="one measurement")
    parser.add_argument("--rates", type=int, nargs="+", metavar="FPS", help="for latency: these rates only")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="openfield/ and litpose/")
    parser.add_argument("--out", type=Path, help="folder for results.md, results.json and curves.png")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
