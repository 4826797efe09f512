"""Review of finished sessions: real runs, read over the real server."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from support.films import Footage
from support.pipelines import Film, make_settings, run_to_end, wait_for
from support.sessions import write_poses
from support.several import animals_session

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.offline.provenance import input_entry, write_origin
from realtime_cropzoom.sessions.films import NoPicture, open_film
from realtime_cropzoom.sessions.review_session import ReviewSession
from realtime_cropzoom.trigger.engine.events import Action, ActionType, Decision, Verdict
from realtime_cropzoom.trigger.process.decision_log import decisions_text
from realtime_cropzoom.view.review import Review, make_review_app
from realtime_cropzoom.view.serve import in_thread

FOOTAGE = Footage()
FRAMES = 60
LOST = range(25, 40)


class Site:
    """A review on a real server."""

    def __init__(self, review: Review, port: int, token: str) -> None:
        self.review, self._port, self._token = review, port, token

    def get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        connection.putrequest("GET", path, skip_accept_encoding=True)
        connection.putheader("Cookie", f"cropzoom-{self._port}={self._token}")
        connection.endheaders()
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, body

    def json(self, path: str) -> Any:
        status, body = self.get(path)
        assert status == 200, body
        return json.loads(body)

    def shown(self, frame: int, width: int = 160) -> int:
        """Return the index that the picture of a frame shows."""
        status, body = self.get(f"/api/session/frame/{frame}.jpg?width={width}")
        assert status == 200, body
        picture = decoded(body)
        return Footage((picture.shape[1], picture.shape[0])).index_of(picture)

    def kinds(self) -> dict[str, list[dict[str, Any]]]:
        by_kind: dict[str, list[dict[str, Any]]] = {}
        for event in self.json("/api/session/events")["events"]:
            by_kind.setdefault(event["kind"], []).append(event)
        return by_kind

    def video(self) -> dict[str, Any]:
        wait_for(lambda: self.json("/api/session/video")["state"] != "indexing", "the film")
        status: dict[str, Any] = self.json("/api/session/video")
        return status


def decoded(jpeg: bytes) -> np.ndarray:
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return picture


@contextmanager
def reviewing(path: Path, **options: Any) -> Iterator[Site]:
    review = Review(path, **options)
    try:
        with in_thread(make_review_app(review)) as served:
            yield Site(review, served.port, served.token)
    finally:
        review.close()


def run(folder: Path, film: Film | None = None, **chosen: Any) -> Path:
    """Return the folder of a run of ``film``, or of a source among the settings."""
    made = run_to_end(make_settings(folder, **{"pace": "fast", **chosen}), film).folder
    assert made is not None
    return made


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The session of a film whose animal is away for a while, with a recording."""
    film = Film(FRAMES, size=FOOTAGE.size, hidden=LOST)
    return run(tmp_path_factory.mktemp("a run"), film, record="h264", lost_after_ms=100, coast_after_ms=50)


@pytest.fixture(scope="module")
def site(recorded: Path) -> Iterator[Site]:
    with reviewing(recorded) as site:
        yield site


def change_run(session: Path, **changes: Any) -> str:
    path = session / "summary.json"
    summary = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps(summary))
    return str(summary["run"])


def test_the_facts_are_those_of_the_run(site: Site, recorded: Path) -> None:
    facts, summary = site.json("/api/session"), json.loads((recorded / "summary.json").read_text())
    assert facts["name"] == recorded.name
    assert facts["run"] == summary["run"]
    assert facts["count"] == FRAMES
    assert facts["fps"] == 60
    assert facts["keypoint_names"] == ["middle", "right", "low"]
    assert facts["outcome_counts"] == {"processed": FRAMES}
    assert sum(facts["state_counts"].values()) == FRAMES


