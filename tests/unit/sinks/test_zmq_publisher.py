"""Publisher: messages over real sockets: their form and topics, and that no subscriber can disturb a run."""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq
from support.pipelines import (
    ANY_PORT,
    LONG_S,
    Files,
    Film,
    check_complete,
    cropzoom,
    cropzoom_threads,
    finish,
    free_port,
    hold_models,
    make_settings,
    model_flags,
    start_process,
    the_session,
    tiny_models,
    wait_for,
)

from realtime_cropzoom.client.subscriber import Subscriber
from realtime_cropzoom.clock import clock_id, now_ns
from realtime_cropzoom.messaging.message import EndMessage, HelloMessage, PoseMessage, StatusMessage, json_schema
from realtime_cropzoom.pipeline.pipeline import Pipeline

FRAMES = 200


class Gate:
    """Holds a film before one of its frames until it is opened."""

    def __init__(self, index: int = 0) -> None:
        self._index = index
        self._open = threading.Event()

    def before(self, index: int) -> None:
        if index == self._index:
            assert self._open.wait(LONG_S)

    def open(self) -> None:
        self._open.set()


def listen_to(pipeline: Pipeline, spy: Subscriber) -> subprocess.Popen[str]:
    """Start ``cropzoom listen`` and wait until it has subscribed: ``spy`` then receives another hello."""
    while spy.receive(0.3) is not None:
        pass
    process = start_process("listen", pipeline.endpoints[0], "--json")
    wait_for(lambda: isinstance(spy.receive(0.1), HelloMessage), "the listener to subscribe")
    return process


@dataclass
class Heard:
    """The messages of one run that a raw socket, a conflating socket and a subscriber process received."""

    listener: dict[str, Any]
    files: Files
    parts: list[list[bytes]] = field(default_factory=list)
    latest: list[list[bytes]] = field(default_factory=list)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [json.loads(p) for t, p in self.parts if t.startswith(kind.encode())]


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Heard:
    """A run of 200 frames; it pauses before frame 150, and only then is the latest endpoint read."""
    folder = tmp_path_factory.mktemp("heard")
    start, pause = Gate(0), Gate(150)

    def before(index: int) -> None:
        start.before(index)
        pause.before(index)

    settings = make_settings(folder, publish=ANY_PORT, publish_latest=ANY_PORT, camera="top.1", max_lag=FRAMES)
    parts, latest_parts = list[list[bytes]](), list[list[bytes]]()
    with zmq.Context() as context, Pipeline(settings, lambda: Film(FRAMES, 60, before=before)) as pipeline:
        raw, latest = context.socket(zmq.SUB), context.socket(zmq.SUB)
        latest.set(zmq.CONFLATE, 1)
        for socket, endpoint in zip((raw, latest), pipeline.endpoints, strict=True):
            socket.subscribe(b"")
            socket.connect(endpoint)
        with Subscriber(pipeline.endpoints[0]) as spy:
            listener = listen_to(pipeline, spy)
        start.open()
        while not parts or not parts[-1][0].startswith(b"end/"):
            if raw.poll(100):
                parts.append(raw.recv_multipart())
            if not latest_parts and pipeline.progress().counts.processed == 150:
                while latest.poll(1000):
                    latest_parts.append(latest.recv_multipart())
                pause.open()
        raw.close(linger=0)
        latest.close(linger=0)
        assert pipeline.wait(LONG_S)
    done = finish(listener)
    assert done.returncode == 0, done.stderr
    return Heard(json.loads(done.stdout), check_complete(pipeline.folder), parts, latest_parts)


def test_a_subscriber_process_gets_everything(heard: Heard) -> None:
    assert heard.listener["received"] == FRAMES
    assert heard.listener["first_frame"] == 0
    assert heard.listener["missed"] == 0
    assert heard.listener["end"] == "finished"
    assert heard.listener["latency_ms"]["max"] > 0


