"""Soak test: long runs with subscribers that come, go and hang. It prints what grows.

    python scripts/soak.py [--minutes 10|60|…] [--only tracking|load] [--source VIDEO] [--out FOLDER]

It has two parts. ``tracking``: the arena (or a recording, looped) plays at four times its speed, a hundred thousand
frames in ten minutes, tracked with the shipped models. There are twenty subscribers: seventeen that listen, one that
is stopped (SIGSTOP), one that is killed, and one that connects again every second. Once per second the script reads
memory, threads and open files of the run, and the latency of its poses. After the first fifth, none may grow.

``load`` takes half as long: the publisher alone, with 500 messages per second, first with one subscriber, then with
twenty fast ones, one that is stopped, one that is killed, one that connects again every second, and a slow reader of
the conflating endpoint. Then the publisher is killed and started again, and all must receive it again.

The exit code is 1 if something grows, or an aim is missed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from soaking import load, tracking

PARTS = ("tracking", "load")


def main() -> int:
    """Run the parts, print the results, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="10 for a hundred thousand frames; 60 to be sure")
    parser.add_argument("--only", choices=PARTS, help="one part")
    parser.add_argument("--source", default=tracking.SOURCE, help="what is tracked: a recording, or the arena")
    parser.add_argument("--out", type=Path, help="folder for the session; a temporary one if not given")
    parser.add_argument("--port", type=int, default=5670, help="where the tracking publishes")
    args = parser.parse_args()
    good = True
    for part in [args.only] if args.only else PARTS:
        print(f"\n{part}\n", flush=True)
        if part == "tracking":
            good &= tracking.soak(args.minutes, args.source, args.out, args.port)
        else:
            good &= load.soak(args.minutes)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
