"""The yardstick: a plain live loop with the models and functions of this package.

    python scripts/plain_loop.py --frames FRAMES.npy --fps 200 --count 3000 --endpoint tcp://127.0.0.1:5660

A thread hands over frames at the stated rate, and keeps only the newest. A second thread runs the detector on the
newest frame. The main thread crops, runs the pose model, decodes and publishes JSON. There are no files, no
checks, no reconnection: what ``cropzoom run`` does beyond this must not cost more time than this loop takes.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from pathlib import Path

import numpy as np
import zmq

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.inference.boxes import BoxRule, whole_image
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.inference.model_paths import model_path
from realtime_cropzoom.types import Box, UInt8

_DETECTOR_EVERY_S = 1 / 30
"""As by default in a run."""


class Newest:
    """The newest frame, and the number of frames that nobody took."""

    def __init__(self) -> None:
        self._changed, self.lost, self.ended = threading.Condition(), 0, False
        self._last: tuple[int, int, UInt8] | None = None

    def put(self, frame: tuple[int, int, UInt8]) -> None:
        """Replace the frame by a newer one: index, time of the hand-over (ns), image."""
        with self._changed:
            self.lost += self._last is not None
            self._last = frame
            self._changed.notify()

    def take(self) -> tuple[int, int, UInt8] | None:
        """Wait for a frame and return it; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._last is not None or self.ended)
            frame, self._last = self._last, None
            return frame

    def end(self) -> None:
        """Say that no frame comes after this one."""
        with self._changed:
            self.ended = True
            self._changed.notify()


def hand_over(newest: Newest, images: UInt8, fps: float, count: int) -> None:
    """Hand over ``count`` frames, one every 1 / fps seconds."""
    begin = time.perf_counter()
    order = [*range(len(images)), *range(len(images) - 2, 0, -1)]
    for index in range(count):
        time.sleep(max(0.0, begin + index / fps - time.perf_counter()))
        newest.put((index, now_ns(), images[order[index % len(order)]]))
    newest.end()


class Detector(threading.Thread):
    """Finds the animal in the newest frame, at most 30 times per second."""

    def __init__(self, model: Model, rule: BoxRule) -> None:
        super().__init__(daemon=True)
        self._model, self._rule, self._input = model, rule, model.new_input()
        self.image: UInt8 | None = None
        self.box: Box | None = None

    def run(self) -> None:
        """Detect until the process ends."""
        while True:
            begin = time.perf_counter()
            if (image := self.image) is not None:
                used = self._model.prepare(image, whole_image(image), "pad", self._input)
                self.box = self._rule.box(self._model.decode(self._model.infer(self._input), used)) or self.box
            time.sleep(max(0.0, begin + _DETECTOR_EVERY_S - time.perf_counter()))


def main() -> None:
    """Run the loop and print the number of lost frames."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--detector", default="shipped")
    parser.add_argument("--pose", default="shipped")
    parser.add_argument("--frames", type=Path, required=True, help="(N, H, W, 3) uint8 array in a .npy file")
    parser.add_argument("--fps", type=float, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--crop-size", type=int, default=240)
    parser.add_argument("--endpoint", required=True, help="ZeroMQ endpoint to bind")
    args = parser.parse_args()
    images: UInt8 = np.load(args.frames)
    pose = Model(model_path(args.pose, "pose"), "pose")
    detector = Detector(Model(model_path(args.detector, "detector"), "detector"), BoxRule(crop_size=args.crop_size))
    prepared, newest = pose.new_input(), Newest()
    with zmq.Context() as context, context.socket(zmq.XPUB) as socket:
        socket.bind(args.endpoint)
        socket.recv()  # the subscriber is there
        detector.start()
        detector.image = images[0]
        while detector.box is None:
            time.sleep(0.01)
        source = threading.Thread(target=hand_over, args=(newest, images, args.fps, args.count), daemon=True)
        source.start()
        while (frame := newest.take()) is not None:
            index, captured_ns, image = frame
            detector.image = image
            used = pose.prepare(image, detector.box, "pad", prepared)
            found = pose.decode(pose.infer(prepared), used)
            message = {"frame": index, "captured_ns": captured_ns, "xy": found.xy.tolist()}
            socket.send(json.dumps({**message, "likelihood": found.likelihood.tolist()}).encode())
        socket.send(b'{"end": true}')
    print(newest.lost, flush=True)
    os._exit(0)  # the detector's thread may be inside its model


if __name__ == "__main__":
    main()
