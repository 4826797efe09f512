"""What a page of somebody else can do in the browser of a user who looks at a run: nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from support.browser import OTHER_NAME, Pages, Rig, needs_chromium, rig_in, site_of, until, write_rules
from support.pipelines import wait_for

pytestmark = [pytest.mark.slow, needs_chromium]
REFUSED = r"status of 40[03]|WebSocket connection to .* failed"

TRY_ALL = """async ({ url, ports, order }) => {
    const add = (kind, what) => {
        const made = Object.assign(document.createElement(kind), what);
        document.body.append(made);
        return made; };
    const frame = name => add('iframe', { name });
    const loaded = (element, where) => new Promise(resolve => {
        element.onload = () => resolve('loaded'); element.onerror = () => resolve('refused'); where(); });
    const readable = (address, how) => fetch(address, how).then(answer => answer.text(), () => 'refused');
    const post = (address, name) => new Promise(resolve => {
        frame(name).onload = resolve;
        const form = add('form', { action: address, method: 'post', enctype: 'text/plain', target: name });
        form.append(add('input', { name: order }));
        form.submit(); });
    const within = (ms, promise) => Promise.race([promise, new Promise(resolve => setTimeout(resolve, ms))]);
    const send = port => fetch(`http://127.0.0.1:${port}/`, { method: 'POST', mode: 'no-cors', body: order,
        credentials: 'include' }).catch(() => null);
    const image = add('img'), script = add('script'), framed = frame('page');
    const tried = {
        websocket: await new Promise(resolve => {
            const socket = new WebSocket(url.replace('http', 'ws') + 'ws');
            socket.onopen = () => { socket.send(order); resolve('opened'); };
            socket.onerror = () => resolve('refused'); }),
        read: await readable(url, { credentials: 'include' }),
        post: await readable(url, { method: 'POST', body: order, credentials: 'include' }),
        image: await loaded(image, () => { image.src = url + 'static/icon.svg'; }),
        script: await loaded(script, () => { script.src = url + 'static/main.js'; }),
    };
    await loaded(framed, () => { framed.src = url; });
    await within(3000, Promise.all(ports.map(send)));
    await within(3000, Promise.all(ports.map(port => post(`http://127.0.0.1:${port}/`, `port${port}`))));
    return tried;
}"""


def shown_in(frames: list[Any]) -> list[str]:
    """What frames show. A frame is a process of its own, whose news may come after the page's."""
    for frame in frames:
        frame.page.wait_for_timeout(0)  # lets the news come
    return [frame.url for frame in frames]


@dataclass(frozen=True)
class Lab:
    rig: Rig
    url: str

    @property
    def base(self) -> str:
        return self.url.partition("?")[0]

    def states(self) -> list[Any]:
        """What an order of a stranger would have changed."""
        run, trigger = self.rig.order("run-cam0", "state"), self.rig.order("rules", "state")
        return [run["ok"], run.get("recording"), run.get("publishing"), trigger["ok"], trigger["armed"]]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with rig_in(lambda: tmp_path_factory.mktemp("strangers")) as rig:
        rig.run()
        rig.trigger(write_rules(rig.folder), "--endpoint", rig.endpoint())
        _, url = rig.view()
        yield Lab(rig, url)


def test_a_page_of_another_port_reads_nothing_and_changes_nothing(lab: Lab, pages: Pages) -> None:
    """It is of the same site: the browser sends our cookie along, strict as it is."""
    own = pages.open(lab.url)
    until(own, "window.cropzoom?.store.cameras.size === 1")
    before = lab.states()
    order = '{"kind":"order","id":1,"to":"rules","order":"arm"}'
    with site_of("<!doctype html><title>stranger</title><body>") as site:
        stranger = pages.stranger(own.context, site)
        tried = stranger.evaluate(TRY_ALL, {"url": lab.base, "ports": lab.rig.ports(), "order": order})
        framed = [frame for frame in stranger.frames if frame.name == "page"]
        assert set(tried.values()) == {"refused"}, tried
        wait_for(lambda: shown_in(framed) == ["chrome-error://chromewebdata/"], f"a refusal in {shown_in(framed)}")
    assert lab.states() == before
    assert before[-1] == []
    assert own.evaluate("window.cropzoom.store.events.filter(event => event.what === 'order')") == []


def test_a_name_that_is_bound_to_this_machine_by_somebody_else_gets_no_page(lab: Lab, pages: Pages) -> None:
    page = pages.open()
    pages.expect(REFUSED, "Cross-Origin-Opener-Policy header has been ignored")
    answer = page.goto(lab.url.replace("127.0.0.1", OTHER_NAME))
    assert answer.status == 400
    assert page.context.cookies() == []
    assert "cropzoom" not in page.evaluate("Object.keys(window).join()")


@pytest.mark.parametrize("address", ["", "?token=", "?token=AAAA", "static/main.js", "metrics", "ws"])
def test_without_the_token_there_is_no_page_and_no_socket(lab: Lab, pages: Pages, address: str) -> None:
    page = pages.open()
    pages.expect(REFUSED)
    assert page.goto(lab.base + address).status == 403
    opens = """url => new Promise(resolve => { const socket = new WebSocket(url);
        socket.onopen = () => resolve(true); socket.onerror = () => resolve(false); })"""
    assert not page.evaluate(opens, lab.base.replace("http", "ws") + "ws")


def test_the_token_is_out_of_reach_for_scripts_and_for_whoever_looks_over_the_shoulder(lab: Lab, pages: Pages) -> None:
    page = pages.open(lab.url)
    token = re.findall(r"token=(\S+)", lab.url)[0]
    assert page.url == lab.base
    assert page.evaluate("document.cookie") == ""
    assert token not in page.content()
    assert token not in page.evaluate(
        "JSON.stringify([{...localStorage}, {...sessionStorage}, history.state, document.referrer])"
    )
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")


def test_a_script_that_gets_into_a_text_is_text(lab: Lab, pages: Pages) -> None:
    """A name of a camera, an error or a marker may hold anything; the policy of the page would refuse it, too."""
    page = pages.open(lab.url)
    until(page, "window.cropzoom?.store.cameras.size === 1")
    page.evaluate(
        """() => window.cropzoom.store.take({ kind: 'event', camera: 'cam0', trigger: null, t_unix_ms: Date.now(),
            number: 1e6, what: 'marker', text: '<img src=x onerror="window.done = 1"><b>bold</b>', by: null })"""
    )
    until(page, "document.getElementById('events').textContent.includes('<b>bold</b>')")
    assert page.evaluate("window.done === undefined && document.querySelector('#events img, #events b') === null")