def test_rows_are_those_of_the_files(site: Site, recorded: Path) -> None:
    answer = site.json("/api/session/poses?first=10&count=7")
    rows = answer["rows"]
    assert answer["first"] == 10
    assert [row[0] for row in rows] == list(range(10, 17))
    poses = pd.read_csv(recorded / "film.csv", header=[0, 1, 2], index_col=0).to_numpy().reshape(FRAMES, 3, 3)
    boxes = pd.read_csv(recorded / "film_bbox.csv", index_col=0)
    for row in rows:
        assert np.allclose(row[5], poses[row[0]], atol=0.01)
        assert row[3] == boxes.loc[row[0], ["x", "y", "w", "h"]].tolist()
        assert row[2] == boxes.loc[row[0], "state"]
    assert answer["seconds"] == pytest.approx([n / 60 for n in range(10, 17)], abs=1e-5)


@pytest.mark.parametrize(("query", "first", "count"), [
    ("first=55&count=100", 55, 5), ("first=60&count=1", 60, 0), ("first=999999999999&count=5", 60, 0),
    ("first=0&count=0", 0, 0), ("", 0, 60),
])  # fmt: skip
def test_rows_end_with_the_session(site: Site, query: str, first: int, count: int) -> None:
    answer = site.json(f"/api/session/poses?{query}")
    assert (answer["first"], len(answer["rows"]), len(answer["seconds"])) == (first, count, count)


@pytest.mark.parametrize("bad", ["first=-1", "count=1.5", "first=%F0%9F%98%80", "count=1e3", "first=1234567890123"])
@pytest.mark.parametrize("path", ["poses", "timeline"])
def test_what_is_no_number_is_refused(site: Site, path: str, bad: str) -> None:
    status, body = site.get(f"/api/session/{path}?{bad}")
    assert status == 400
    assert b"expected a whole number" in body


