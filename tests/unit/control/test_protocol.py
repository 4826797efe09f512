"""The protocol of orders: requests, and how it says who gave them."""

from __future__ import annotations

import pytest

from realtime_cropzoom.control.protocol import Origin, Request, decode_request, encode_request


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        (Origin("page", "anna", 4711), "page (anna, process 4711)"),
        (Origin(None, "anna", 4711), "anna, process 4711"),
        (Origin("page", "anna"), "page (anna)"),
        (Origin(key="rig2"), "key rig2"),
        (Origin("ctl", key="rig2"), "ctl (key rig2)"),
        (Origin("ctl"), "ctl"),
        (Origin(), "unknown"),
    ],
)
def test_an_origin_in_words(origin: Origin, said: str) -> None:
    assert str(origin) == said


def test_a_request_comes_back_as_it_was_sent() -> None:
    request = Request("set", "crop_size", [240, 240], "page")
    assert decode_request(encode_request(request)) == request
