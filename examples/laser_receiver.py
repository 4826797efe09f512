"""A laser that rules switch over ZeroMQ, and that goes off by itself when ``cropzoom trigger`` is gone.

    python laser_receiver.py tcp://127.0.0.1:5670 laser [LATE_MS]

The rules file has the output ``laser: {zmq_publish: "tcp://127.0.0.1:5670"}``. Put your device into ``switch``. The
script needs only pyzmq. It ignores an order that rests on a frame older than LATE_MS (100), because the
order was delayed. On another machine the clocks differ: give inf.
"""

import json
import sys
import time

import zmq

# The clock of cropzoom's messages. On Windows, the clock ``monotonic`` is too coarse before Python 3.13.
now_ns = time.perf_counter_ns if sys.platform == "win32" else time.monotonic_ns


def switch(on):
    """Switch the device. This example only prints."""
    sys.stdout.write(f"{now_ns() / 1e9:.6f} {'on' if on else 'off'}\n")
    sys.stdout.flush()


class Laser:
    """On while an order holds it and signs of life arrive, or while a pulse lasts. All times: monotonic clock (s)."""

    def __init__(self, late_ms=100.0):
        self.late_ms = late_ms
        self.on = False
        self.watchdog_s = 0.5
        self.held_until = self.limit = self.pulse_until = self.heard = 0.0

    def obey(self, message, now):
        """Follow a message, received at ``now``."""
        act = message["act"]
        if act in ("on", "pulse") and self.is_late(message):
            return
        self.heard = now
        if act == "on":
            self.watchdog_s = message["watchdog_ms"] / 1000
            self.limit = now + (message["max_on_ms"] or float("inf")) / 1000
        elif act == "pulse":
            self.pulse_until = max(self.pulse_until, now + message["ms"] / 1000)
        elif act == "off":
            self.limit = 0.0
        elif act == "safe":
            self.limit = self.pulse_until = 0.0

    def is_late(self, message):
        """Return whether the order rests on a frame that is too old. A test pulse rests on no frame."""
        captured_ns = message["captured_ns"]
        return captured_ns is not None and now_ns() - captured_ns > self.late_ms * 1e6

    def update(self, now):
        """Switch if it is time to; return the time (s) until the next check."""
        self.held_until = min(self.limit, self.heard + self.watchdog_s)
        on = now < max(self.held_until, self.pulse_until)
        if on != self.on:
            self.on = on
            switch(on)
        return max(self.held_until, self.pulse_until) - now if on else 1.0


def main(endpoint, output, late_ms="100"):
    """Receive until the process is ended."""
    socket = zmq.Context().socket(zmq.SUB)
    socket.connect(endpoint)
    socket.subscribe(f"trigger/{output}")  # on, off, pulse, safe
    socket.subscribe(f"alive/{output}")  # while it is held on, five times within watchdog_ms
    laser = Laser(float(late_ms))
    try:
        while True:
            wait_s = laser.update(now_ns() / 1e9)
            if socket.poll(max(1, round(wait_s * 1000))):
                laser.obey(json.loads(socket.recv_multipart()[1]), now_ns() / 1e9)
    finally:
        switch(False)


if __name__ == "__main__":
    main(*sys.argv[1:])
