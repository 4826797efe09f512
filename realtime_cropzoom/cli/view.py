"""``cropzoom view``: show runs in the browser."""

from __future__ import annotations

import argparse
import os
from typing import Any

from realtime_cropzoom.cli import terminal
from realtime_cropzoom.cli.values import a_path, whole
from realtime_cropzoom.runtime.signals import signals_held_back, stop_on_signals

_NICENESS = 10
"""How much the process stands back behind a run on the same machine."""
_WARNING = (
    "anyone who can read the traffic of this network, and so the token, can see the animal{orders}: the page is not "
    "encrypted. On a network that you do not control use an SSH tunnel to the default host instead"
)


def register(commands: Any) -> None:
    """Add the command to the parser."""
    view = commands.add_parser("view", help="show runs in the browser: picture, pose, state, traces")
    view.add_argument("endpoints", nargs="*", metavar="ENDPOINT",
                      help="endpoints that runs print at their start (default: tcp://127.0.0.1:5660, and all runs of "
                      "this user on this machine)")  # fmt: skip
    view.add_argument("--port", type=whole(0, 65535), help="port of the page (default: 8765, or the next free one)")
    view.add_argument("--host", default="127.0.0.1", help="address of this machine that other machines may reach "
                      "(default: 127.0.0.1, which none can)")  # fmt: skip
    view.add_argument("--keys", type=a_path, metavar="FILE", help="key file of this client, made by 'cropzoom keys'")
    view.add_argument("--no-browser", action="store_true", help="only print the address, do not open a browser")
    view.add_argument("--look-only", action="store_true", help="take no orders from the page")
    view.set_defaults(command=_view)


def _view(arguments: argparse.Namespace) -> int:
    with signals_held_back():
        from realtime_cropzoom.client.base import DEFAULT_ENDPOINT
        from realtime_cropzoom.view.app import make_app
        from realtime_cropzoom.view.hub import Hub
        from realtime_cropzoom.view.programs import ProgramLooker
        from realtime_cropzoom.view.serve import is_loopback, make_server, new_token, open_socket, serve, url_of

    host, token = arguments.host, new_token()
    hub = Hub(arguments.keys, orders=not arguments.look_only)
    looker = ProgramLooker(hub, arguments.endpoints or None)
    socket = open_socket(host, arguments.port)
    server = make_server(make_app(hub), socket, host, token)
    stopped_by = stop_on_signals(lambda why: setattr(server, "should_exit", True))
    if not is_loopback(host):
        terminal.say(f"WARNING: {_WARNING.format(orders='' if arguments.look_only else ' and give orders')}")
    os.nice(_NICENESS)
    for endpoint in arguments.endpoints or [DEFAULT_ENDPOINT]:
        hub.follow(endpoint)
    looker.start()
    try:
        print(url_of(socket, host, token), flush=True)
        serve(server, socket)
    finally:
        looker.close()
        hub.close()
    return 128 + stopped_by[0] if stopped_by else 0
