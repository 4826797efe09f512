"""Orders from the socket: what is refused, what reaches the rule loop, and what the sender gets to know."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from realtime_cropzoom.control.protocol import OrderError, Origin, Request
from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.trigger.engine.events import Order
from realtime_cropzoom.trigger.process.commands import CommandQueue, QueuedCommand, QueuedOrder, QueuedRules
from realtime_cropzoom.trigger.process.feed import Feed
from realtime_cropzoom.trigger.process.order_desk import OrderDesk
from realtime_cropzoom.trigger.process.rules_desk import RulesDesk
from realtime_cropzoom.trigger.rules.rules import Rules, load_rules

WHO = Origin("page", "anna", 4711)
FILE = """\
zones:
  corner: {rectangle_px: [0, 0, 200, 200]}  # by the door
outputs: {laser: {serial: x}}
rules: {r: {when: {inside: corner, keypoint: snout}, fire: laser, hold: true}}
"""
MOVED = {"corner": {"circle_px": [5, 5, 5]}}


class Loop:
    """The rule loop as the desk sees it: it takes orders in a thread of its own."""

    def __init__(self) -> None:
        self.orders = CommandQueue()
        self.taken: list[QueuedOrder] = []
        self.problem: str | None = None
        self.no_pose: str | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(0.001):
            for asked in self.orders.take():
                self.taken.append(asked)
                asked.done(self.problem)

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    def refusal(self, order: Order, target: str | None) -> str | None:
        return None if target is None else "no such rule"

    def needs_pose(self, advice: str) -> str | None:
        return self.no_pose

    def check_new_rules(self, rules: Rules) -> None:
        if "nowhere" in rules.zones:
            raise ConfigError("the stream has no such thing")

    def state(self) -> dict[str, Any]:
        return {"armed": []}


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "my rules.yaml"
    path.write_text(FILE)
    (tmp_path / "log").mkdir()
    return path


@pytest.fixture
def desk(loop: Loop, path: Path) -> OrderDesk:
    rules = load_rules(path)
    feed = Feed("ipc://nowhere.sock", None, "x", loop.state, lambda: None)
    return OrderDesk(loop, RulesDesk(path, {}, lambda: rules), feed, path.parent / "log")


def give(desk: OrderDesk, order: str, **value: Any) -> dict[str, Any]:
    return desk.obey(Request(order, value=value), WHO)


def copies(path: Path) -> list[str]:
    return sorted(copy.name for copy in (path.parent / "log").iterdir())


def test_the_answer_comes_when_the_loop_has_handled_the_order(loop: Loop, desk: OrderDesk) -> None:
    assert desk.obey(Request("arm"), WHO) == {"armed": []}
    (asked,) = loop.taken
    assert isinstance(asked, QueuedCommand)
    assert (asked.order, asked.by) == ("arm", "page (anna, process 4711)")


def test_what_the_rules_refuse_is_the_answer(loop: Loop, desk: OrderDesk) -> None:
    loop.problem = "limit reached"
    with pytest.raises(OrderError, match="limit reached"):
        desk.obey(Request("arm"), WHO)


def test_state_and_what_does_not_exist_do_not_reach_the_loop(loop: Loop, desk: OrderDesk) -> None:
    assert desk.obey(Request("state"), WHO) == {"armed": []}
    with pytest.raises(OrderError, match="there is no order 'dance'; expected one of state, arm, "):
        desk.obey(Request("dance"), WHO)
    with pytest.raises(OrderError, match="no such rule"):
        desk.obey(Request("arm", "nobody"), WHO)
    assert loop.taken == []


def test_at_the_end_no_sender_waits(loop: Loop, desk: OrderDesk) -> None:
    loop.close()
    desk.close()
    with pytest.raises(OrderError, match="the trigger process ends"):
        desk.obey(Request("arm"), WHO)
    for _ in range(63):
        loop.orders.put(QueuedCommand("key", None, Order.ARM))
    with pytest.raises(OrderError, match="too many orders wait"):
        desk.obey(Request("arm"), WHO)


def test_new_zones_replace_the_old_ones_and_are_saved_if_asked(loop: Loop, desk: OrderDesk, path: Path) -> None:
    answer = give(desk, "zones", zones=MOVED, keep_armed=True)
    changes = {"kept": [], "moved": ["r"], "changed": [], "added": [], "removed": [], "settings": []}
    assert answer == {"armed": [], "dry": False, "changes": changes}
    (asked,) = loop.taken
    assert isinstance(asked, QueuedRules)
    assert (asked.proposal.number, asked.proposal.keep_armed) == (2, True)
    assert asked.proposal.rules.zones["corner"].model_dump(exclude_none=True) == {"circle_px": (5, 5, 5)}
    new = FILE.replace("rectangle_px: [0, 0, 200, 200]", "circle_px: [5, 5, 5]")
    assert (path.parent / "log" / "rules-2.yaml").read_text() == new
    assert path.read_text() == FILE

    give(desk, "zones", zones=MOVED, save=True)
    assert path.read_text() == new
    assert path.with_name("my rules.yaml.bak").read_text() == FILE
    assert copies(path) == ["rules-2.yaml", "rules-3.yaml"]


def test_what_was_edited_in_the_file_meanwhile_stays_when_zones_are_saved(desk: OrderDesk, path: Path) -> None:
    edited = FILE.replace("hold: true", "hold: true, refractory_ms: 5") + "# a note\n"
    path.write_text(edited)
    give(desk, "zones", zones=MOVED, save=True)
    assert path.read_text() == edited.replace("rectangle_px: [0, 0, 200, 200]", "circle_px: [5, 5, 5]")
    assert "refractory_ms" not in (path.parent / "log" / "rules-2.yaml").read_text()


@pytest.mark.parametrize("dry", [True, False])
@pytest.mark.parametrize(
    ("order", "value", "says"),
    [
        ("rules", {"yaml": "rules: ["}, "the new rules is not YAML"),
        ("rules", {"yaml": FILE.replace("inside", "insid") + "sedd: 1\n"},
         "the new rules, line 4: rules.r.when: given insid, keypoint.*\nthe new rules, line 5: sedd: no such setting"),
        ("rules", {"yaml": FILE.replace("serial: x", "serial: y")},
         "the new rules, line 3: outputs: cannot change while the rules run"),
        ("rules", {"yaml": FILE.replace("corner", "nowhere")}, "the stream has no such thing"),
        ("rules", {"zones": {}}, "order rules: .*; expected the value {\"yaml\": TEXT"),
        ("zones", {"zones": []}, "order zones: .*; expected the value {\"zones\": "),
        ("zones", {"zones": {}}, "rules.r.when.inside: no zone 'corner'"),
        ("zones", {"zones": {"corner": {"circle_px": [1, 2]}}}, "zones.corner.circle_px: expected 3 numbers"),
        ("zones", {"zones": MOVED, "save": True}, "my rules.yaml with these zones, line 1: rules: got|holds"),
    ],
)  # fmt: skip
def test_what_is_wrong_changes_nothing(
    loop: Loop, desk: OrderDesk, path: Path, order: str, value: dict[str, Any], says: str, dry: bool
) -> None:
    if value.get("save"):
        path.write_text("a list of things\n")  # the file was spoilt meanwhile
    before = path.read_text()
    with pytest.raises((ConfigError, OrderError), match=f"(?s){says}"):
        give(desk, order, **value, dry=dry)
    assert (loop.taken, copies(path), path.read_text()) == ([], [], before)


def test_dry_only_says_what_would_change(loop: Loop, desk: OrderDesk, path: Path) -> None:
    loop.no_pose = "no pose has come yet"  # to check needs none
    assert give(desk, "zones", zones=MOVED, save=True, dry=True)["changes"]["moved"] == ["r"]
    added = FILE + "test_pulse_ms: 3\n"
    answer = give(desk, "rules", yaml=added, dry=True)
    assert (answer["dry"], answer["changes"]["settings"], answer["changes"]["kept"]) == (True, ["test_pulse_ms"], ["r"])
    assert (loop.taken, copies(path), path.read_text()) == ([], [], FILE)
    with pytest.raises(OrderError, match="no pose has come yet"):
        give(desk, "rules", yaml=added)
    assert (loop.taken, copies(path)) == ([], [])


def test_a_file_that_changed_while_the_rules_started_is_refused(path: Path) -> None:
    rules = load_rules(path)
    path.write_text(FILE.replace("corner", "edge"))
    with pytest.raises(ConfigError, match="was changed while the rules were starting"):
        RulesDesk(path, {}, lambda: rules)


def test_settings_of_the_command_line_stay_in_force(loop: Loop, path: Path) -> None:
    given = {"endpoint": "tcp://127.0.0.1:9", "seed": 4}
    rules = load_rules(path).model_copy(update=given)
    feed = Feed("ipc://nowhere.sock", None, "x", loop.state, lambda: None)
    desk = OrderDesk(loop, RulesDesk(path, given, lambda: rules), feed, path.parent / "log")
    give(desk, "rules", yaml=yaml.safe_dump(yaml.safe_load(FILE)))
    (asked,) = loop.taken
    assert isinstance(asked, QueuedRules)
    assert (asked.proposal.rules.endpoint, asked.proposal.rules.seed) == ("tcp://127.0.0.1:9", 4)
