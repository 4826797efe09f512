"""The client of orders: how an order finds its program, and what it says if it finds none or several."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.orders import taking
from support.pipelines import cropzoom

from realtime_cropzoom.control import AUTO
from realtime_cropzoom.control.address import take_address
from realtime_cropzoom.control.client import give_order
from realtime_cropzoom.control.protocol import RUN, OrderError
from realtime_cropzoom.errors import ConfigError, SinkError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the numbers of names are of POSIX systems")


def test_a_name_selects_one_of_several_programs(runtime: Path) -> None:
    with (
        taking(take_address(AUTO, "rules")) as first,
        taking(take_address(AUTO, "rules")) as second,
        taking(take_address("left", "rules")) as left,
    ):
        with pytest.raises(ConfigError, match="3 programs take this order: left, rules-2, rules; choose one"):
            give_order("arm")
        give_order("arm", to="left")
        give_order("disarm", to="rules-2")
        give_order("stop", to="rules")
        assert [taker.given() for taker in (first, second, left)] == [["stop"], ["disarm"], ["arm"]]
        with pytest.raises(SinkError, match=r"no program called right takes orders; there are left, rules-2, rules"):
            give_order("arm", to="right")


def test_an_order_that_one_kind_takes_finds_that_kind(runtime: Path) -> None:
    with taking(take_address(AUTO, "run-cam0"), RUN) as run:
        with pytest.raises(SinkError, match="no trigger of this user takes orders; there are run-cam0; start one with"):
            give_order("arm")
        with taking(take_address(AUTO, "rules")) as trigger:
            give_order("arm")
            give_order("marker", value="light on")
            with pytest.raises(ConfigError, match="2 programs take this order: rules, run-cam0"):
                give_order("stop")
            assert (run.given(), trigger.given()) == (["marker"], ["arm"])
        assert give_order("dance") == {
            "ok": False,
            "error": "there is no order 'dance'; expected one of state, record, stop_recording, marker, pause, resume, "
            "detect, set, stop",
        }


def test_an_order_without_a_program_is_an_error(runtime: Path) -> None:
    done = cropzoom("ctl", "arm")
    assert done.returncode == 2
    assert done.stderr.startswith("cropzoom: no trigger of this user takes orders; start one with 'cropzoom trigger")
    assert done.stderr.count("\n") == 1


def test_what_cannot_be_sent_is_refused_here(runtime: Path) -> None:
    with taking(take_address(AUTO, "rules")) as taker:
        with pytest.raises(OrderError, match=r"order rules: got 3000\d\d bytes, expected at most 262144"):
            give_order("rules", value="x" * 300_000, by=None)
        with pytest.raises(OrderError, match="cannot be sent as JSON"):
            give_order("rules", value=object())
        assert taker.given() == []
