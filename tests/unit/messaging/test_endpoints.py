"""Endpoints: parsing, who can reach them, and where the time server of a publisher is."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.messaging.endpoints import (
    TcpEndpoint,
    check_transport,
    endpoint_beside,
    endpoint_seen_from,
    is_local,
    parse_tcp,
)


@pytest.mark.parametrize(
    ("endpoint", "parsed"),
    [
        ("tcp://rig:5660", TcpEndpoint("rig", 5660)),
        ("tcp://[::1]:5660", TcpEndpoint("[::1]", 5660)),
        ("tcp://*:*", TcpEndpoint("*", None)),
        ("tcp://10.0.0.1;rig:5660", TcpEndpoint("10.0.0.1;rig", 5660)),
        ("tcp://rig", None),
        ("tcp://:5660", None),
        ("tcp://rig:", None),
        ("tcp://rig:5660\n", None),
        ("tcp://rig:\N{ARABIC-INDIC DIGIT FIVE}", None),
        ("ipc:///tmp/poses", None),
        ("", None),
    ],
)
def test_tcp_endpoints_are_parsed(endpoint: str, parsed: TcpEndpoint | None) -> None:
    assert parse_tcp(endpoint) == parsed


@pytest.mark.parametrize(
    ("endpoint", "local"),
    [
        ("tcp://127.0.0.1:5660", True),
        ("tcp://127.0.0.1:*", True),
        ("tcp://localhost:5660", True),
        ("tcp://[::1]:5660", True),
        ("ipc:///run/poses", True),
        ("inproc://poses", True),
        ("tcp://*:5660", False),
        ("tcp://0.0.0.0:5660", False),
        ("tcp://0:5660", False),
        ("tcp://[::]:5660", False),
        ("tcp://[::ffff:192.168.1.2]:5660", False),
        ("tcp://192.168.1.2:5660", False),
        ("tcp://eth0:5660", False),
        ("tcp://localhost.example.org:5660", False),
        ("tcp://127.0.0.1.example.org:5660", False),
        ("tcp://127.0.0.1;0.0.0.0:5660", False),
        ("tcp://0.0.0.0:5660 tcp://127.0.0.1:5660", False),
        ("udp://127.0.0.1:5660", False),
        ("pgm://lo;239.192.1.1:5660", False),
        ("nonsense", False),
        ("", False),
    ],
)
def test_local_endpoints_are_recognised(endpoint: str, local: bool) -> None:
    assert is_local(endpoint) is local


@given(st.ip_addresses(v=4))
def test_only_loopback_addresses_are_local(address: Any) -> None:
    assert is_local(f"tcp://{address}:5660") is (int(address) >> 24 == 127)


@pytest.mark.parametrize(
    ("publish", "beside"),
    [
        ("tcp://127.0.0.1:5660", "tcp://127.0.0.1:*"),
        ("tcp://*:*", "tcp://*:*"),
        ("tcp://[::1]:5660", "tcp://[::1]:*"),
        ("tcp://eth0:5660", "tcp://eth0:*"),
        ("ipc:///tmp/poses", None),
        ("tcp://192.168.1.5;rig:5660", None),
        ("nonsense", None),
    ],
)
def test_time_server_is_bound_on_the_host_of_the_poses(publish: str, beside: str | None) -> None:
    assert endpoint_beside(publish) == beside


@pytest.mark.parametrize(
    ("subscribed", "echo", "seen"),
    [
        ("tcp://10.0.0.5:5660", "tcp://0.0.0.0:4711", "tcp://10.0.0.5:4711"),
        ("tcp://[fe80::1]:5660", "tcp://[::]:4711", "tcp://[fe80::1]:4711"),
        ("tcp://rig:5660", "tcp://127.0.0.1:65535", "tcp://rig:65535"),
        ("tcp://rig:5660", None, None),
        ("tcp://rig:5660", "tcp://rig:*", None),
        ("tcp://rig:5660", "tcp://rig:0", None),
        ("tcp://rig:5660", "tcp://rig:65536", None),
        ("tcp://rig:5660", "tcp://rig:" + "9" * 500, None),
        ("tcp://rig:5660", "tcp://rig:²", None),
        ("tcp://rig:5660", "file:///etc", None),
        ("ipc:///tmp/poses", "tcp://127.0.0.1:4711", None),
    ],
)
def test_time_server_is_reached_on_the_host_that_sends_the_poses(
    subscribed: str, echo: str | None, seen: str | None
) -> None:
    assert endpoint_seen_from(subscribed, echo) == seen


def test_ipc_is_refused_on_windows_in_one_line_and_tcp_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    check_transport("publish", "ipc://poses")
    monkeypatch.setattr(sys, "platform", "win32")
    check_transport("publish", "tcp://127.0.0.1:5660")
    with pytest.raises(ConfigError) as refused:
        check_transport("publish", "ipc://poses")
    assert str(refused.value) == (
        "publish: got ipc://poses, which Windows does not have; expected tcp://127.0.0.1:5660 or the like"
    )


def test_settings_and_scripts_refuse_ipc_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    from realtime_cropzoom.client.subscriber import Subscriber
    from realtime_cropzoom.config.resolve import load_settings

    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(ConfigError, match="publish: got ipc://poses, which Windows does not have"):
        load_settings({"publish": "ipc://poses"})
    with pytest.raises(ConfigError, match="endpoint: got ipc://poses, which Windows does not have"):
        Subscriber("ipc://poses")
