"""A real Chromium for the tests of the page, and what the page shows.

``Pages`` opens pages in a Chromium, and keeps every error that the browser reports of them.
``Rig`` is what stands in a laboratory: runs, trigger processes and ``cropzoom view``, which no other program sees.
"""

from __future__ import annotations

import base64
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest

from realtime_cropzoom.control.address import running_processes
from realtime_cropzoom.control.client import send
from realtime_cropzoom.types import UInt8
from support import chromium
from support.pipelines import finish, start_process, wait_for

ARENA = "synthetic:arena,fps=25,seconds=endless"
"""A frame rate that two cores keep up with, beside a browser."""
OTHER_NAME = "rebound.example"
"""A name of somebody else that Chromium takes for this machine, as after DNS rebinding."""
_WITHIN_S = 30.0
_POLL_MS = 30


needs_chromium = pytest.mark.skipif(chromium.why_not() is not None, reason=str(chromium.why_not()))
FLAGS = (f"--host-resolver-rules=MAP {OTHER_NAME} 127.0.0.1",)


class Pages:
    """Opens pages, each in a context of its own: no page has the cookies of another one."""

    def __init__(self, browser: Any) -> None:
        self._browser = browser
        self._contexts: list[Any] = []
        self._faults: list[str] = []
        self._expected: list[str] = []

    def open(self, url: str | None = None, **options: Any) -> Any:
        """Open a page in a new context; ``options`` are those of the context, such as the size of the window."""
        context = self._browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        self._contexts.append(context)
        return self.beside(context, url)

    def stranger(self, context: Any, url: str) -> Any:
        """Open a page of somebody else beside those of a context. What the browser refuses to it is no fault."""
        page = context.new_page()
        page.goto(url)
        return page

    def beside(self, context: Any, url: str | None = None) -> Any:
        """Open a page in a context that there is: it has the same cookies."""
        page = context.new_page()
        page.set_default_timeout(_WITHIN_S * 1000)
        page.on("console", self._note_console)
        page.on("pageerror", lambda error: self._faults.append(f"{page.url}: {error}"))
        if url is not None:
            page.goto(url)
        return page

    def expect(self, *patterns: str) -> None:
        """Let the browser complain about what a test does, such as a server that is not there."""
        self._expected += patterns

    def close(self) -> None:
        """Close all, and fail if the browser reported an error that no test expects."""
        for context in self._contexts:
            context.close()
        found = [fault for fault in self._faults if not any(re.search(pattern, fault) for pattern in self._expected)]
        assert found == [], "\n".join(found)

    def _note_console(self, message: Any) -> None:
        if message.type in ("error", "warning", "assert"):
            self._faults.append(f"{message.location.get('url', '')}: {message.type}: {message.text}")


def until(page: Any, script: str, argument: Any = None) -> Any:
    """Wait until ``script``, a JavaScript expression or function, is true in a page; return its value.

    Playwright's own ``wait_for_function`` uses eval, which the page's policy forbids.
    """
    deadline = time.monotonic() + _WITHIN_S
    while not (value := page.evaluate(script, argument)):
        assert time.monotonic() < deadline, f"waited for {script}\n{page.inner_text('body')[:1500]}"
        page.wait_for_timeout(_POLL_MS)
    return value


def shown(page: Any, camera: str | None = None) -> dict[str, Any]:
    """Return what a page shows of a camera, by default of the chosen one."""
    found: dict[str, Any] = page.evaluate("name => window.cropzoom.shown(name ?? undefined)", camera)
    return found


def has_tracked(page: Any, camera: str | None = None) -> dict[str, Any]:
    """Wait until a picture with the pose of its frame is drawn."""
    ready = """name => { const shown = window.cropzoom?.shown(name ?? undefined);
        return shown?.poseFrame != null && shown.poseFrame === shown.pictureFrame && shown }"""
    found: dict[str, Any] = until(page, ready, camera)
    return found


@dataclass(frozen=True)
class Seen:
    """What a canvas shows at one moment."""

    what: dict[str, Any]
    """From ``window.cropzoom.shown()``."""
    image: UInt8
    """(H, W, 3) BGR, one pixel for each pixel of the camera's frame."""

    @property
    def frame(self) -> int:
        """Number of the frame whose picture it is."""
        return int(self.what["pictureFrame"])


def look(page: Any, size: tuple[int, int] = (640, 480)) -> Seen:
    """Return what the picture shows now, cut to the frame and scaled to ``size``."""
    script = """() => { const canvas = document.getElementById('picture');
        return [window.cropzoom.shown(), canvas.toDataURL('image/png'), canvas.width / canvas.clientWidth]; }"""
    what, url, ratio = page.evaluate(script)
    with_margins = _decoded(url)
    view = what["view"]
    left, top, right, bottom = (
        round(edge * ratio)
        for edge in (view["left"], view["top"], view["left"] + view["width"], view["top"] + view["height"])
    )
    return Seen(what, cv2.resize(with_margins[top:bottom, left:right], size, interpolation=cv2.INTER_AREA))  # type: ignore[arg-type]


def _decoded(url: str) -> UInt8:
    data = np.frombuffer(base64.b64decode(url.partition(",")[2]), np.uint8)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def draw_only(page: Any, *layers: str) -> None:
    """Draw these layers on the picture, and no other ones."""
    for button in page.locator("[data-layer]:visible").all():
        if (button.get_attribute("data-layer") in layers) != (button.get_attribute("aria-pressed") == "true"):
            button.click()
    page.evaluate("document.activeElement.blur()")  # keys are for the page again