def test_messages_have_two_parts_and_a_topic_each(heard: Heard) -> None:
    assert {len(parts) for parts in heard.parts} == {2}
    assert {t for t, _ in heard.parts} == {b"pose/top.1", b"status/top.1", b"hello/top.1", b"end/top.1", b"event/top.1"}
    for topic, payload in heard.parts:
        assert json.loads(payload)["type"] == topic.decode().split("/")[0]


def test_a_reader_needs_only_pyzmq_and_json(heard: Heard) -> None:
    poses = heard.of("pose")
    assert [p["seq"] for p in poses] == [p["frame"] for p in poses] == list(range(FRAMES))
    for pose in poses:
        assert pose["schema"] == 1
        assert list(pose["keypoints"]) == ["middle", "right", "low"]
        counts = pose["counts"]
        assert counts["captured"] == counts["processed"] + counts["skipped"] + counts["failed"]
        assert counts["unsent"] == 0
    x, y, likelihood = poses[-1]["keypoints"]["middle"]
    assert heard.files.keypoint("middle")[-1].tolist() == pytest.approx([x, y])
    assert 0 <= likelihood <= 1
    assert {p["run"] for p in poses} == {heard.files.summary["run"]}


def test_not_a_number_is_null_in_json(heard: Heard) -> None:
    for _, payload in heard.parts:
        json.loads(payload, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    searching = [p for p in heard.of("pose") if p["state"] == "searching"]
    for pose in searching:
        assert pose["box"] is None
        assert pose["keypoints"]["middle"] == [None, None, None]


def test_messages_match_the_schema(heard: Heard) -> None:
    """Every field sent is in the schema, and every field required there is sent."""
    definitions = json_schema()["$defs"]
    by_type = {d["properties"]["type"]["enum"][0]: d for d in definitions.values() if "type" in d.get("properties", {})}
    for _, payload in heard.parts:
        message = json.loads(payload)
        definition = by_type[message["type"]]
        assert set(definition["required"]) <= set(message) <= set(definition["properties"])


def test_the_heartbeat_comes_about_once_a_second(heard: Heard) -> None:
    statuses = heard.of("status")
    span_s = (statuses[-1]["time_ns"] - statuses[0]["time_ns"]) / 1e9
    assert span_s > 2
    assert span_s / 2 - 1 <= len(statuses) <= span_s + 3
    for status in statuses:
        counts = status["counts"]
        assert counts["captured"] == counts["processed"] + counts["skipped"] + counts["failed"]
        assert set(status["latency_ms"]) >= {"wait", "crop", "infer", "decode", "total"}


def test_a_run_ends_with_a_status_and_an_end_message(heard: Heard) -> None:
    assert [t.split(b"/")[0] for t, _ in heard.parts[-2:]] == [b"status", b"end"]
    (end,) = heard.of("end")
    assert end["reason"] == "finished"
    assert end["counts"] == heard.files.summary["counts"]
    assert heard.of("status")[-1]["stream"] == "ended"


def test_hello_has_what_a_reader_needs(heard: Heard) -> None:
    hello = heard.of("hello")[0]
    assert hello["keypoint_names"] == ["middle", "right", "low"]
    assert (hello["width"], hello["height"], hello["fps"]) == (160, 96, 60.0)
    models = heard.files.summary["models"]
    assert hello["pose_sha256"] == models["pose"]["sha256"]
    assert hello["detector_sha256"] == models["detector"]["sha256"]


def test_the_latest_endpoint_keeps_only_the_newest_pose(heard: Heard) -> None:
    """150 poses were published and none was read: the socket holds the last one, as a single frame."""
    assert len(heard.latest) < 5
    assert {len(parts) for parts in heard.latest} == {1}
    assert json.loads(heard.latest[-1][0])["seq"] == 149
    assert json.loads(heard.latest[-1][0]) == heard.of("pose")[149]


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_a_subscriber_that_hangs_or_dies_changes_nothing(tmp_path: Path, number: signal.Signals) -> None:
    gates = Gate(0), Gate(50)

    def before(index: int) -> None:
        for gate in gates:
            gate.before(index)

    settings = make_settings(tmp_path, publish=ANY_PORT, publish_latest=ANY_PORT, max_lag=FRAMES)
    with (
        Pipeline(settings, lambda: Film(FRAMES, 100, before=before)) as pipeline,
        Subscriber(pipeline.endpoints[0]) as spy,
    ):
        listener = listen_to(pipeline, spy)
        try:
            gates[0].open()
            wait_for(lambda: pipeline.progress().counts.processed == 50, "50 frames")
            listener.send_signal(number)
            gates[1].open()
            assert pipeline.wait(LONG_S)
        finally:
            listener.kill()
            finish(listener)
    counts = check_complete(pipeline.folder).summary["counts"]
    assert counts == {"captured": FRAMES, "processed": FRAMES, "skipped": 0, "failed": 0, "unsent": 0}


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """The name of a local socket must be short."""
    with tempfile.TemporaryDirectory(prefix="cz") as folder:
        yield Path(folder)


def test_a_slow_subscriber_loses_messages_and_knows_how_many(tmp_path: Path, short_folder: Path) -> None:
    """It does not read while 2700 poses are published, far more than all buffers of a local socket hold."""
    gates = Gate(0), Gate(2700)

    def before(index: int) -> None:
        for gate in gates:
            gate.before(index)

    endpoint = f"ipc://{short_folder}/poses"
    film = Film(2720, 1000, before=before)
    film.draw = lambda index: first  # type: ignore[method-assign]
    first = Film().draw(0)
    settings = make_settings(tmp_path, publish=endpoint, publish_latest="none", pace="fast", detector_every=1000)
    received: list[int] = []
    with Pipeline(settings, lambda: film) as pipeline, Subscriber(endpoint) as subscriber:
        wait_for(lambda: isinstance(subscriber.receive(0.1), HelloMessage), "the hello")
        gates[0].open()
        wait_for(lambda: pipeline.progress().counts.processed == 2700, "2700 frames")
        while (message := subscriber.receive(0.5)) is not None:
            received += [message.seq] if isinstance(message, PoseMessage) else []
        gates[1].open()
        received += [message.seq for message in subscriber]
        assert pipeline.wait(LONG_S)
        assert subscriber.missed == 2720 - len(received) > 0
    assert received == sorted(set(received))
    assert received[-1] == 2719
    counts = check_complete(pipeline.folder).summary["counts"]
    assert counts["processed"] == 2720
    assert counts["unsent"] == 0


def test_a_late_subscriber_gets_the_hello(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, publish=ANY_PORT, publish_latest=ANY_PORT)
    with Pipeline(settings, lambda: Film(10**6, 60)) as pipeline:
        wait_for(lambda: pipeline.progress().counts.processed > 20, "20 frames")
        with Subscriber(pipeline.endpoints[0]) as subscriber:
            wait_for(lambda: subscriber.receive(1) and subscriber.hello, "the hello")
            message = wait_for(lambda: subscriber.receive(1), "a message")
            assert subscriber.hello is not None
            assert message.run == subscriber.hello.run
            assert subscriber.missed == 0
            pipeline.stop("seen enough")
            while not isinstance(message, EndMessage):
                message = subscriber.receive(LONG_S)
                assert message is not None
            assert message.reason == "seen enough"


def test_the_end_message_gives_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fall_over(call: int) -> None:
        if call == 5:
            raise RuntimeError("out of order")

    hold_models(monkeypatch, pose=fall_over)
    gate = Gate(0)
    settings = make_settings(tmp_path, publish=ANY_PORT, publish_latest="none")
    pipeline = Pipeline(settings, lambda: Film(10**6, 60, before=gate.before))
    pipeline.start()
    assert len(pipeline.endpoints) == 1
    with Subscriber(pipeline.endpoints[0]) as subscriber:
        assert isinstance(subscriber.receive(LONG_S), HelloMessage)
        gate.open()
        message: Any = None
        while not isinstance(message, EndMessage):
            message = subscriber.receive(LONG_S)
            assert message is not None
    with pytest.raises(Exception, match="out of order"):
        pipeline.join()
    assert "out of order" in message.reason


def test_msgpack_carries_the_same(tmp_path: Path) -> None:
    gate = Gate(0)
    settings = make_settings(tmp_path, publish=ANY_PORT, publish_latest=ANY_PORT, encoding="msgpack", max_lag=100)
    with (
        zmq.Context() as context,
        Pipeline(settings, lambda: Film(30, 100, before=gate.before)) as pipeline,
        Subscriber(pipeline.endpoints[0]) as subscriber,
        context.socket(zmq.SUB) as raw,
    ):
        raw.subscribe(b"")
        raw.connect(pipeline.endpoints[0])
        assert isinstance(subscriber.receive(LONG_S), HelloMessage)
        assert msgspec.msgpack.decode(raw.recv_multipart()[1])["type"] == "hello"
        gate.open()
        poses = list(subscriber)
        assert [p.seq for p in poses] == list(range(30))
        for pose in poses:
            while (decoded := msgspec.msgpack.decode(raw.recv_multipart()[1]))["type"] != "pose":
                pass
            assert decoded["seq"] == pose.seq
            assert decoded["keypoints"] == {name: list(values) for name, values in pose.keypoints.items()}
        assert pipeline.wait(LONG_S)


@pytest.fixture
def taken() -> Iterator[str]:
    """An endpoint that is in use."""
    with zmq.Context() as context, context.socket(zmq.PUB) as other:
        yield f"tcp://127.0.0.1:{other.bind_to_random_port('tcp://127.0.0.1')}"


def run_flags(tmp_path: Path) -> list[object]:
    models = tiny_models(tmp_path / "models")
    source = "synthetic:arena,size=160x120,fps=60,seconds=0.5"
    return ["run", source, "--out", tmp_path / "out", "--pace", "fast", *model_flags(models)[:-2]]


def test_an_endpoint_in_use_is_an_error_at_the_start(tmp_path: Path, taken: str) -> None:
    done = cropzoom(*run_flags(tmp_path), "--publish", taken, "--publish-latest", "none")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"the endpoint {taken} is in use" in done.stderr
    assert not (tmp_path / "out").exists()


def test_with_publish_optional_the_files_have_it_all(tmp_path: Path, taken: str) -> None:
    done = cropzoom(*run_flags(tmp_path), "--publish", taken, "--publish-latest", "none", "--publish-optional")
    assert done.returncode == 0, done.stderr
    assert f"{taken} is in use" in done.stderr
    files = check_complete(the_session(tmp_path / "out"))
    assert files.summary["counts"]["processed"] == 30
    assert files.timing["published_ns"].isna().all()


def run_live(folder: Path, port: int, code: str | None = None) -> subprocess.Popen[str]:
    """Start a run without an end that publishes at ``port``."""
    source = "synthetic:arena,size=160x120,fps=60,seconds=600"
    flags = [*model_flags(tiny_models(folder / "models"))[:-2], "--out", folder / "out", "--quiet"]
    endpoints = ["--publish", f"tcp://127.0.0.1:{port}", "--publish-latest", "none"]
    return start_process("run", source, *flags, *endpoints, code=code)


def test_a_publisher_that_is_killed_is_noticed_and_its_successor_found(tmp_path: Path) -> None:
    """No new subscription is made: both subscribers continue with the new run, and report that it is another one."""
    port = free_port()
    first = run_live(tmp_path, port)
    with (
        Subscriber(f"tcp://127.0.0.1:{port}") as subscriber,
        Subscriber(f"tcp://127.0.0.1:{port}", follow=True) as other,
    ):
        try:
            pose = wait_for(lambda: subscriber.newest(1000, timeout_s=1), "a pose of the first run")
            assert next(iter(other)).run == pose.run
            assert subscriber.stream == "live"
        finally:
            first.kill()
            finish(first)
        wait_for(lambda: subscriber.receive(0.01) is None, "everything that was on the way")
        assert subscriber.newest(1000, timeout_s=1.1) is None, "what is there is old"
        second = run_live(tmp_path, port)
        try:
            again = wait_for(lambda: subscriber.newest(1000, timeout_s=1), "a pose of the second run")
            assert again.run != pose.run
            assert subscriber.restarts == 1
            assert subscriber.hello is not None
            assert subscriber.hello.run == again.run
            assert subscriber.missed == 0, "what was published while nobody was connected is late, not missed"
            assert any(message.run == again.run for message in other)
            assert other.restarts == 1
        finally:
            second.kill()
            finish(second)


OTHER_CLOCK = """
import time
import realtime_cropzoom.clock as clock
clock.now_ns = lambda: time.monotonic_ns() + 3600 * 10**9
clock.clock_id = lambda: "another machine's clock"
from realtime_cropzoom.cli.main import main
raise SystemExit(main())
"""


def test_a_run_on_another_clock_still_has_ages(tmp_path: Path) -> None:
    """The process of the run has a clock that is an hour ahead; the subscriber does not know that."""
    port = free_port()
    process = run_live(tmp_path, port, OTHER_CLOCK)
    try:
        with Subscriber(f"tcp://127.0.0.1:{port}") as subscriber:
            pose = wait_for(lambda: subscriber.newest(1000, timeout_s=1), "a pose that is younger than a second")
            assert pose.time.captured_ns > now_ns() + 3000 * 10**9
            assert 0 < subscriber.age_ms(pose) < 10_000
            offset = subscriber.clock
            assert offset is not None
            assert abs(offset.offset_ns - 3600 * 10**9) <= offset.uncertainty_ns
            listener = start_process("listen", f"tcp://127.0.0.1:{port}", "--json")
            wait_for(lambda: isinstance(subscriber.receive(0.1), HelloMessage), "the listener to subscribe")
            for _ in range(3):  # one per second: the listener has measured the clock by then
                wait_for(lambda: isinstance(subscriber.receive(0.1), StatusMessage), "a status message")
    finally:
        process.terminate()
        assert finish(process).returncode == 128 + signal.SIGTERM
    heard = json.loads(finish(listener).stdout)
    assert abs(heard["clock"]["offset_ns"] - 3600 * 10**9) <= heard["clock"]["uncertainty_ns"]
    assert 0 < heard["latency_ms"]["p50"] < 10_000


def test_without_an_echo_nothing_but_the_poses_is_published(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, publish=ANY_PORT, publish_latest="none", publish_echo="none")
    with Pipeline(settings, lambda: Film(10, 60)) as pipeline, Subscriber(pipeline.endpoints[0]) as subscriber:
        assert "cropzoom-echo" not in cropzoom_threads()
        hello = wait_for(lambda: subscriber.receive(1) and subscriber.hello, "the hello")
        assert hello.echo is None
        assert hello.clock == clock_id()
        assert not [note for note in pipeline.notes if "clock echo" in note]


@pytest.mark.parametrize("optional", [False, True])
def test_a_time_sync_endpoint_in_use_is_refused_like_the_others(tmp_path: Path, taken: str, optional: bool) -> None:
    flags = ["--publish", ANY_PORT, "--publish-latest", "none", "--publish-echo", taken]
    done = cropzoom(*run_flags(tmp_path), *flags, *(["--publish-optional"] if optional else []))
    assert done.returncode == (0 if optional else 2), done.stderr
    assert f"{taken} is in use" in done.stderr
