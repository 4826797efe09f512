"""Security: only this machine, only clients with a key, or everyone with ``insecure`` can connect."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import zmq
import zmq.auth
from support.pages import find_page
from support.pipelines import (
    ANY_PORT,
    LONG_S,
    Film,
    check_complete,
    cropzoom,
    cropzoom_threads,
    finish,
    make_settings,
    model_flags,
    start_process,
    the_session,
    tiny_models,
    wait_for,
)
from support.places import PACKAGE

from realtime_cropzoom import AsyncSubscriber, Subscriber
from realtime_cropzoom.cli.main import main
from realtime_cropzoom.config.resolve import load_settings
from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.errors import ConfigError, SinkError
from realtime_cropzoom.messaging.keys import (
    ClientKeys,
    make_client_keys,
    make_server_keys,
    read_client_keys,
    read_server_keys,
)
from realtime_cropzoom.messaging.message import Counts, EndMessage, encode
from realtime_cropzoom.messaging.security import ConnectionGuard, Security
from realtime_cropzoom.messaging.sockets import use_client_keys
from realtime_cropzoom.pipeline.pipeline import Pipeline
from realtime_cropzoom.pipeline.report import report

EVERYWHERE = "tcp://0.0.0.0:*"
SOON_S = LONG_S / 3
"""Timeout (s) within which a client must learn of a rejection, which takes a fraction of a second."""


def client_file(folder: Path, name: str = "bench") -> Path:
    return folder / f"{name}.key_secret"


@pytest.mark.parametrize("setting", ["publish", "publish_latest", "publish_echo"])
def test_an_endpoint_reachable_by_others_needs_keys_or_insecure(tmp_path: Path, setting: str) -> None:
    given = {setting: "tcp://0.0.0.0:5990"}
    with pytest.raises(
        ConfigError, match=rf"^{setting}: other machines can reach tcp://0\.0\.0\.0:5990; .*--key-folder, .*--insecure"
    ):
        load_settings(given)
    assert load_settings({**given, "insecure": True}).endpoints()[setting] == given[setting]
    assert load_settings({**given, "key_folder": tmp_path}).endpoints()[setting] == given[setting]
    assert load_settings({**given, "publish": "none"}).endpoints() == {}


def test_contradicting_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"both key_folder .* and insecure are set"):
        load_settings({"key_folder": tmp_path, "insecure": True})
    with pytest.raises(ConfigError, match="keys do not protect"):
        load_settings({"key_folder": tmp_path, "publish": "pgm://eth0;239.192.1.1:5660"})


def test_unchecked_settings_open_no_endpoint(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, publish_latest="none")
    unchecked = Settings.model_construct(**{**dict(settings), "publish": EVERYWHERE, "publish_echo": "none"})
    with pytest.raises(SinkError, match=r"publish: other machines can reach tcp://0\.0\.0\.0:\*"):
        Pipeline(unchecked, Film).start()
    assert not cropzoom_threads()


def test_several_cameras_have_the_same_rules(tmp_path: Path) -> None:
    config = tmp_path / "two.yaml"
    cameras = {"top": {"source": "synthetic:arena"}, "side": {"source": "camera:0", "publish": "tcp://0.0.0.0:5999"}}
    config.write_text(json.dumps({"out": str(tmp_path / "out"), "cameras": cameras}))
    for command in (["run", "--config"], ["check"]):
        done = cropzoom(*command, config)
        assert done.returncode == 2
        assert "camera side: publish: other machines can reach tcp://0.0.0.0:5999" in done.stdout + done.stderr
    assert not (tmp_path / "out").exists()


def test_check_reports_who_can_connect(tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def endpoints(*flags: object) -> dict[str, Any]:
        flags = ("check", "synthetic:arena,seconds=1", *model_flags(tiny_models(tmp_path / "models"))[:-2], *flags)
        main([str(flag) for flag in (*flags, "--json", "--out", tmp_path)])
        lines = json.loads(capsys.readouterr().out)["lines"]
        return next(line for line in lines if line["check"] in ("endpoints", "config"))

    ports = ("--publish", EVERYWHERE, "--publish-latest", "none")
    assert not endpoints(*ports)["ok"]
    insecure = endpoints(*ports, "--insecure")
    assert insecure["ok"]
    assert insecure["text"].endswith("any program that can reach this machine can listen (insecure)")
    assert endpoints(*ports, "--key-folder", folder)["text"].endswith("only clients with a key can listen: bench")
    (folder / "clients" / "bench.key").unlink()
    nobody = endpoints(*ports, "--key-folder", folder)
    assert not nobody["ok"]
    assert f"make one with 'cropzoom keys {folder} --client NAME'" in nobody["text"]
    assert not endpoints(*ports, "--key-folder", tmp_path / "nowhere")["ok"]


class Server:
    """A guarded publisher that repeats its hello."""

    def __init__(self, folder: Path | None) -> None:
        self.security = Security(None if folder is None else read_server_keys(folder))
        self.context = zmq.Context()
        self.guard = ConnectionGuard(self.context, self.security)
        self.socket = self.context.socket(zmq.XPUB)
        self.socket.set(zmq.LINGER, 0)
        self.socket.set(zmq.XPUB_VERBOSER, 1)
        self.endpoint = self.guard.bind(self.socket, "publish", ANY_PORT)
        self.guard.start()

    @property
    def refused(self) -> int:
        return self.security.rejected.count

    def hears(self, subscriber: Subscriber) -> bool:
        """Return whether the subscriber receives a message. Errors of the subscriber are passed on."""
        deadline = time.monotonic() + LONG_S
        while time.monotonic() < deadline:
            self.socket.send_multipart([b"end/cam0", encode(EndMessage(1, "r", "cam0", "x", Counts(0, 0, 0, 0, 0), 0))])
            if subscriber.receive(0.02) is not None:
                return True
        return False

    def close(self) -> None:
        self.guard.close()
        self.socket.close()
        self.context.term()


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    server = Server(folder)
    yield server
    server.close()
    assert "cropzoom-guard" not in cropzoom_threads()


def test_without_keys_local_clients_connect() -> None:
    server = Server(None)
    with Subscriber(server.endpoint) as subscriber:
        assert server.hears(subscriber)
    server.close()


def test_a_client_with_the_right_key_connects(server: Server, folder: Path) -> None:
    with Subscriber(server.endpoint, keys=client_file(folder)) as subscriber:
        assert server.hears(subscriber)
    with Subscriber(server.endpoint, keys=str(client_file(folder))) as subscriber:
        assert server.hears(subscriber)
    assert server.refused == 0


def test_the_pyzmq_example_of_the_page_connects(server: Server, folder: Path) -> None:
    page = find_page("security.md").read_text(encoding="utf-8")
    (example,) = [code for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "import zmq" in code]
    example = example.replace("tcp://192.168.1.20:5660", server.endpoint).replace('b"pose/"', 'b"end/"')
    client = start_process(code=f"{example}\nprint(socket.recv_multipart()[0])", cwd=folder)
    while client.poll() is None:
        server.socket.send_multipart([b"end/cam0", b"{}"])
        time.sleep(0.02)
    assert finish(client).stdout == "b'end/cam0'\n"


def test_a_removed_key_is_rejected_and_logged(server: Server, folder: Path) -> None:
    """The key was made for this run. A client that is already connected stays connected."""
    make_client_keys(folder, "rig2")
    public = read_client_keys(client_file(folder)).public.decode()
    with Subscriber(server.endpoint, keys=client_file(folder)) as early:
        assert server.hears(early)
        (folder / "clients" / "bench.key").unlink()
        with Subscriber(server.endpoint, keys=client_file(folder)) as late:
            began = time.monotonic()
            with pytest.raises(ConfigError, match=rf"refused at {server.endpoint}: the run does not know this key"):
                server.hears(late)
            assert time.monotonic() - began < SOON_S
        assert server.hears(early)
    wait_for(lambda: server.refused, "the count")
    assert server.security.rejected.keys == {public: 1}
    with Subscriber(server.endpoint, keys=client_file(folder, "rig2")) as other:
        assert server.hears(other)


def test_newest_reports_a_rejection(server: Server, folder: Path) -> None:
    (folder / "clients" / "bench.key").unlink()
    with Subscriber(server.endpoint, keys=client_file(folder)) as poses, pytest.raises(ConfigError, match="not know"):
        wait_for(lambda: poses.newest(max_age_ms=20), "a refusal")

    async def ask_for_newest() -> None:
        async with AsyncSubscriber(server.endpoint, keys=client_file(folder)) as poses:
            while True:
                assert await poses.newest(max_age_ms=20) is None

    with pytest.raises(ConfigError, match="does not know this key"):
        asyncio.run(ask_for_newest())


def test_a_key_that_is_added_during_the_run_is_accepted(server: Server, folder: Path) -> None:
    make_client_keys(folder, "rig2")
    with Subscriber(server.endpoint, keys=client_file(folder, "rig2")) as subscriber:
        assert server.hears(subscriber)


def test_a_malformed_client_file_does_not_lock_out_others(server: Server, folder: Path) -> None:
    (folder / "clients" / "a.key").write_bytes(b"\xff\xfe")
    (folder / "clients" / "b.key").mkdir()
    with Subscriber(server.endpoint, keys=client_file(folder)) as subscriber:
        assert server.hears(subscriber)
    with pytest.raises(ConfigError, match=r"a\.key is not a key file"):
        read_server_keys(folder)  # before a run it is said


def test_without_a_folder_of_clients_every_client_is_rejected(server: Server, folder: Path) -> None:
    shutil.rmtree(folder / "clients")
    with (
        Subscriber(server.endpoint, keys=client_file(folder)) as subscriber,
        pytest.raises(ConfigError, match="refused"),
    ):
        server.hears(subscriber)


def gets_nothing(server: Server, subscriber: Subscriber, caplog: pytest.LogCaptureFixture) -> str:
    """Return the error or warning of a subscriber that must not receive any message."""
    caplog.clear()
    began = time.monotonic()
    while time.monotonic() - began < LONG_S:
        server.socket.send_multipart([b"pose/cam0", b"{}"])
        try:
            assert subscriber.receive(0.02) is None
        except ConfigError as error:
            said = str(error)
            break
        if texts := [r.getMessage() for r in caplog.records if "breaks off" in r.getMessage()]:
            said = texts[0]
            break
    else:
        pytest.fail("nothing was said")
    assert time.monotonic() - began < SOON_S
    assert server.socket.poll(0) == 0, "it has subscribed"
    return said


def test_a_client_without_a_key_is_rejected(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    with Subscriber(server.endpoint) as subscriber:
        assert "keys" in gets_nothing(server, subscriber, caplog)
        wait_for(lambda: server.refused, "the count")
    assert server.security.rejected.keys == {}


def test_a_client_of_another_run_is_rejected(server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_server_keys(tmp_path / "other")
    file = make_client_keys(tmp_path / "other", "bench")
    with Subscriber(server.endpoint, keys=file) as subscriber:
        assert "other keys than those of this client's file" in gets_nothing(server, subscriber, caplog)
        wait_for(lambda: server.refused, "the count")


def test_a_client_with_keys_does_not_connect_to_a_run_without(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = Server(None)
    with Subscriber(server.endpoint, keys=client_file(folder)) as subscriber:
        assert "no keys" in gets_nothing(server, subscriber, caplog)
    server.close()


def test_without_a_zap_handler_every_client_is_rejected(server: Server, folder: Path) -> None:
    """Without its domain, ZeroMQ would accept any key if the thread that checks keys has ended."""
    server.guard.close()
    with Subscriber(server.endpoint, keys=client_file(folder)) as subscriber:
        assert subscriber.receive(0.3) is None
    assert server.socket.poll(0) == 0


def test_a_rejection_is_logged_once_and_a_flood_of_keys_is_only_counted(
    server: Server, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with zmq.Context() as context:
        sockets = []
        for _ in range(70):
            sockets.append(socket := context.socket(zmq.SUB))
            socket.set(zmq.LINGER, 0)
            public, secret = zmq.curve_keypair()
            socket.set(zmq.CURVE_SERVERKEY, read_server_keys(folder).public)
            socket.set(zmq.CURVE_PUBLICKEY, public)
            socket.set(zmq.CURVE_SECRETKEY, secret)
            socket.connect(server.endpoint)
        wait_for(lambda: server.refused >= 70, "70 refusals")
        for socket in sockets:
            socket.close()
    assert len(server.security.rejected.keys) == 64
    assert sum("is not in" in record.getMessage() for record in caplog.records) == 64


UNREAD = """
import sys, zmq
from realtime_cropzoom.messaging.sockets import monitor
with zmq.Context() as context, context.socket(zmq.PUB) as socket:
    events = monitor(context, socket, zmq.EVENT_ALL)
    for _ in range(1500):  # two events each or more; 2000 go into what ZeroMQ gives unasked
        socket.bind(sys.argv[1])
        socket.unbind(sys.argv[1])
    socket.disable_monitor()
    events.close(linger=0)
