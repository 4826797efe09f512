"""Guard: who may read the page, and what the browser may do with it.

Every request passes it first, HTTP and WebSocket alike. A web page of somebody else can make this user's browser send
requests to any port of this machine. So a request must name us as its host (a name that an attacker rebinds to this
machine is not ours), a WebSocket must come from our own page, and all but ``/healthz`` needs the token of this start.
The token comes in the address once, moves into a cookie that scripts cannot read, and leaves the address bar.
"""

from __future__ import annotations

import hmac
import secrets
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from realtime_cropzoom.clock import now_s

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
_OPEN = "/healthz"
"""The only path that needs no token."""
_CODE_S = 60.0
_ASK = "Give the whole address that 'cropzoom view' printed, with its token.\n"


class Guard:
    """ASGI middleware that lets only our own page, with the token, reach ``app``."""

    def __init__(self, app: ASGIApp, token: str, hosts: frozenset[str], port: int) -> None:
        """Guard ``app``.

        Args:
            app: The application.
            token: Secret of this start.
            hosts: Names by which a browser may call this machine, without the port. The address at which a connection
                arrived is allowed as well.
            port: The port of the server.
        """
        self._app, self._hosts, self._port = app, hosts, port
        self._token = token.encode()
        self._codes: dict[str, float] = {}
        """Code → time (s, monotonic) until which it is valid."""
        self.cookie = f"cropzoom-{port}"
        """Name of the cookie. Browsers send the cookies of all ports of a machine, so that each server has its own."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on an allowed request; answer any other."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None and scope["type"] == "websocket":
            await send({"type": "websocket.close"})  # becomes 403; uvicorn would log an answer of ours as an error
            return
        app = self._app if refusal is None else refusal
        await app(scope, receive, send if scope["type"] == "websocket" else _with_headers(send))

    def _refusal(self, scope: Scope) -> Response | None:
        """Return the answer to a request that is not passed on; None for one that is."""
        headers = Headers(scope=scope)
        host = headers.getlist("host")
        if len(host) != 1 or host[0].lower() not in self._allowed_hosts(scope):
            return PlainTextResponse("This server has another name.\n", 400)
        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("Only GET.\n", 405)
        origins = headers.getlist("origin")
        if (origins or scope["type"] == "websocket") and origins != [f"http://{host[0]}"]:
            return PlainTextResponse("Another page may not ask this server.\n", 403)
        if scope["path"] == _OPEN and scope["type"] == "http":
            return None
        if scope["type"] == "http" and scope["path"] == "/" and scope["query_string"]:
            query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
            if query.keys() & {"token", "once"}:
                return self._enter(query.get("token", [""])[0], query.get("once", [""])[0])
        if any(map(self._is_token, self._cookies(headers))) or (
            scope["path"] == "/metrics" and self._is_token(_bearer(headers))
        ):
            return None
        return PlainTextResponse(_ASK, 403)

    def _allowed_hosts(self, scope: Scope) -> set[str]:
        server = scope.get("server")
        names = self._hosts | ({in_url(str(server[0]))} if server else set())
        return {f"{name}:{self._port}" for name in names} | (set(names) if self._port == 80 else set())

    def make_code(self) -> str:
        """Return a code that stands for the token once, within a minute."""
        code = secrets.token_urlsafe(32)
        self._codes[code] = now_s() + _CODE_S
        return code

    def _enter(self, token: str, code: str) -> Response:
        """Answer a request with a secret in its address: if it is right, the token moves into the cookie."""
        if not self._is_token(token) and not self._use_code(code):
            return PlainTextResponse(f"This address is of another start, or was used before. {_ASK}", 403)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(self.cookie, self._token.decode(), httponly=True, samesite="strict", path="/")
        return answer

    def _use_code(self, given: str) -> bool:
        """Return whether a code is valid; it is not after that."""
        data = given.encode("utf-8", "replace")
        valid = [code for code in self._codes if hmac.compare_digest(code.encode(), data)]
        return any(now_s() < self._codes.pop(code) for code in valid)

    def _cookies(self, headers: Headers) -> list[str]:
        """Return the values of our cookie. Those of other ports stand beside it, well-formed or not."""
        parts = (part.strip().partition("=") for part in headers.get("cookie", "").split(";"))
        return [value for name, _, value in parts if name == self.cookie]

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), self._token)


def _bearer(headers: Headers) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def in_url(address: str) -> str:
    """Return an IP address as it stands in a URL."""
    return f"[{address}]" if ":" in address else address


def _with_headers(send: Send) -> Send:
    """Return ``send`` so that it adds the security headers to each response."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
            given = {name.lower() for name, _ in message.get("headers", [])}
            added = [(name, value) for name, value in own if name not in given]
            message = {**message, "headers": [*message.get("headers", []), *added]}
        await send(message)

    return send_with_headers
