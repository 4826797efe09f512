"""``cropzoom ctl``: gives orders to runs and trigger processes, and lists those that run."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from realtime_cropzoom.cli.values import a_path, some_text
from realtime_cropzoom.control import AUTO
from realtime_cropzoom.errors import ConfigError, pluralize, shorten

_EXPLAINED = """\
cropzoom ctl lists the runs and trigger processes of this user. cropzoom ctl ORDER gives one of them an order.

to a run:
  cropzoom ctl record baseline         starts a recording with this name; without one the run chooses it
  cropzoom ctl stop-recording
  cropzoom ctl marker "light on"       puts a marker into the events file, and publishes it
  cropzoom ctl pause                   publishes no poses until 'resume'; the files go on
  cropzoom ctl detect                  lets the detector look at the next frame
  cropzoom ctl set crop_size 240       changes a setting; 'set' alone lists what may change
to a trigger process:
  cropzoom ctl arm                     arms all rules; 'arm RULE' one; 'disarm' likewise
  cropzoom ctl test laser              gives a test pulse
  cropzoom ctl rules new.yaml          checks the file, then replaces the rules; with --check it only checks
  cropzoom ctl zones new.yaml          the same with the zones of a file; --save writes them to the rules file
to both:
  cropzoom ctl state
  cropzoom ctl stop

