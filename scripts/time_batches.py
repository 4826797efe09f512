"""Time how much quicker a pose model takes the crops of several animals as one batch than one by one, on the CPU.

    python scripts/time_batches.py [MODEL]

Both ways take turns in one process, so that other work on the machine slows both. Let nothing else run.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median

from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.inference.model_paths import model_path
from realtime_cropzoom.pipeline.region_plan import measure_calls

THREADS, CROPS, TIMES = (1, 2), (2, 4, 8), 20


def main() -> None:
    """Print a row for each number of threads and crops."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?", default=model_path("shipped", "pose"), help="a pose model")
    given = parser.parse_args().model
    print("| threads | crops | one by one (ms) | one batch (ms) | ratio |\n|---|---|---|---|---|")
    for threads in THREADS:
        model = Model(given, "pose", threads=threads)
        model.take_batches()
        if model.session.batch is not None:
            raise SystemExit(f"{given} takes {model.session.batch} crop at a time")
        for crops in CROPS:
            pairs = [measure_calls(model, crops) for _ in range(TIMES)]
            ratio = median(together / apart for apart, together in pairs)
            apart, together = (median(times) for times in zip(*pairs, strict=True))
            print(f"| {threads} | {crops} | {apart:.2f} | {together:.2f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