"""


def test_unread_monitor_events_do_not_block() -> None:
    """With a full queue of events, ZeroMQ's own thread would wait, and with it all messages."""
    with tempfile.TemporaryDirectory(prefix="cz") as short:
        assert finish(start_process(f"ipc://{short}/s", code=UNREAD), LONG_S / 2).returncode == 0


def test_every_module_that_binds_checks_who_can_reach_it() -> None:
    of_no_use_to_others = {"machine.py", "software.py"}  # they bind for a moment, to see whether a port is free
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if ".bind(" in text and path.name not in of_no_use_to_others:
            assert any(word in text for word in ("guard.bind", "check_reach", "is_local", "new_token")), path


def ask(context: zmq.Context[zmq.Socket[bytes]], kind: int, endpoint: str, keys: ClientKeys | None) -> Any:
    """Return a socket that has sent a request or a subscription to an endpoint of a run."""
    socket = context.socket(kind)
    socket.set(zmq.LINGER, 0)
    if keys is not None:
        use_client_keys(socket, keys)
    socket.connect(on_this_machine(endpoint))
    if kind == zmq.SUB:
        socket.subscribe(b"")
    else:
        socket.send(b"now?")
    return socket


def on_this_machine(endpoint: str) -> str:
    return endpoint.replace("0.0.0.0", "127.0.0.1")