If several programs take an order, --to NAME chooses one. Who may give orders: docs/how-to/control.md.
"""


_NOT_SHOWN = ("ok", "settable")
"""Fields that ``ctl state`` leaves out; ``ctl set`` lists what may be set."""


class _Said(NamedTuple):
    """What follows the word of an order."""

    target: str | None = None
    value: Any = None


def register(commands: Any) -> None:
    """Add the command to the parser."""
    ctl = commands.add_parser(
        "ctl",
        help="give orders to what runs: record, marker, arm, stop …",
        description=_EXPLAINED,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    ctl.add_argument("order", nargs="?", choices=sorted(_ORDERS), metavar="ORDER", help="order; none: list what runs")
    ctl.add_argument("words", nargs="*", metavar="WORD", help="what the order needs: a name, a text, a rule, a value")
    ctl.add_argument(
        "--to", type=some_text, default=AUTO, metavar="NAME", help="name or endpoint of the program, if several run"
    )
    ctl.add_argument("--keys", type=a_path, metavar="FILE", help="key file of this client, for a tcp:// endpoint")
    ctl.add_argument("--check", action="store_true", help="rules, zones: only check the file")
    ctl.add_argument("--save", action="store_true", help="zones: write them to the rules file, too")
    ctl.add_argument(
        "--keep-armed", action="store_true", help="rules, zones: leave a rule armed if only its zones moved"
    )
    ctl.add_argument("--json", action="store_true", help="print the answer as JSON")
    ctl.set_defaults(command=_ctl)


def _ctl(arguments: argparse.Namespace) -> int:
    if arguments.order is None:
        return _list(as_json=arguments.json)
    from realtime_cropzoom.control.client import find_target, send

    said = _ORDERS[arguments.order](arguments)
    order = arguments.order.replace("-", "_")
    to = find_target(order, arguments.to, arguments.keys)
    is_question = order == "set" and said.target is None
    answer = send(to, "state" if is_question else order, *said, by="ctl")
    if not answer["ok"]:
        raise ConfigError(answer["error"])
    if arguments.json:
        print(json.dumps(answer))
    elif is_question:
        print("\n".join(_settable_lines(answer.get("settable", {}))))
    elif order == "state":
        print("\n".join(f"{name}: {_shown(value)}" for name, value in answer.items() if name not in _NOT_SHOWN))
    else:
        if "changes" in answer:
            print(_changes_line(answer))
        print("  ".join(_columns(answer.get("name", arguments.to), answer)))
    return 0


def _list(*, as_json: bool) -> int:
    from realtime_cropzoom.control.client import read_states

    states = read_states()
    if as_json:
        print(json.dumps([{"name": name, **state} for name, state in states.items()]))
        return 0
    if not states:
        print("nothing of this user runs; start 'cropzoom run SOURCE' or 'cropzoom trigger RULES.yaml'")
    rows = [_columns(name, state) for name, state in states.items()]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    for row in rows:
        print("  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3]]).rstrip())
    return 0


def _columns(name: str, state: dict[str, Any]) -> tuple[str, str, str, str]:
    """Return name, kind, what it works on, and what it does."""
    if not state.get("ok"):
        return name, "?", "", str(state.get("error"))
    if state.get("kind") == "run":
        return name, "run", str(state.get("camera")), ", ".join(_of_run(state))
    return name, "trigger", str(state.get("endpoint")), ", ".join(_of_trigger(state))


def _of_run(state: dict[str, Any]) -> list[str]:
    if "state" not in state:
        return ["starting"]
    recording = state.get("recording")
    paused = state.get("publish") is not None and not state.get("publishing")
    return [
        f"{state['state']}, {state['stream']}, {state['fps']:g} frames/s",
        pluralize(state["counts"]["captured"], "frame"),
        *(["publishing paused"] if paused else []),
        *([f"recording {recording.get('name') or recording.get('file')}"] if recording else []),
    ]


def _of_trigger(state: dict[str, Any]) -> list[str]:
    armed = ", ".join(state["armed"])
    return [
        f"armed: {armed}" if armed else str(state.get("pending") or "DISARMED"),
        *([f"holding: {', '.join(state['holding'])}"] if state.get("holding") else []),
        f"fired {state.get('fired', 0)}",
        pluralize(state.get("poses", 0), "pose"),
    ]


def _changes_line(answer: dict[str, Any]) -> str:
    done = "only checked, they are right" if answer.get("dry") else "in use from now on"
    return "; ".join([done, *(f"{what}: {', '.join(names)}" for what, names in answer["changes"].items() if names)])


def _settable_lines(settable: dict[str, Any]) -> list[str]:
    if not settable:
        return ["this run has no setting that may change now"]
    rows = [
        f"{name} {_shown(one['value'])}   ({one['least']:g} to {one['most']:g}{one['unit'] and ' '}{one['unit']})"
        for name, one in settable.items()
    ]
    return ["setting, present value, limits:", *rows]


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return " ".join(map(_shown, value)) or "none"
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _nothing(arguments: argparse.Namespace) -> _Said:
    _at_most(arguments, 0)
    return _Said()


def _a_target(arguments: argparse.Namespace) -> _Said:
    _at_most(arguments, 1)
    return _Said(target=arguments.words[0] if arguments.words else None)


def _an_output(arguments: argparse.Namespace) -> _Said:
    _need(arguments, "the output, as in: cropzoom ctl test laser")
    return _a_target(arguments)


def _a_name(arguments: argparse.Namespace) -> _Said:
    return _Said(value={"name": " ".join(arguments.words) or None})


def _a_text(arguments: argparse.Namespace) -> _Said:
    _need(arguments, 'a text, as in: cropzoom ctl marker "light on"')
    return _Said(value=" ".join(arguments.words))


def _a_setting(arguments: argparse.Namespace) -> _Said:
    if not arguments.words:
        return _Said()
    setting, *values = arguments.words
    if not values:
        raise ConfigError(f"set {setting}: expected a value too, as in: cropzoom ctl set crop_size 240")
    numbers = [_number(setting, text) for value in values for text in _parts(value)]
    return _Said(setting.replace("-", "_"), numbers if len(numbers) > 1 else numbers[0])


def _parts(value: str) -> Sequence[str]:
    """Return the two numbers of a size such as 240x180; any other value as it is."""
    size = re.fullmatch(r"(\d+)x(\d+)", value)
    return [value] if size is None else size.groups()


def _number(setting: str, text: str) -> float:
    try:
        return int(text) if re.fullmatch(r"[+-]?\d{1,18}", text) else float(text)
    except ValueError:
        raise ConfigError(f"set {setting}: got {shorten(text)}, expected a number") from None


def _a_rules_file(arguments: argparse.Namespace) -> _Said:
    path = _file(arguments)
    try:
        return _Said(value={"yaml": path.read_text(encoding="utf-8"), **_how(arguments)})
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: expected a rules file, but it is no text") from None


def _a_zones_file(arguments: argparse.Namespace) -> _Said:
    from realtime_cropzoom.yaml_file import read_mapping

    path = _file(arguments)
    content = read_mapping(path)
    return _Said(value={"zones": content.get("zones", content), "save": arguments.save, **_how(arguments)})


def _how(arguments: argparse.Namespace) -> dict[str, bool]:
    return {"dry": arguments.check, "keep_armed": arguments.keep_armed}


def _file(arguments: argparse.Namespace) -> Path:
    _need(arguments, f"a file, as in: cropzoom ctl {arguments.order} new.yaml")
    _at_most(arguments, 1)
    return a_path(arguments.words[0])


def _need(arguments: argparse.Namespace, what: str) -> None:
    if not any(word.strip() for word in arguments.words):
        raise ConfigError(f"{arguments.order}: expected {what}")


def _at_most(arguments: argparse.Namespace, count: int) -> None:
    if len(arguments.words) > count:
        raise ConfigError(f"{arguments.order}: got {shorten(arguments.words[count])}, expected no further word")


_ORDERS: dict[str, Callable[[argparse.Namespace], _Said]] = {
    "state": _nothing,
    "stop": _nothing,
    "record": _a_name,
    "stop-recording": _nothing,
    "marker": _a_text,
    "pause": _nothing,
    "resume": _nothing,
    "detect": _nothing,
    "set": _a_setting,
    "arm": _a_target,
    "disarm": _a_target,
    "test": _an_output,
    "rules": _a_rules_file,
    "zones": _a_zones_file,
}
"""{word: reads what follows it}"""
