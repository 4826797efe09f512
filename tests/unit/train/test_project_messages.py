"""Messages of a training process."""

from __future__ import annotations

import msgspec
import pytest

from realtime_cropzoom.train.project_messages import Failed, Finished, Message, Progress, Said, decode, encode


@pytest.mark.parametrize("message", [Said("a\nb"), Finished(), Failed("full"), Progress(0.5, 60.0, 3, 1.5, None)])
def test_a_message_is_one_line_and_comes_back(message: Message) -> None:
    line = encode(message)
    assert line.count(b"\n") == 1
    assert decode(line) == message


def test_what_a_library_prints_is_no_message() -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(b"downloading weights\n")