def _is_refused_more_than(pipeline: Pipeline, count: int) -> bool:
    return pipeline.progress().refused > count


def test_a_run_with_keys_guards_all_its_endpoints(tmp_path: Path, folder: Path) -> None:
    """All endpoints are bound to all addresses: also those of the newest pose and of the time server."""
    settings = make_settings(tmp_path, publish=EVERYWHERE, publish_latest=EVERYWHERE, key_folder=folder)
    mine = read_client_keys(client_file(folder))
    with zmq.Context() as context, Pipeline(settings, lambda: Film(10**6, 60)) as pipeline:
        assert "only clients with a key can listen: bench" in pipeline.notes
        with Subscriber(on_this_machine(pipeline.endpoints[0]), keys=client_file(folder)) as subscriber:
            hello = wait_for(lambda: subscriber.receive(1) and subscriber.hello, "the hello")
            for kind, endpoint in ((zmq.SUB, pipeline.endpoints[1]), (zmq.DEALER, hello.echo)):
                with ask(context, kind, endpoint, mine) as socket:
                    assert socket.poll(round(LONG_S * 1000))
                before = pipeline.progress().refused
                with ask(context, kind, endpoint, None) as socket:
                    wait_for(partial(_is_refused_more_than, pipeline, before), "the count")
                    assert not socket.poll(0)
            said = wait_for(lambda: getattr(subscriber.receive(1), "refused", 0), "a heartbeat that says so")
        pipeline.stop()
        summary = pipeline.join()
    assert summary["refused"] >= said >= 2
    assert summary["refused_keys"] == {}
    assert f"{summary['refused']} connections were refused: they had no key" in report(summary)
    files = check_complete(pipeline.folder)
    assert files.summary["refused"] == summary["refused"]
    for secret in (mine.secret, read_server_keys(folder).secret):
        assert not [p for p in files.folder.iterdir() if p.is_file() and secret in p.read_bytes()]


