"""Senders of streams, each a process of its own.

``python -m support.stream_senders KIND PORT EPOCH_NS [lose] [refresh] [wide]``.

What they send is a camera's view of a clock: the frame of a moment shows how many frames have
passed since ``EPOCH_NS`` of the monotonic clock. However often a server is killed, frozen and
started again, a frame says how old it is.
"""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import av
import cv2
import numpy as np

from realtime_cropzoom.types import UInt8
from support.films import Footage
from support.places import TESTS

FPS = 60
WRAP = 1 << Footage.BITS
RTSP_PYTHON = "/usr/bin/python3"
"""GStreamer's bindings live in the system's Python."""


def frame_now(epoch_ns: int) -> int:
    """The frame that a camera would show right now."""
    return (time.monotonic_ns() - epoch_ns) * FPS // 1_000_000_000


def behind(epoch_ns: int, index: int) -> int:
    """How many frames ago a frame with the index that it spells was the newest."""
    return (frame_now(epoch_ns) - index) % WRAP


def _clocked(epoch_ns: int) -> Iterator[int]:
    """Yield the index of each frame when it is due; what is overslept never was."""
    index = frame_now(epoch_ns)
    while True:
        index = max(index + 1, frame_now(epoch_ns))
        time.sleep(max(0.0, (epoch_ns + index * 1_000_000_000 / FPS - time.monotonic_ns()) / 1e9))
        index = max(index, frame_now(epoch_ns))  # it may have been frozen meanwhile
        yield index


class _Datagrams(io.RawIOBase):
    """What is written, sent in datagrams of seven MPEG-TS packets; some are lost where the network is bad."""

    def __init__(self, port: int, *, lose: bool) -> None:
        self._socket, self._to, self._lose = socket.socket(type=socket.SOCK_DGRAM), ("127.0.0.1", port), lose
        self._sent = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        for start in range(0, len(data), 1316):
            self._sent += 1
            if not (self._lose and self._sent % 211 == 0):
                self._socket.sendto(data[start : start + 1316], self._to)
        return len(data)


def noisy(image: UInt8, index: int) -> UInt8:
    """The frame with so much noise that it fills several datagrams, and that what is painted over a loss shows."""
    noise: UInt8 = np.random.default_rng(index).integers(0, 40, image.shape, np.uint8)
    return image // 2 + noise


def send_udp(port: int, epoch_ns: int, *, lose: bool = False, refresh: bool = False) -> None:
    """MPEG-TS with H.264, a key frame each sixth of a second, or the picture anew stripe by stripe in that time."""
    footage = Footage()
    out = av.open(_Datagrams(port, lose=lose), "w", format="mpegts", options={"flush_packets": "1"})
    options = {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "g": "10",
        "bf": "0",
        "x264-params": f"annexb=1:intra-refresh={int(refresh)}",
        "crf": "8" if lose else "23",
    }
    stream = out.add_stream("libx264", rate=FPS, options=options)
    stream.width, stream.height = footage.size
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = Fraction(1, FPS)
    for index in _clocked(epoch_ns):
        image = footage.draw(index % WRAP)
        if lose:
            image = noisy(image, index)
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = index, Fraction(1, FPS)
        out.mux(stream.encode(frame))


def serve_http(port: int, epoch_ns: int, *, wide: bool = False) -> None:
    """MJPEG, as IP cameras and phones serve it; any path but /cam is not found."""
    footage = Footage((320, 192)) if wide else Footage()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/cam":
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            try:
                for index in _clocked(epoch_ns):
                    jpeg = cv2.imencode(".jpg", footage.draw(index % WRAP)[..., ::-1])[1].tobytes()
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                    self.wfile.write(head.encode() + jpeg + b"\r\n")
            except OSError:  # the other end has gone
                return

        def log_message(self, *_: object) -> None:
            pass

    ThreadingHTTPServer.allow_reuse_address = True
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


@contextmanager
def serving(
    *arguments: object, python: str = sys.executable, script: str = "stream_senders"
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server as a process; it is killed in the end, frozen or not."""
    command = [python, "-m", f"support.{script}", *map(str, arguments)]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(TESTS)})
    try:
        yield process
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    kind, port, epoch_ns, *more = sys.argv[1:]
    if kind == "http":
        serve_http(int(port), int(epoch_ns), wide="wide" in more)
    else:
        send_udp(int(port), int(epoch_ns), lose="lose" in more, refresh="refresh" in more)
