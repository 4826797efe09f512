"""``newest``: the laser example of the pages at several frame rates, and which pose is returned when."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise

import msgspec
import pytest
from support.pipelines import LONG_S, wait_for
from support.places import ROOT
from support.pose_stream_process import Feed
from support.publisher import Publisher, end, hello, pose, publishing

from realtime_cropzoom import AsyncSubscriber, Subscriber
from realtime_cropzoom.messaging.message import PoseMessage

MS = 1_000_000


def example(page: str) -> str:
    """Return the first example of a page that has a laser."""
    blocks: list[str] = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    return next(block for block in blocks if "laser" in block)


class Laser:
    """Laser that records when it is switched."""

    def __init__(self) -> None:
        self.edges: list[tuple[float, bool]] = []
        self.last_s = 0.0
        self.enough = threading.Event()
        """Set it to interrupt the script as Ctrl-C does."""
        self._interrupted = False

    def set(self, on: bool) -> None:
        self.last_s = time.monotonic()
        if self.enough.is_set() and not self._interrupted:
            self._interrupted = True
            raise KeyboardInterrupt
        if on is not (self.edges[-1][1] if self.edges else False):
            self.edges.append((self.last_s, on))

    @property
    def levels(self) -> list[bool]:
        return [on for _, on in self.edges]


class Pasted(threading.Thread):
    """Thread that runs an example of a page with its own laser."""

    def __init__(self, page: str, endpoint: str, laser: Laser) -> None:
        super().__init__(daemon=True)
        text = example(page).replace("Subscriber()", f'Subscriber("{endpoint}")')
        self._text = text.replace("laser = PrintedLaser()\n", "")
        assert self._text != text, "the example's own laser would hide the one that is watched"
        self.laser = laser

    def run(self) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            exec(compile(self._text, "example", "exec"), {"laser": self.laser})

    def end(self) -> None:
        self.laser.enough.set()
        self.join(LONG_S)


def visits(fps: float, first_s: float, each_s: float) -> object:
    """Return the path of the snout: visits to the right half that last ``each_s``."""

    def x_of(frame: int) -> float:
        at_s = frame / fps - first_s
        return 400.0 if at_s >= 0 and at_s % (2 * each_s) < each_s else 100.0

    return x_of


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/how-to/receive-poses.md"])
@pytest.mark.parametrize("fps", [10, 30, 200])
def test_one_visit_is_one_on_and_one_off(page: str, fps: float) -> None:
    each_s = max(0.5, 8 / fps)
    for attempt in range(5):  # a busy machine may hold up the publisher itself, and then an off is right
        laser = Laser()
        with Feed(fps, visits(fps, 3 * each_s, each_s)) as feed:  # type: ignore[arg-type]
            sent, gaps = [(feed.sent, time.monotonic())], []
            script = Pasted(page, feed.endpoint, laser)
            script.start()
            while feed.sent / fps < 8.6 * each_s and feed.is_alive():
                time.sleep(0.002)
                now = time.monotonic()
                gaps.append(now - laser.last_s if laser.last_s else 0.0)
                if feed.sent > sent[-1][0]:
                    sent.append((feed.sent, now))
            levels = laser.levels
            script.end()
        held_up_s = max(max(b[1] - a[1] for a, b in pairwise(sent)), max(gaps))
        if held_up_s < max(1.7 / fps, 0.03) or attempt == 4:
            break
    assert levels == [True, False, True, False, True, False]
    assert not script.is_alive()
    assert laser.levels[-1] is False


def test_both_pages_have_one_example() -> None:
    assert example("README.md") == example("docs/how-to/receive-poses.md")


@pytest.mark.parametrize("how", ["lost", "jumps", "stalls", "ends", "is killed", "the script is ended"])
def test_the_laser_is_switched_off_when_poses_stop(how: str) -> None:
    laser = Laser()
    with publishing() as publisher:
        script = Pasted("README.md", publisher.endpoint, laser)
        script.start()
        publisher.wait_for_subscriber()
        publisher.send(msgspec.structs.replace(hello(), fps=5.0))
        seq = 0

        def send(state: str = "tracking", doubt: str | None = None) -> None:
            nonlocal seq
            right = {"snout": (400.0, 2.0, 0.99)}
            worth = {"plausible": doubt is None, "doubt": doubt}
            publisher.send(msgspec.structs.replace(pose(seq), keypoints=right, state=state, **worth))
            seq += 1

        for _ in range(3):
            send()
            time.sleep(0.05)
        wait_for(lambda: laser.levels == [True], "the laser to be on")
        if how == "lost":
            send("lost")
        elif how == "jumps":
            send(doubt="jump")
        elif how == "ends":
            publisher.send(end())
        elif how == "the script is ended":
            laser.enough.set()
        wait_for(lambda: laser.levels == [True, False], "the laser to be off")
        if how in ("ends", "the script is ended"):
            script.join(LONG_S)
        script.end()
        assert not script.is_alive()


def test_a_run_that_is_killed_switches_the_laser_off() -> None:
    """The publisher is a process that is killed during a visit."""
    code = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); from support.pose_stream_process import Feed\n"
        "with Feed(30, lambda frame: 400.0) as feed:\n    print(feed.endpoint, flush=True)\n    time.sleep(600)\n"
    )
    command = [sys.executable, "-c", code, str(ROOT / "tests")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        laser = Laser()
        script = Pasted("README.md", process.stdout.readline().strip(), laser)
        script.start()
        wait_for(lambda: laser.levels and laser.levels[-1], "the laser to be on")
        process.kill()
        wait_for(lambda: time.monotonic() - laser.edges[-1][0] > 0.3 and not laser.levels[-1], "the laser to be off")
        script.end()


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with publishing() as publisher:
        yield publisher


def test_newest_returns_the_last_pose_again_while_it_is_young(publisher: Publisher) -> None:
    with Subscriber(publisher.endpoint) as poses:
        publisher.wait_for_subscriber()
        publisher.send(hello(), pose(0))
        first = poses.newest(LONG_S * 1000, timeout_s=LONG_S)
        assert first is not None
        assert poses.newest(LONG_S * 1000) == first
        assert poses.newest(LONG_S * 1000, timeout_s=0.01) == first
        assert poses.newest(0.001) is None, "it is older"
        publisher.send(end())
        wait_for(lambda: poses.newest(LONG_S * 1000) is None, "the end")
        assert poses.stream == "ended"


@pytest.mark.slow
def test_both_subscribers_have_the_same_interface() -> None:
    """The script asks every 5 ms at 30 frames per second: it always gets a pose, and the poses are in order."""
    with Feed(30) as feed:

        def sync() -> list[PoseMessage | None]:
            with Subscriber(feed.endpoint) as poses:
                wait_for(lambda: poses.newest(timeout_s=0.05), "a pose")
                return [poses.newest(5000, timeout_s=0.005) for _ in range(60)]

        async def asynchronous() -> list[PoseMessage | None]:
            async with AsyncSubscriber(feed.endpoint) as poses:
                while await poses.newest(timeout_s=0.05) is None:
                    pass
                return [await poses.newest(5000, timeout_s=0.005) for _ in range(60)]

        for given in (sync(), asyncio.run(asynchronous())):
            seqs = [message.seq for message in given if message is not None]
            assert len(seqs) == 60
            assert seqs == sorted(seqs)
            assert 1 < len(set(seqs)) < 60


@pytest.mark.parametrize(("asked", "said"), [(20.0, 1), (70.0, 0), (None, 0)])
def test_a_maximum_age_below_the_frame_interval_is_warned_of_once(
    publisher: Publisher, caplog: pytest.LogCaptureFixture, asked: float | None, said: int
) -> None:
    with Subscriber(publisher.endpoint) as poses, caplog.at_level(logging.WARNING):
        publisher.wait_for_subscriber()
        publisher.send(msgspec.structs.replace(hello(), fps=30.0), pose(0))
        wait_for(lambda: poses.newest(timeout_s=0.05) or poses.hello, "the hello")
        for _ in range(3):
            poses.newest(asked)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == said
    if said:
        assert lines[0].startswith("newest(max_age_ms=20): poses arrive every 33 ms, and None is returned in between")
