"""Review of a finished session: what the page of ``cropzoom view SESSION`` asks for over HTTP.

::

    GET /api/session                                     facts: names, frames, states, counts, problems
    GET /api/session/events                              what happened, by frame
    GET /api/session/timeline?first=&count=&bins=        states, likelihood and speed of a stretch, in bins
    GET /api/session/poses?first=&count=                 the rows of frames, as in the messages of a live run
    GET /api/session/video                               where the pictures come from, and whether they are ready
    GET /api/session/frame/N.jpg?width=                  the picture of exactly frame N

Nothing of a request is ever a path: frames are numbers, and the files are those of the session that was opened.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from realtime_cropzoom.sessions.films import NoPicture
from realtime_cropzoom.sessions.review_session import MAX_BINS, MAX_ROWS, ReviewSession
from realtime_cropzoom.view.app import page_routes
from realtime_cropzoom.view.review_events import Events, collect_events
from realtime_cropzoom.view.review_pictures import Pictures

_WIDTH = 960
"""Width (pixels) of a picture whose width is not given."""
_NOT_KEPT = {"Cache-Control": "no-store"}
"""Another session may be at the same address tomorrow: the browser must not show the pictures of this one then."""


class Review:
    """A session that is open for review."""

    def __init__(self, path: Path, triggers: Path | None = None, source: Path | None = None) -> None:
        """Read a session and look for its pictures.

        Args:
            path: A session folder, a pose file, or a path with ``latest`` in it.
            triggers: Folder of a trigger process, or of several; None looks beside the session.
            source: The video, if it is not where the run found it.

        Raises:
            DataError: if the session cannot be read, or ``triggers`` has no log.
        """
        self.session = ReviewSession(path)
        self.events: Events = collect_events(self.session, triggers)
        self.pictures = Pictures(self.session, source)

    def facts(self) -> dict[str, Any]:
        """Return what the page shows about the session as a whole."""
        facts = self.session.facts()
        facts["problems"] += self.events.problems
        return {
            **facts,
            "triggers": self.events.triggers,
            "zones": self.events.zones,
            "zones_of_rules": self.events.zones_of_rules,
            "video": self.pictures.status(),
        }

    def close(self) -> None:
        """End its thread and close its files."""
        self.pictures.close()


def make_review_app(review: Review) -> Starlette:
    """Return the application for a finished session, without its guard.

    Args:
        review: The session.
    """
    return Starlette(routes=[*page_routes("review.html"), *routes(review)])


def routes(review: Review) -> list[Route]:
    """Return the routes of what the page asks for."""

    async def facts(_: Request) -> Response:
        return _json(review.facts())

    async def video(_: Request) -> Response:
        return _json(review.pictures.status())

    async def events(_: Request) -> Response:
        found = review.events
        return _json({"events": found.events, "left_out": found.left_out})

    async def timeline(request: Request) -> Response:
        first, count, bins = _numbers(request, first=0, count=review.session.count, bins=1000)
        return _json(review.session.timeline(first, count, min(bins, MAX_BINS)))

    async def poses(request: Request) -> Response:
        first, count = _numbers(request, first=0, count=MAX_ROWS)
        return _json(review.session.rows(first, count))

    async def frame(request: Request) -> Response:
        return await _picture(review, request)

    return [
        Route("/api/session", _checked(facts)),
        Route("/api/session/events", _checked(events)),
        Route("/api/session/timeline", _checked(timeline)),
        Route("/api/session/poses", _checked(poses)),
        Route("/api/session/video", _checked(video)),
        Route("/api/session/frame/{number:int}.jpg", _checked(frame)),
    ]


class _BadRequest(ValueError):
    """A parameter of a request is no whole number."""


def _checked(endpoint: Any) -> Any:
    """Return an endpoint that answers a bad request with 400, and one line."""

    async def checked(request: Request) -> Response:
        try:
            answer: Response = await endpoint(request)
        except _BadRequest as error:
            return PlainTextResponse(f"{error}\n", 400)
        return answer

    return checked


async def _picture(review: Review, request: Request) -> Response:
    number, (width,) = request.path_params["number"], _numbers(request, width=_WIDTH)
    if number >= review.session.count:
        return PlainTextResponse(f"the session has {review.session.count} frames, from 0\n", 404)
    try:
        jpeg = await asyncio.wrap_future(review.pictures.ask(number, width))
    except NoPicture as error:
        return PlainTextResponse(f"{error}\n", 404)
    return Response(jpeg, media_type="image/jpeg", headers=_NOT_KEPT)


def _numbers(request: Request, **defaults: int) -> list[int]:
    """Return the whole numbers of a query. Raises _BadRequest."""
    found = []
    for name, default in defaults.items():
        text = request.query_params.get(name)
        if text is not None and not (text.isascii() and text.isdigit() and len(text) <= 12):
            raise _BadRequest(f"{name}: got {text[:40]!r}, expected a whole number")
        found.append(default if text is None else int(text))
    return found


def _json(content: Any) -> Response:
    return Response(msgspec.json.encode(content), media_type="application/json", headers=_NOT_KEPT)