def run_flags(tmp_path: Path) -> list[object]:
    source = "synthetic:arena,size=160x120,fps=60,seconds=600"
    return ["run", source, "--out", tmp_path / "out", *model_flags(tiny_models(tmp_path / "models"))[:-2]]


def test_a_run_reachable_by_others_is_refused_in_one_line(tmp_path: Path) -> None:
    done = cropzoom(*run_flags(tmp_path), "--publish", EVERYWHERE)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def start_run(tmp_path: Path, *flags: object) -> tuple[subprocess.Popen[str], str]:
    """Start a run that binds to all addresses, and return its endpoint for this machine."""
    run = start_process(*run_flags(tmp_path), "--publish", EVERYWHERE, "--publish-latest", "none", *flags)
    assert run.stderr is not None
    note = next(line for line in run.stderr if "publishing at" in line)
    return run, on_this_machine(note.split()[2].rstrip(";"))


LISTEN = """
import sys
from realtime_cropzoom.cli.main import main
from realtime_cropzoom.cli.listen_board import Listener

count_pose = Listener.count_pose

def say_the_first(self, *pose):
    count_pose(self, *pose)
    if self.received == 1:
        print("heard", file=sys.stderr, flush=True)

Listener.count_pose = say_the_first
sys.exit(main())
"""
"""Code of ``cropzoom`` whose subscriber prints a line at the first pose."""