def answer_yes(page: Any, title: str) -> None:
    """Say yes to the question of the page, which has this title."""
    until(
        page,
        "title => document.getElementById('ask').open && document.getElementById('ask-title').textContent === title",
        title,
    )
    page.click("#ask-yes")


def grave_faults(page: Any) -> list[str]:
    """Return what axe-core finds that keeps people from using the page."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{fault['id']} ({fault['impact']}): {node['target']} {node['html'][:120]} {node['failureSummary']}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]


def write_rules(folder: Path, port: object = "*") -> Path:
    """Write rules of one zone, with an output that listens at a port of its own."""
    path = folder / "rules.yaml"
    path.write_text(
        "# the whole left side\n"
        f"outputs:\n  laser: {{zmq_publish: 'tcp://127.0.0.1:{port}'}}\n"
        "zones:\n  left: {rectangle_px: [0, 0, 320, 480]}  # x, y, width, height\n"
        "rules:\n  shine: {when: {inside: left, keypoint: snout}, fire: laser, pulse_ms: 5, refractory_ms: 500}\n"
    )
    return path


class Program:
    """A process of ``cropzoom``, with what it has said so far."""

    def __init__(self, folder: Path, number: int, environment: dict[str, str], *arguments: object) -> None:
        self._said = (folder / f"{number}.out", folder / f"{number}.err")
        with self._said[0].open("w") as out, self._said[1].open("w") as err:
            self.process: subprocess.Popen[str] = start_process(*arguments, env=environment, stdout=out, stderr=err)

    @property
    def out(self) -> str:
        """What it has printed."""
        return self._said[0].read_text()

    @property
    def said(self) -> str:
        """What it has printed, errors included."""
        return "".join(path.read_text() for path in self._said)

    def line(self, pattern: str) -> re.Match[str]:
        """Wait until it has printed something, and return the match."""

        def found() -> re.Match[str] | None:
            match = re.search(pattern, self.said)
            assert match or self.process.poll() is None, f"it has ended: {self.said}"
            return match

        match: re.Match[str] = wait_for(found, f"{pattern} in {self.said!r}")
        return match

    def kill(self) -> None:
        """End it as a power cut does."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """End it as Ctrl+C does, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return finish(self.process).returncode


class Rig:
    """Runs, triggers and pages in a folder, with sockets that no other program of this machine sees."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runtime = Path(tempfile.mkdtemp(prefix="cz"))  # the path of a socket must be short
        self._programs: list[Program] = []

    def start(self, *arguments: object) -> Program:
        """Start ``cropzoom ARGUMENTS``."""
        own = {"XDG_RUNTIME_DIR": str(self.runtime)}
        program = Program(self.folder, len(self._programs), own, *arguments)
        self._programs.append(program)
        return program

    def run(self, *flags: object, source: str = ARENA, out: str = "sessions") -> Program:
        """Start a run of the arena."""
        free = ("--publish", "tcp://127.0.0.1:*", "--publish-latest", "none", "--quiet")
        return self.start("run", source, *free, "--out", self.folder / out, *flags)

    def trigger(self, rules: Path, *flags: object) -> Program:
        """Start a trigger process."""
        return self.start("trigger", rules, "--quiet", "--out", self.folder / "triggers", *flags)

    def view(self, *flags: object) -> tuple[Program, str]:
        """Start ``cropzoom view``; returns the address of its page, with the token."""
        program = self.start("view", "--no-browser", *(("--port", 0) if "--port" not in flags else ()), *flags)
        return program, program.line(r"http://\S+/\?token=\S+")[0]

    def order(self, to: str, order: str, target: str | None = None, value: Any = None) -> dict[str, Any]:
        """Give an order as ``cropzoom ctl`` does, as soon as there is the program that it is for."""
        folder = self.runtime / "cropzoom"
        found = wait_for(lambda: running_processes(folder).get(to), f"{to} to take orders")
        return send(found, order, target, value, by="test")

    def endpoint(self, run: str = "run-cam0") -> str:
        """Wait until a run publishes, and return where."""

        def bound() -> str | None:
            endpoint = self.order(run, "state").get("publish")
            return endpoint if isinstance(endpoint, str) and not endpoint.endswith("*") else None

        return str(wait_for(bound, f"{run} to publish"))

    def ports(self) -> list[int]:
        """Return the TCP ports at which the programs listen."""
        pids = [program.process.pid for program in self._programs]
        listening = (
            one for pid in pids for one in psutil.Process(pid).net_connections("tcp") if one.status == "LISTEN"
        )
        return [one.laddr.port for one in listening]

    def session(self, out: str = "sessions") -> Path:
        """Return the folder of the newest session."""
        folders = wait_for(lambda: sorted((self.folder / out).glob("*/")), f"a session in {out}")
        return Path(max(folders, key=lambda path: path.stat().st_mtime_ns))

    def close(self) -> None:
        """End all programs, the latest first."""
        for program in reversed(self._programs):
            if program.process.poll() is None:
                program.kill()
        shutil.rmtree(self.runtime, ignore_errors=True)


@contextmanager
def site_of(page: str) -> Iterator[str]:
    """Serve one page at a free port of this machine, and yield its address."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@contextmanager
def rig_in(make_folder: Callable[[], Path]) -> Iterator[Rig]:
    """Yield a rig, and end its programs."""
    rig = Rig(make_folder())
    try:
        yield rig
    finally:
        rig.close()
