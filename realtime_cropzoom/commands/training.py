"""Training: ``train``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any


def register(commands: Any) -> None:
    """Add the commands to the parser."""
    train = commands.add_parser("train", help="train a detector or pose model (needs the extra 'train')")
    train.add_argument("config", type=Path, metavar="CONFIG.yaml", help="a Lightning Pose config")
    train.add_argument("--output-dir", type=Path, required=True, help="the new model directory")
    train.add_argument("--detector-model", type=Path, help="train on this detector's crops")
    train.add_argument("--overrides", nargs="*", default=[], metavar="KEY=VALUE", help="settings to change")
    train.set_defaults(command=_train)


def _train(arguments: argparse.Namespace) -> int:
    from realtime_cropzoom.train import train

    report = train(
        arguments.config,
        arguments.output_dir,
        detector_model=arguments.detector_model,
        overrides=arguments.overrides,
        progress=lambda line: print(line, file=sys.stderr),
    )
    print(report)
    return 0
