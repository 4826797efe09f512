"""``cropzoom listen``: show the live pose in the terminal."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from realtime_cropzoom.cli import terminal
from realtime_cropzoom.cli.values import a_path

_SIGPIPE = 13
"""Number of the signal. Windows has no name for it."""


def register(commands: Any) -> None:
    """Add the command to the parser."""
    listen = commands.add_parser("listen", help="show the live pose in the terminal")
    listen.add_argument("endpoint", nargs="?", default="tcp://127.0.0.1:5660", metavar="ENDPOINT",
                        help="endpoint that the run prints at its start (default: tcp://127.0.0.1:5660)")  # fmt: skip
    listen.add_argument("--camera", help="show only this camera")
    listen.add_argument("--region", help="show only this region, of a run with several")
    listen.add_argument("--keys", type=a_path, metavar="FILE", help="key file of this client, made by 'cropzoom keys'")
    listen.add_argument("--follow", action="store_true", help="wait for the next run when a run ends")
    listen.add_argument("--json", action="store_true", help="print only a summary at the end, as JSON")
    listen.set_defaults(command=_listen)


def _listen(arguments: argparse.Namespace) -> int:
    from realtime_cropzoom.cli.listen_board import listen

    listen(
        arguments.endpoint,
        camera=arguments.camera,
        region=arguments.region,
        follow=arguments.follow,
        as_json=arguments.json,
        keys=arguments.keys,
    )
    return 128 + _SIGPIPE if terminal.reader_gone(sys.stdout) else 0
