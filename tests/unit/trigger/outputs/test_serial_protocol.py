"""The protocol of the trigger board, in the simulated board and in the sketch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import serial
from hypothesis import given
from hypothesis import strategies as st
from support.serial_boards import KINDS, Board

from realtime_cropzoom.trigger.engine.events import ActionType
from realtime_cropzoom.trigger.outputs import serial_protocol as protocol
from realtime_cropzoom.trigger.outputs.simulated_board import Board as SimulatedBoard


@pytest.fixture(params=KINDS)
def board(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Board]:
    board = Board(request.param, tmp_path)
    yield board
    board.unplug()


@given(st.binary(max_size=100))
def test_no_bytes_from_a_board_raise_an_error(data: bytes) -> None:
    lines = protocol.Lines().feed(data)
    for line in lines:
        protocol.parse(line)


@given(
    st.lists(st.sampled_from([b"A 1 2", b"E 3 channel", b"X watchdog", b"I cropzoom_trigger 1 4"])), st.integers(1, 9)
)
def test_lines_come_out_whole_however_they_arrive(lines: Any, size: int) -> None:
    data, cutter = b"".join(line + b"\r\n" for line in lines), protocol.Lines()
    got = [line for at in range(0, len(data), size) for line in cutter.feed(data[at : at + size])]
    assert [protocol.parse(line) for line in got] == [protocol.parse(line) for line in lines]
    assert None not in [protocol.parse(line) for line in got]


ACTS = st.sampled_from(list(ActionType))


REQUESTS = st.tuples(ACTS, st.integers(0, protocol.ID_RANGE - 1), st.integers(1, 4), st.floats(0.001, 1e9))


@given(REQUESTS)
def test_every_request_fits_a_line_and_is_acknowledged_by_its_id(request: Any) -> None:
    act, id, channel, ms = request
    line = protocol.encode(act, id, channel, ms)
    assert len(line) <= protocol.MAX_LINE
    board = SimulatedBoard(4, lambda *_: None)
    board.answer(b"W 0 500", 0)
    assert protocol.parse(board.answer(line[:-1], 10).encode()) == protocol.Acknowledged(id, 10)


@given(st.lists(st.tuples(REQUESTS, st.integers(0, 400_000)), max_size=20))
def test_a_channel_is_on_while_it_is_held_or_pulsed(steps: Any) -> None:
    shown: dict[int, bool] = {}
    board = SimulatedBoard(4, lambda channel, on, at: shown.update({channel: on}))
    held, until, now = set[int](), dict[int, int](), 0
    board.answer(b"W 0 500", 0)
    for (act, id, channel, ms), wait_us in steps:
        now += wait_us
        board.pass_time(now)
        board.answer(protocol.encode(act, id, channel, ms)[:-1], now)
        if act is ActionType.PULSE:
            us = min(max(1, round(ms * 1000)), protocol.MAX_US)
            until[channel] = max(until.get(channel, 0), now + us)
        elif act is ActionType.ON:
            held.add(channel)
        else:
            held.discard(channel)
        if act is ActionType.SAFE:
            until[channel] = 0
        board.pass_time(now)
        assert {c for c, on in shown.items() if on} == {c for c in range(1, 5) if c in held or until.get(c, 0) > now}


ANSWERS = [
    (b"?", b"I cropzoom_trigger 1 4"),
    (b"N 1 1", b"E 1 no watchdog"),
    (b"H 2", b"E 2 no watchdog"),
    (b"P 3 9 1000", b"E 3 channel"),
    (b"F 4 0", b"E 4 channel"),
    (b"P 5 1 0", b"E 5 what"),
    (b"P 6 1 2000000001", b"E 6 what"),
    (b"P 7 1", b"E 7 what"),
    (b"P 8 1 -5", b"E 0 what"),
    (b"P  9 1 5", b"E 0 what"),
    (b"N 10 1 ", b"E 0 what"),
    (b"N 99999999999 1", b"E 0 what"),
    (b"laser on", b"E 0 what"),
    (b"", b"E 0 what"),
    (b"P " + b"1" * 60, b"E 0 long"),
]


def test_what_the_boards_answer(board: Board) -> None:
    with serial.Serial(board.port, timeout=10) as port:
        for line, answer in ANSWERS:
            port.write(line + b"\n")
            assert (line, port.readline().strip()) == (line, answer)
    assert board.changes == []