def test_the_timeline_keeps_the_worst_of_each_bin(site: Site) -> None:
    whole = site.json("/api/session/timeline?bins=1000")
    assert whole["edges"] == list(range(FRAMES + 1))
    lost = whole["states"].index(4)
    assert whole["states"].count(4) < FRAMES / 2
    few = site.json("/api/session/timeline?bins=4")
    assert len(few["states"]) == 4
    assert few["states"][lost // 15] == 4
    part = site.json(f"/api/session/timeline?first={lost}&count=2&bins=50")
    assert (part["states"], part["edges"]) == ([4, 4], [lost, lost + 1, lost + 2])
    speeds = [[s for s in whole["speed"][1][a : a + 15] if s is not None] for a in (0, 15, 30, 45)]
    assert few["speed"][1] == [max(known, default=None) for known in speeds]


def test_lost_stretches_are_events(site: Site) -> None:
    kinds = site.kinds()
    rows = site.json("/api/session/poses")["rows"]
    lost = [row[0] for row in rows if row[2] == "lost"]
    assert [(e["frame"], e["last"]) for e in kinds["lost"]] == [(lost[0], lost[-1])]
    assert "lost for" in kinds["lost"][0]["text"]


def with_jumps(recorded: Path, folder: Path, at: dict[int, float]) -> Path:
    """Return a copy of a session in which a keypoint is so many pixels from its place in some frames."""
    session = Path(shutil.copytree(recorded, folder / "jumps"))
    lines = (session / "film.csv").read_text().splitlines()
    for frame, px in at.items():
        cells = lines[3 + frame].split(",")
        cells[4] = str(float(cells[4]) + px)
        lines[3 + frame] = ",".join(cells)
    (session / "film.csv").write_text("\n".join([*lines, ""]))
    return session


def test_jumps_that_stand_out_are_events(site: Site, recorded: Path, tmp_path: Path) -> None:
    assert len(site.kinds()["jump"]) == 1, "the largest step alone"
    with reviewing(with_jumps(recorded, tmp_path, {10: 40.0, 20: 80.0})) as jumping:
        jumps = jumping.kinds()["jump"]
        assert [jump["frame"] for jump in jumps] == [10, 11, 20, 21]
        assert all(jump["text"].startswith("right jumped ") for jump in jumps)
        assert [jump["px"] for jump in jumps] == pytest.approx([40, 40, 80, 80], abs=6)
        whole = jumping.json("/api/session/timeline?first=20&count=1&bins=1")
        assert whole["speed"][1][0] < 600, "the median step of the keypoints is not that of one that jumps"


@pytest.mark.parametrize("width", [160, 80, 5000])
def test_a_picture_is_that_of_its_frame(site: Site, width: int) -> None:
    assert site.video()["title"] == "the recording of the run: film.mp4"
    assert site.video()["size"] == [160, 96]
    shown = [n for n in (0, 59, 1, 58, 30, 24, 41, 40, 2, 12) if n not in LOST]
    assert [site.shown(n, width) for n in shown] == shown


def test_many_pages_get_their_own_frames(site: Site) -> None:
    site.video()
    got: dict[int, int] = {}
    threads = [threading.Thread(target=lambda n=n: got.update({n: site.shown(n)})) for n in range(45, 57)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == {n: n for n in range(45, 57)}


@pytest.mark.parametrize("path", [
    "/api/session/frame/60.jpg", "/api/session/frame/-1.jpg", "/api/session/frame/1e1.jpg",
    "/api/session/frame/..%2F..%2Fconfig.yaml", "/api/session/frame/../../config.yaml", "/api/session/config.yaml",
    "/api/session/frame/%2Fetc%2Fpasswd.jpg", "/static/..%2f..%2fapp.py", "/config.yaml",
])  # fmt: skip
def test_nothing_else_can_be_read(site: Site, path: str) -> None:
    assert site.get(path)[0] == 404


def test_frames_that_the_recording_lacks_are_said_to_be_missing(recorded: Path, tmp_path: Path) -> None:
    """Frames after them are not one too early."""
    session = Path(shutil.copytree(recorded, tmp_path / "moved" / "session ü, #1"))
    table = session / "film_recording.csv"
    lines = table.read_text().splitlines()
    kept = [n for n in range(FRAMES) if n not in (7, 8, 50)]
    write_lossless(session / "film.mp4", kept)
    rows = [f"{n},{kept.index(n)},,0" if n in kept else f"{n},,too_slow,0" for n in range(FRAMES)]
    table.write_text("\n".join([lines[0], *rows, ""]))
    with reviewing(session) as site:
        assert [site.shown(n) for n in (9, 6, 51, 49, 59)] == [9, 6, 51, 49, 59]
        status, body = site.get("/api/session/frame/8.jpg")
        assert (status, body) == (404, b"frame 8 is not in the recording: too slow\n")
        assert [(e["frame"], e.get("last")) for e in site.kinds()["unrecorded"]] == [(7, 8), (50, None)]


def write_lossless(path: Path, frames: list[int]) -> None:
    """Write these frames of the footage into a file, whatever its name says of its format."""
    whole = Footage(FOOTAGE.size)
    whole.draw = lambda index: Footage.draw(FOOTAGE, frames[index])  # type: ignore[method-assign]
    whole.write(path, len(frames), codec="libx264", options={"bf": "2", "g": "11"})


def test_several_recordings_of_a_session_are_one_film(recorded: Path, tmp_path: Path) -> None:
    session = Path(shutil.copytree(recorded, tmp_path / "session"))
    (session / "film.mp4").unlink()
    (session / "film_recording.csv").unlink()
    parts = {"first trial": range(5, 15), "second trial": range(20, 60)}
    for name, frames in parts.items():
        write_lossless(session / f"{name}.mp4", list(frames))
        rows = [f"{n},{k},,0" for k, n in enumerate(frames)]
        (session / f"{name}_recording.csv").write_text("\n".join(["frame,recorded,dropped,segment", *rows, ""]))
    with reviewing(session) as site:
        assert "first trial.mp4, second trial.mp4" in site.video()["title"]
        assert [site.shown(n) for n in (20, 14, 59, 5)] == [20, 14, 59, 5]
        assert site.get("/api/session/frame/4.jpg") == (404, b"frame 4 is not in the recording\n")
        assert "unrecorded" not in site.kinds()


def test_the_source_is_shown_where_it_was_played(tmp_path: Path) -> None:
    """Also from its middle on, and a run that was moved together with it finds it."""
    (tmp_path / "in").mkdir()
    video = FOOTAGE.write(tmp_path / "in" / "clip é.mkv", FRAMES, codec="libx264", options={"bf": "2", "g": "11"})
    session = run(tmp_path / "in", source=str(video), start_s=0.5)
    (tmp_path / "in").rename(tmp_path / "elsewhere")
    session = tmp_path / "elsewhere" / session.relative_to(tmp_path / "in")
    with reviewing(session) as site:
        assert site.video()["title"] == "the source: clip é.mkv"
        assert [site.shown(n) for n in (0, 20, 3)] == [15, 35, 18]


def test_another_video_at_the_place_of_the_source_is_not_shown(tmp_path: Path) -> None:
    video = FOOTAGE.write(tmp_path / "clip.mkv", FRAMES, codec="libx264", options={"g": "11"})
    session = run(tmp_path, source=str(video))
    FOOTAGE.write(video, FRAMES, codec="libx264", fps=25)
    with reviewing(session) as site:
        assert site.video()["state"] == "none"
        status, body = site.get("/api/session/frame/3.jpg")
        assert status == 404
        assert b"it is another one" in body


def test_a_source_that_loops_is_shown_again(tmp_path: Path) -> None:
    video = FOOTAGE.write(tmp_path / "clip.mkv", 20, codec="libx264", options={"g": "11"})
    session = run(tmp_path, source=str(video), loop=True, frames=50)
    with reviewing(session) as site:
        assert [site.shown(n) for n in (3, 19, 20, 49, 41)] == [3, 19, 0, 9, 1]


def test_the_arena_is_rendered_again(tmp_path: Path) -> None:
    from realtime_cropzoom.sources.arena.source import Arena, parse_arena

    spec = "synthetic:arena,size=160x120,fps=30,seconds=1"
    with reviewing(run(tmp_path, source=spec)) as site:
        assert site.video()["title"] == "the synthetic arena, rendered again"
        _, body = site.get("/api/session/frame/17.jpg")
        truth = Arena(parse_arena(spec)).render(17)[:, :, ::-1]
        assert np.abs(decoded(body).astype(int) - truth).mean() < 4


def test_a_session_without_video_says_so(tmp_path: Path) -> None:
    with reviewing(run(tmp_path, Film(12))) as site:
        assert site.video()["state"] == "none"
        status, body = site.get("/api/session/frame/3.jpg")
        why = b"the frames were not recorded, and the session does not say what its source was\n"
        assert (status, body) == (404, why)
        assert site.json("/api/session")["extent"][0] >= 100


def test_a_session_whose_source_is_gone_says_why(tmp_path: Path) -> None:
    folder = run(tmp_path, Film(3))
    config = (folder / "config.yaml").read_text()
    (tmp_path / "images").mkdir()
    for source, why in (
        (tmp_path / "deleted.mp4", f"{tmp_path / 'deleted.mp4'}, is not where it was"),
        (tmp_path / "images", f"{tmp_path / 'images'}, is a folder of images, not a video"),
        ("rtsp://me:secret@camera/1", "rtsp://camera/1, was live"),
        ("camera:0", "camera:0, was live"),
    ):
        (folder / "config.yaml").write_text(re.sub(r"(?m)^source: .*", f"source: {source}", config))
        with pytest.raises(NoPicture) as refused:
            open_film(ReviewSession(folder), None, lambda share: None)
        assert str(refused.value) == f"the frames were not recorded, and the source, {why}"


def test_a_killed_run_is_shown_as_far_as_it_came(recorded: Path, tmp_path: Path) -> None:
    session = Path(shutil.copytree(recorded, tmp_path / "killed"))
    for name, keep in (("film.csv", 45), ("film_bbox.csv", 50), ("film_timing.csv", 43), ("film_recording.csv", 30)):
        lines = (session / name).read_text().splitlines(keepends=True)
        (session / name).write_text("".join(lines[:keep]) + lines[keep][:5])
    (session / "summary.json").unlink()
    with reviewing(session) as site:
        facts = site.json("/api/session")
        assert (facts["run"], facts["count"]) == (None, 42)
        assert site.shown(20) == 20
        assert site.get("/api/session/frame/35.jpg")[0] == 404


def test_predictions_are_shown_with_their_video(tmp_path: Path) -> None:
    video = FOOTAGE.write(tmp_path / "clip.mp4", 30, codec="libx264", options={"bf": "2"})
    (tmp_path / "results").mkdir()
    poses = write_poses(tmp_path / "results" / "clip.csv", {n: n for n in range(30)})
    write_origin(poses, "predict", {"video": input_entry(video)})
    with reviewing(poses) as site:
        assert site.video()["title"] == "the source: clip.mp4"
        assert [site.shown(n) for n in (29, 3)] == [29, 3]
        facts = site.json("/api/session")
        assert (facts["live"], facts["has_states"], facts["speed_unit"]) == (False, False, "px per frame")
    write_poses(poses, {n: n for n in range(31)})
    with reviewing(poses, source=video) as site:
        assert "has 30 frames, but the session has 31" in site.video()["title"]


def decision(number: int, verdict: Verdict, frame: int | None, run: str | None, now_ns: int = 0) -> Decision:
    actions = (Action("laser", ActionType.PULSE, 10.0),) if verdict is Verdict.FIRED else ()
    return Decision(number=number, verdict=verdict, rule="corner, <b>", reason="inside", actions=actions,
                    now_ns=now_ns, run=run, camera=None, seq=frame, frame=frame, captured_ns=None,
                    published_ns=None, age_ms=None)  # fmt: skip


def test_triggers_of_the_same_run_are_found_beside_the_session(recorded: Path, tmp_path: Path) -> None:
    session = Path(shutil.copytree(recorded, tmp_path / "sessions" / "film_1"))
    this = change_run(session)
    timing = pd.read_csv(session / "film_timing.csv", index_col=0)
    log = tmp_path / "triggers" / "rules_1" / "rules_decisions.csv"
    log.parent.mkdir(parents=True)
    armed_ns = int(timing["captured_ns"][11]) + 1
    log.write_text(decisions_text([
        decision(0, Verdict.ARMED, None, None, armed_ns), decision(1, Verdict.FIRED, 30, this),
        decision(2, Verdict.REFUSED, 41, this), decision(3, Verdict.FIRED, 12, "another"),
    ]))  # fmt: skip
    (log.parent / "rules.yaml").write_text(
        "zones: {left: {circle_px: [10, 20, 5]}, right: {circle_px: [90, 20, 5]}}\n"
        "rules: {a: {when: {all: [{entered: left, keypoint: low}, {not: {inside: right}}]}}, "
        "b: {when: {inside: left}}}\n"
    )
    other = tmp_path / "triggers" / "rules_2" / "rules_decisions.csv"
    other.parent.mkdir()
    other.write_text(decisions_text([decision(0, Verdict.FIRED, 5, "another")]))
    with reviewing(session) as site:
        kinds = site.kinds()
        assert [(e["frame"], e["text"]) for e in kinds["fired"]] == [(30, "corner, <b>: inside → laser pulse")]
        assert [e["frame"] for e in kinds["refused"]] == [41]
        assert [e["frame"] for e in kinds["armed"]] == [11]
        facts = site.json("/api/session")
        assert facts["triggers"] == ["rules_1"]
        assert facts["zones"]["left"] == {"circle_px": [10, 20, 5]}
        assert facts["zones_of_rules"] == {"a": ["left", "right"], "b": ["left"]}


def test_a_folder_of_triggers_can_be_given(recorded: Path, tmp_path: Path) -> None:
    this = json.loads((recorded / "summary.json").read_text())["run"]
    log = tmp_path / "anywhere" / "r_decisions.csv"
    log.parent.mkdir()
    log.write_text(decisions_text([decision(0, Verdict.FIRED, 30, this)])[:-1])  # the last row was cut off
    with reviewing(recorded, triggers=tmp_path / "anywhere") as site:
        assert "fired" not in site.kinds()
    log.write_text(decisions_text([decision(0, Verdict.FIRED, 30, this)]))
    with reviewing(recorded, triggers=tmp_path) as site:
        assert len(site.kinds()["fired"]) == 1
    with pytest.raises(DataError, match="expected the folder of one, or of several"):
        Review(recorded, triggers=tmp_path / "nothing")
    log.write_text("what,is,this\n1,2,3\n")
    with reviewing(recorded, triggers=log.parent) as site:
        assert "is not a log of decisions" in site.json("/api/session")["problems"][-1]


def test_markers_of_the_run_are_events(recorded: Path, tmp_path: Path) -> None:
    session = Path(shutil.copytree(recorded, tmp_path / "session"))
    events = session / "film_events.csv"
    header = "number,kind,text,by,frame,captured_ns,time_ns,time_utc"
    events.write_text(f'{header}\n0,marker,"odour on, 2 %",page (anna),12,1,1,x\n1,stop_asked,,ctl,99,1,1,x\n2,mar')
    with reviewing(session) as site:
        kinds = site.kinds()
        assert kinds["marker"] == [{"frame": 12, "kind": "marker", "text": "odour on, 2 % (page (anna))"}]
        assert kinds["stop_asked"][0]["frame"] == FRAMES - 1
    events.write_text("foreign\nfile\n")
    with reviewing(session) as site:
        assert "film_events.csv cannot be read" in site.json("/api/session")["problems"][-1]


def test_too_many_of_a_kind_are_counted(recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime_cropzoom.view.review_events.MOST_OF_A_KIND", 3)
    with reviewing(with_jumps(recorded, tmp_path, {10: 40.0, 20: 80.0})) as site:
        answer = site.json("/api/session/events")
        jumps = [event for event in answer["events"] if event["kind"] == "jump"]
        assert len(jumps) == 3
        assert answer["left_out"]["jump"] == 1


def test_closing_ends_the_thread_and_refuses_what_waits(recorded: Path) -> None:
    before = threading.active_count()
    review = Review(recorded)
    review.close()
    assert threading.active_count() == before
    with pytest.raises(NoPicture):
        review.pictures.ask(3, 160).result(5)


def test_a_session_without_frames_is_refused(recorded: Path, tmp_path: Path) -> None:
    session = Path(shutil.copytree(recorded, tmp_path / "empty"))
    for path in session.glob("*.csv"):
        path.write_text("".join(path.read_text().splitlines(keepends=True)[: 3 if path.name == "film.csv" else 1]))
    with pytest.raises(DataError, match="has no frames"):
        Review(session)


def test_a_library_that_breaks_costs_the_pictures_alone(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no idea\nwhat this is")

    monkeypatch.setattr("realtime_cropzoom.view.review_pictures.open_film", broken)
    with reviewing(recorded) as site:
        assert site.video()["title"] == "RuntimeError: no idea what this is"
        assert site.get("/api/session/frame/3.jpg")[0] == 404
        assert site.json("/api/session")["count"] == FRAMES


def test_the_review_of_one_of_several_animals_says_where_it_may_be_another_one(tmp_path: Path) -> None:
    pytest.importorskip("scipy", reason="assignment needs scipy, of the extra animals")
    folder = animals_session(tmp_path)
    review = Review(folder / "arena_animal2.csv")
    try:
        assert review.facts()["animal"] == 2
        uncertain = review.session.tables.uncertain
        stretches = [event for event in review.events.events if event.kind == "uncertain"]
        assert stretches
        shown = np.zeros(len(uncertain), bool)
        for event in stretches:
            shown[event.frame : (event.frame if event.last is None else event.last) + 1] = True
        np.testing.assert_array_equal(shown, uncertain)
        rows = review.session.rows(0, 100)["rows"]
        assert [row[9] for row in rows] == uncertain.tolist()
        assert {row[8] for row in rows} == {1}
        assert rows[-1][10] >= 1, "meetings"
    finally:
        review.close()


def test_the_rows_of_an_animal_that_is_alone_are_as_before(recorded: Path) -> None:
    review = Review(recorded)
    try:
        assert review.facts()["animal"] is None
        assert {len(row) for row in review.session.rows(0, 10)["rows"]} == {8}
    finally:
        review.close()
