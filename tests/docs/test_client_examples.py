"""The examples of the pages on receiving, run against a publisher."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import msgspec
import pytest
from support.pages import find_page
from support.publisher import Publisher, end, hello, pose, publishing

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.messaging.message import FilteredKeypoint
from realtime_cropzoom.runtime.records import RunIdentity
from realtime_cropzoom.runtime.ring import NewestReader, Ring
from realtime_cropzoom.sinks.preview import PreviewServer
from realtime_cropzoom.sinks.time_sync_server import EchoServer
from realtime_cropzoom.types import FrameMeta

OF_PICTURES = "PreviewSubscriber"
BLOCKS = [
    pytest.param(block, id=f"{page}-{index}")
    for page in ("receive-poses", "messages")
    for index, block in enumerate(
        re.findall(r"```python\n(.*?)```", find_page(f"{page}.md").read_text(encoding="utf-8"), re.DOTALL)
    )
    if "while True" not in block  # it would go on for ever
    and OF_PICTURES not in block
]


def publish_for_a_while(publisher: Publisher) -> None:
    """Publish a short run: the snout is far to the right, and moves."""
    publisher.wait_for_subscriber()
    publisher.send(hello())
    for seq in range(30):
        moving = {"snout": FilteredKeypoint(400.0, 50.0, 10.0, 0.0, None)}
        publisher.send(msgspec.structs.replace(pose(seq), keypoints={"snout": (400.0, 50.0, 0.95)}, filtered=moving))
        time.sleep(0.01)
    publisher.send(end())


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with publishing() as publisher:
        yield publisher


@pytest.mark.parametrize("block", BLOCKS)
def test_example_on_a_page_runs_and_has_its_effect(
    publisher: Publisher, block: str, capsys: pytest.CaptureFixture[str]
) -> None:
    echo = EchoServer("tcp://127.0.0.1:*")
    echo.start()
    block = re.sub(r"Subscriber\((\"[^)]*)?\)", f'Subscriber("{publisher.endpoint}")', block)
    block = block.replace("tcp://192.168.1.20:5665", echo.endpoint)
    run = threading.Thread(target=publish_for_a_while, args=[publisher])
    names: dict[str, object] = {}  # a block brings along all that it needs: it runs as pasted
    if "Subscriber" in block:
        run.start()
    try:
        exec(compile(block, "example", "exec"), names)
    finally:
        echo.stop()
        if "Subscriber" in block:
            run.join()
    for name, value in {"xy": (1, 2), "likelihood": (1,), "centre": (2,)}.items():
        assert getattr(names.get(name), "shape", value) == value
    if "laser" in names:
        assert capsys.readouterr().out == "laser on\nlaser off\n"
    if "place" in names:
        assert names["place"] == pytest.approx((400, 50), abs=10)
    if "ahead_ns" in names:
        assert abs(cast(int, names["ahead_ns"])) < 1e9
        names["socket"].context.destroy(linger=0)  # type: ignore[attr-defined]


def test_the_example_of_pictures_saves_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = find_page("receive-poses.md").read_text(encoding="utf-8")
    (block,) = (code for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if OF_PICTURES in code)
    ring, server = Ring(4, 48, 64), PreviewServer("tcp://127.0.0.1:*", RunIdentity("r", "cam0", ("snout",), 0))
    server.start()
    server.show(NewestReader(ring), None)
    monkeypatch.chdir(tmp_path)
    example = compile(
        block.replace("PreviewSubscriber()", f'PreviewSubscriber("{server.endpoint}")'), "example", "exec"
    )
    run = threading.Thread(target=exec, args=(example, {}))
    run.start()
    try:
        while run.is_alive():
            slot = ring.claim(1.0)
            assert slot is not None
            ring.publish(slot, FrameMeta(ring.newest + 1, 0, None, now_ns()))
            run.join(0.01)
    finally:
        server.stop()
    assert (tmp_path / "now.jpg").read_bytes().startswith(b"\xff\xd8")
