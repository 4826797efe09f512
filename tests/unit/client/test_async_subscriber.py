"""Asyncio subscriber: it waits as the blocking one does, and lets other tasks run."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from support.pipelines import LONG_S
from support.publisher import Publisher, end, hello, pose, publishing, send_garbage, use

from realtime_cropzoom import AsyncSubscriber
from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.messaging.message import EndMessage, HelloMessage, PoseMessage
from realtime_cropzoom.messaging.time_sync import SAME_CLOCK
from realtime_cropzoom.sinks.time_sync_server import EchoServer

Script = Callable[[AsyncSubscriber], Coroutine[Any, Any, None]]


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with publishing() as publisher:
        yield publisher


def run(publisher: Publisher, script: Script, **options: Any) -> None:
    """Run ``script`` with a subscriber that is connected."""

    async def whole() -> None:
        async with AsyncSubscriber(publisher.endpoint, **options) as subscriber:
            await asyncio.to_thread(publisher.wait_for_subscriber)
            await asyncio.wait_for(script(subscriber), LONG_S)

    asyncio.run(whole())


def test_iteration_ends_at_the_end_message_or_follows_the_next_run(publisher: Publisher) -> None:
    async def script(subscriber: AsyncSubscriber) -> None:
        publisher.send(hello(), pose(0), pose(3), end(), hello("s"), pose(0, run="s"), end(run="s"))
        assert [m.seq async for m in subscriber] == [0, 3]
        assert [m.run async for m in subscriber] == ["s"]
        assert (subscriber.missed, subscriber.restarts, subscriber.stream) == (2, 1, "ended")
        assert subscriber.hello == hello("s")
        assert subscriber.clock == SAME_CLOCK

    run(publisher, script)


def test_follow_continues_with_the_next_run(publisher: Publisher) -> None:
    async def script(subscriber: AsyncSubscriber) -> None:
        publisher.send(pose(0), end(), pose(0, run="s"))
        runs = []
        async for message in subscriber:
            runs.append(message.run)
            if len(runs) == 2:
                break
        assert runs == ["r", "s"]

    run(publisher, script, follow=True)


def test_receive_waits_no_longer_than_its_timeout(publisher: Publisher) -> None:
    async def script(subscriber: AsyncSubscriber) -> None:
        assert await subscriber.receive(0.01) is None
        assert await subscriber.receive(0) is None
        assert await subscriber.newest(1e9) is None
        assert await subscriber.newest(1e9, timeout_s=0.01) is None
        timer = threading.Timer(0.05, publisher.send, [hello(), pose(7)])
        timer.start()
        message = await subscriber.newest(1e9, timeout_s=LONG_S)
        timer.join()
        assert message is not None
        assert message.seq == 7

    run(publisher, script)


def test_a_cancelled_receive_loses_no_message(publisher: Publisher) -> None:
    async def script(subscriber: AsyncSubscriber) -> None:
        for _ in range(5):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(subscriber.receive(), 0.01)
        publisher.send(*(pose(i) for i in range(20)), end())
        assert [m.seq async for m in subscriber] == list(range(20))

    run(publisher, script)


def test_other_tasks_run_while_many_messages_wait(publisher: Publisher) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def script(subscriber: AsyncSubscriber) -> None:
        publisher.send(*(pose(i) for i in range(500)), end())
        while not subscriber.has_message():
            await asyncio.sleep(0.001)
        counting = asyncio.create_task(count())
        received = [m.seq async for m in subscriber]
        counting.cancel()
        assert received == list(range(500))
        assert turns > 100

    run(publisher, script)


def test_on_another_machine_the_clock_is_measured(publisher: Publisher) -> None:
    ahead_ns = 3600 * 10**9
    echo = EchoServer("tcp://127.0.0.1:*", clock="elsewhere", now=lambda: now_ns() + ahead_ns)
    echo.start()

    async def script(subscriber: AsyncSubscriber) -> None:
        publisher.send(hello(clock="elsewhere", echo=echo.endpoint))
        assert isinstance(await subscriber.receive(), HelloMessage)
        while (offset := subscriber.clock) is None:
            await asyncio.sleep(0.01)
        assert abs(offset.offset_ns - ahead_ns) <= offset.uncertainty_ns

    try:
        run(publisher, script)
    finally:
        echo.stop()


def test_thousands_of_malformed_messages_raise_no_error(publisher: Publisher) -> None:
    async def script(subscriber: AsyncSubscriber) -> None:
        sent, received = send_garbage(publisher, 2000), []
        async for message in subscriber.messages():
            if message.camera == "good":
                received.append(message)
                if isinstance(message, EndMessage):
                    break
            elif isinstance(message, PoseMessage):
                use(subscriber, message)
        assert received[:-1] == sent
        assert subscriber.malformed > 500

    run(publisher, script)


def test_an_invalid_endpoint_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"cannot connect to 'nonsense', .*expected one such as tcp://127\.0\.0\.1:5660"
    ):
        AsyncSubscriber("nonsense")


def test_close_may_be_called_twice_and_is_quick() -> None:
    async def script() -> None:
        subscriber = AsyncSubscriber("tcp://127.0.0.1:1")
        assert await subscriber.receive(0.01) is None
        subscriber.close()
        subscriber.close()

    began = time.monotonic()
    asyncio.run(script())
    assert time.monotonic() - began < LONG_S
