"""``cropzoom view``: show runs, or a finished session, in the browser."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realtime_cropzoom.cli import terminal
from realtime_cropzoom.cli.values import a_path, a_session, whole
from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.runtime.signals import signals_held_back, stop_on_signals

if TYPE_CHECKING:
    from starlette.types import ASGIApp

VIEW_EXPLAINED = """\
cropzoom view shows runs in the browser: picture, pose, state, traces and events, with controls.

  cropzoom view                             the runs and triggers of this user on this machine
  cropzoom view tcp://127.0.0.1:5660        the run at this endpoint
  cropzoom view sessions/recording_20261122-101500
                                            a finished session; 'latest' is the newest

It never slows a run. Only who has the printed address can see the page. docs/how-to/view.md has more.
"""
_WARNING = (
    "WARNING: the page is not encrypted. Who can read the traffic of this network has the token, and so sees the page"
    "{orders}. On a network that is not yours alone, leave out --host and use an SSH tunnel."
)


def register(commands: Any) -> None:
    """Add the command to the parser."""
    view = commands.add_parser(
        "view",
        help="show runs, or a finished session, in the browser",
        description=VIEW_EXPLAINED,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    view.add_argument(
        "what",
        nargs="*",
        metavar="ENDPOINT|SESSION",
        help="endpoints that runs print at their start, or the folder of one session (default: tcp://127.0.0.1:5660 "
        "and all runs of this user)",
    )
    view.add_argument("--port", type=whole(0, 65535), help="port of the page (default: 8765, or the next free one)")
    view.add_argument(
        "--host",
        default="127.0.0.1",
        help="address of this machine at which others may open the page (default: 127.0.0.1: nobody else can)",
    )
    view.add_argument("--keys", type=a_path, metavar="FILE", help="key file of this client, made by 'cropzoom keys'")
    view.add_argument(
        "--token-file",
        type=a_path,
        metavar="FILE",
        help="file with the token, so that the address stays the same; made if it does not exist",
    )
    view.add_argument("--look-only", action="store_true", help="take no orders from the page")
    view.add_argument("--no-browser", action="store_true", help="only print the address, open no browser")
    view.add_argument("--source", type=a_path, metavar="VIDEO", help="of a session: its video, if it was moved")
    view.add_argument("--triggers", type=a_path, metavar="FOLDER", help="of a session: the folder of its triggers")
    view.set_defaults(command=_view)


def _view(arguments: argparse.Namespace) -> int:
    with signals_held_back():
        from realtime_cropzoom.view.browser import open_page
        from realtime_cropzoom.view.live import stand_back
        from realtime_cropzoom.view.serve import Site, is_loopback
        from realtime_cropzoom.view.token_file import read_or_make_token

    token = None if arguments.token_file is None else read_or_make_token(arguments.token_file)
    stand_back()
    with ExitStack() as stack:
        site = Site(stack.enter_context(_application(arguments)), arguments.host, arguments.port, token)
        stack.callback(site.close)
        stopped_by = stop_on_signals(lambda why: site.stop())
        if not is_loopback(arguments.host):
            terminal.say(_WARNING.format(orders="" if arguments.look_only else " and can give orders"))
        print(site.url, flush=True)
        if not arguments.no_browser:
            open_page(site)
        site.serve()
    return 128 + stopped_by[0] if stopped_by else 0


@contextmanager
def _application(arguments: argparse.Namespace) -> Iterator[ASGIApp]:
    """Yield the application for what the user wants to see."""
    sessions = [what for what in arguments.what if "://" not in what]
    if not sessions:
        from realtime_cropzoom.view.app import make_app
        from realtime_cropzoom.view.live import following

        _refuse_with_endpoints(source=arguments.source, triggers=arguments.triggers)
        with following(arguments.what, arguments.keys, orders=not arguments.look_only) as hub:
            yield make_app(hub)
        return
    if len(arguments.what) > 1:
        raise ConfigError(
            f"got {' '.join(arguments.what)}, expected endpoints such as tcp://127.0.0.1:5660, or one session"
        )
    from realtime_cropzoom.view.review import Review, make_review_app

    review = Review(a_session(sessions[0]), arguments.triggers, arguments.source)
    try:
        yield make_review_app(review)
    finally:
        review.close()


def _refuse_with_endpoints(**given: Path | None) -> None:
    for name, value in given.items():
        if value is not None:
            raise ConfigError(f"--{name} is for a finished session. Give its folder, or leave out --{name}")
