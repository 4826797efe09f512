"""The examples of the pages on receiving, run against a publisher."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from typing import cast

import msgspec
import pytest
from support.pages import find_page
from support.publisher import Publisher, end, hello, pose, publishing

from realtime_cropzoom.messaging.message import FilteredKeypoint
from realtime_cropzoom.sinks.time_sync_server import EchoServer

BLOCKS = [
    pytest.param(block, id=f"{page}-{index}")
    for page in ("receive-poses", "messages")
    for index, block in enumerate(
        re.findall(r"```python\n(.*?)```", find_page(f"{page}.md").read_text(encoding="utf-8"), re.DOTALL)
    )
    if "while True" not in block  # it would go on for ever
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
