"""The messages of the page: what is written is JSON of one kind, what is read is checked."""

from __future__ import annotations

import json
import struct

import msgspec
import pytest

from realtime_cropzoom.view import protocol
from realtime_cropzoom.view.protocol import Order, PictureHeader, PoseRow, Poses, Show


def test_poses_are_rows_without_names() -> None:
    row = PoseRow(3, 1000.5, "tracking", (1, 2, 64, 64), 20.0, [(4.0, 5.0, 0.9), None], 2.5, True)
    assert json.loads(protocol.encode(Poses("cam0", [row]))) == {
        "kind": "poses",
        "camera": "cam0",
        "rows": [[3, 1000.5, "tracking", [1, 2, 64, 64], 20.0, [[4.0, 5.0, 0.9], None], 2.5, True]],
    }


def test_a_picture_is_length_header_and_jpeg() -> None:
    data = protocol.encode_picture(PictureHeader("cam0", "r", 7, 1.5, 320, 240, 640, 480), b"jpeg")
    (length,) = struct.unpack_from("<I", data)
    assert json.loads(data[4 : 4 + length])["frame"] == 7
    assert data[4 + length :] == b"jpeg"


def test_messages_of_a_page_are_read() -> None:
    assert protocol.decode_page_message('{"kind":"show","previews":["cam0"]}') == Show(["cam0"])
    order = '{"kind":"order","id":1,"to":"run-cam0","order":"marker","value":"now"}'
    assert protocol.decode_page_message(order) == Order(1, "run-cam0", "marker", None, "now")


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{", '{"kind":"welcome"}', '{"kind":"show"}', '{"kind":"show","previews":[1]}'),
        '{"kind":"order","id":1,"to":"x","order":"arm","more":1}',
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        protocol.decode_page_message(text)