def listen_and_stop(run: subprocess.Popen[str], endpoint: str, *flags: object) -> dict[str, Any]:
    """Listen to a run in another process, stop the run after the first pose, and return the summary of the listener."""
    listen = start_process("listen", endpoint, "--json", *flags, code=LISTEN)
    try:
        assert listen.stderr is not None
        assert any(line == "heard\n" for line in listen.stderr)
        run.terminate()
        heard: dict[str, Any] = json.loads(finish(listen).stdout)
    finally:
        listen.kill()
    return heard


def test_a_run_with_keys_and_its_clients(tmp_path: Path, folder: Path) -> None:
    """Run and clients are processes. A client whose key is not allowed is rejected with an error, and counted."""
    stranger = make_client_keys(folder, "stranger")
    (folder / "clients" / "stranger.key").unlink()
    run, endpoint = start_run(tmp_path, "--key-folder", folder)
    try:
        told = cropzoom("listen", endpoint, "--keys", stranger)
        assert told.returncode == 2
        assert "the run does not know this key" in told.stderr
        assert listen_and_stop(run, endpoint, "--keys", client_file(folder))["received"] > 0
    finally:
        run.terminate()
        finish(run)
    summary = check_complete(the_session(tmp_path / "out")).summary
    assert summary["refused"] == 1
    assert summary["refused_keys"] == {read_client_keys(stranger).public.decode(): 1}


def test_an_insecure_run_and_its_clients(tmp_path: Path) -> None:
    run, endpoint = start_run(tmp_path, "--insecure")
    try:
        assert listen_and_stop(run, endpoint)["received"] > 0
    finally:
        run.terminate()
        finish(run)
    assert check_complete(the_session(tmp_path / "out")).summary["refused"] == 0
