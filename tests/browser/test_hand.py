"""What a person does to a run from the page: it happens, it is in the files, and the page says so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
import pandas as pd
import pytest
from support.browser import Pages, Rig, answer_yes, has_tracked, needs_chromium, rig_in, until
from support.pipelines import wait_for

pytestmark = [pytest.mark.slow, needs_chromium]


@dataclass(frozen=True)
class Lab:
    rig: Rig
    url: str

    def events(self) -> pd.DataFrame:
        """The events file of the run, as far as it is written."""
        return pd.read_csv(self.rig.session() / "arena_events.csv", keep_default_na=False)

    def event(self, kind: str, text: str = "") -> Any:
        """Wait for an event in the file, and return its row."""

        def found() -> Any:
            events = self.events()
            rows = events[(events["kind"] == kind) & events["text"].str.contains(text, regex=False)]
            return None if rows.empty else rows.iloc[-1]

        return wait_for(lambda: [row] if (row := found()) is not None else None, f"{kind} in the events file")[0]

    def state(self) -> dict[str, Any]:
        return self.rig.order("run-cam0", "state")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with rig_in(lambda: tmp_path_factory.mktemp("hand")) as rig:
        rig.run()
        yield Lab(rig, rig.view()[1])


@pytest.fixture
def page(lab: Lab, pages: Pages) -> Any:
    opened = pages.open(lab.url)
    has_tracked(opened)
    return opened


def says(page: Any, text: str) -> None:
    """Wait until the page has answered with this text."""
    until(page, "text => document.getElementById('notices').textContent.includes(text)", text)


def test_a_marker_is_in_the_events_file_with_its_frame_and_on_every_page(lab: Lab, pages: Pages, page: Any) -> None:
    other = pages.open(lab.url)
    page.keyboard.press("m")
    page.keyboard.type('odour on, "2 %" Ä')
    page.keyboard.press("Enter")
    row = lab.event("marker")
    assert row["text"] == 'odour on, "2 %" Ä'
    assert row["by"].startswith("page")
    assert int(row["frame"]) > 0
    for shows in (page, other):
        until(shows, "document.getElementById('events').textContent.includes('odour on, \"2 %\" Ä')")


def test_a_recording_starts_and_stops_and_its_file_plays(lab: Lab, page: Any) -> None:
    page.fill("#record-name", "day 1")
    page.click("#record")
    until(page, "document.getElementById('recording').dataset.on === 'yes'")
    name = until(page, "document.getElementById('recording-name').textContent")
    assert "day 1" in name
    until(page, "[...window.cropzoom.store.cameras.values()][0].status.recording_frames > 10")
    page.keyboard.press("Escape")
    page.click("#record")
    answer_yes(page, "Stop the recording?")
    until(page, "document.getElementById('recording').dataset.on === 'no'")
    assert lab.state()["recording"] is None
    (video,) = [path for path in lab.rig.session().glob("*day*1*") if path.suffix in (".mkv", ".mp4")]
    with av.open(str(video)) as container:
        assert sum(1 for _ in container.decode(video=0)) > 10
    assert lab.event("recording_started")["by"].startswith("page")
    lab.event("recording_stopped")


def test_a_wrong_name_of_a_recording_is_refused_and_the_reason_shown(lab: Lab, page: Any) -> None:
    page.fill("#record-name", "../elsewhere")
    page.click("#record")
    says(page, "Recording has not started: record: got '../elsewhere'")
    assert lab.state()["recording"] is None
    assert not list(lab.rig.folder.rglob("*elsewhere*"))


def test_pause_and_resume(lab: Lab, page: Any) -> None:
    page.click("#pause")
    until(page, "document.querySelector('.state-word').textContent === 'Paused'")
    assert lab.state()["publishing"] is False
    newest = page.evaluate("window.cropzoom.shown().newestFrame")
    page.click("#pause")
    until(page, "['Tracking', 'Coasting'].includes(document.querySelector('.state-word').textContent)")
    until(page, "frame => window.cropzoom.shown().newestFrame > frame", newest)
    assert lab.state()["publishing"] is True
    lab.event("publishing_paused")
    lab.event("publishing_resumed")


def test_the_crop_size_changes_within_its_limits_and_not_beyond(lab: Lab, page: Any) -> None:
    may = lab.state()["settable"]["crop_size"]
    page.click("#settings-open")
    fields = page.locator("input[data-setting=crop_size]")
    until(page, "document.querySelectorAll('input[data-setting=crop_size]').length > 0")
    within = int(may["value"]) + 16
    fields.fill(str(within))
    fields.press("Enter")
    until(page, "document.querySelector('[data-setting=crop_size] .answer').textContent.startsWith('Set to')")
    assert lab.state()["settable"]["crop_size"]["value"] == within
    assert lab.event("setting_changed", "crop_size")["by"].startswith("page")

    fields.fill(str(int(may["most"]) + 1))
    fields.press("Enter")
    until(page, "document.querySelector('[data-setting=crop_size] .answer').className.includes('failed')")
    order = "value => window.cropzoom.page.orders.give('run-cam0', 'set', { target: 'crop_size', value })"
    answer = page.evaluate(order, int(may["most"]) + 1)  # as a page would that knows no limits
    assert not answer["ok"]
    assert answer["error"].startswith("crop_size: got")
    assert lab.state()["settable"]["crop_size"]["value"] == within


def test_a_detection_that_is_asked_for_is_logged(lab: Lab, page: Any) -> None:
    page.keyboard.press("f")
    says(page, "The detector looks now")
    assert lab.event("detect_now")["by"].startswith("page")


def test_the_end_of_the_run_is_asked_about_and_is_clean(lab: Lab, pages: Pages) -> None:
    run = lab.rig.run("--camera", "other", out="other")
    page = pages.open(lab.url)
    until(page, "window.cropzoom?.store.cameras.get('other')?.hello.control")
    page.click(".tile[data-camera=other]")
    page.click("#stop")
    page.click("#ask-no")
    assert run.process.poll() is None
    page.click("#stop")
    answer_yes(page, "End the run?")
    wait_for(lambda: run.process.poll() is not None, "the run to end")
    assert run.process.returncode == 0, run.said
    until(page, "document.querySelector('.state[data-camera=other] .state-word').textContent === 'Ended'")
    assert (lab.rig.session("other") / "summary.json").exists()
