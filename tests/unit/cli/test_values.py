"""Values of flags that make no sense: one line and exit code 2, for every flag of every command."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import pytest

from realtime_cropzoom.cli import main
from realtime_cropzoom.cli.values import a_name, a_path, a_session, frame_rate, names, seconds, some_text, whole
from realtime_cropzoom.errors import ConfigError

NUMBERS = ["nan", "inf", "1e400", "-1", "1e300", "99999999999999999999", ""]


Leaf = tuple[tuple[str, ...], argparse.ArgumentParser]


def leaves(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[Leaf]:
    inner = next((a for a in parser._actions if isinstance(a, argparse._SubParsersAction)), None)
    if inner is None:
        yield words, parser
        return
    for name, child in inner.choices.items():
        yield from leaves(child, (*words, name))


PARSER = main._parser().add_all()
COMMANDS = dict(leaves(PARSER))


def required(parser: argparse.ArgumentParser, but: argparse.Action) -> list[str]:
    """What else the command needs: names of nothing that is there."""
    words: list[str] = []
    either = [g for g in parser._mutually_exclusive_groups if g.required and but not in g._group_actions]
    groups = [group._group_actions[0] for group in either]
    for action in parser._actions:
        if action is but or not (action.required or action in groups):
            continue
        value = str(action.choices[0]) if isinstance(action.choices, (list, tuple)) else "1"
        values = [value] * (action.nargs if isinstance(action.nargs, int) else 1)
        words += [*action.option_strings[:1], *values]
    return words


def attempts(command: tuple[str, ...]) -> Iterator[list[str]]:
    parser = COMMANDS[command]
    for action in parser._actions:
        if not callable(action.type):
            continue
        for value in [""] if action.type in (a_name, a_path, a_session, names, some_text) else NUMBERS:
            rest = required(parser, action)
            first = [f"{action.option_strings[0]}={value}"] if action.option_strings else [value]
            yield [*command, *first, *rest]


@pytest.mark.parametrize("command", COMMANDS, ids="-".join)
def test_what_makes_no_sense_is_one_line(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(main, "_parser", lambda: PARSER)  # to make it costs more than all else
    parser = COMMANDS[command]
    monkeypatch.setattr(parser, "_defaults", {**parser._defaults, "command": _started})
    for words in attempts(command):
        assert main.main(words) == 2, words
        (line,) = capfd.readouterr().err.splitlines()
        assert line.startswith("cropzoom: "), words
        assert ": got " in line, line
        assert ", expected " in line, line


def _started(arguments: argparse.Namespace) -> int:
    raise AssertionError(f"started with {arguments}")


def test_what_makes_sense_is_taken() -> None:
    assert (seconds("1.5"), frame_rate("29.97"), whole(1, 10)("7")) == (1.5, 29.97, 7)
    assert a_path("sessions/x") == Path("sessions/x")


def test_an_address_is_no_path_and_keeps_its_slashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for refused in (a_path, a_session):
        with pytest.raises(
            ConfigError, match=r"^got http://10\.0\.0\.5/x\.mp4, expected a file or folder of this comp"
        ):
            refused("http://me:secret@10.0.0.5/x.mp4")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd:").mkdir()
    (tmp_path / "odd:" / "a.mp4").touch()
    assert a_path("odd://a.mp4") == Path("odd:/a.mp4"), "a file that is there"


def test_a_value_that_is_read_after_the_arguments_is_one_line_too(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["init", str(tmp_path / "rat"), "--keypoints", "nose,tail"]) == 0
    capfd.readouterr()
    for given in ("", "http://10.0.0.5/labels.csv"):
        assert main.main(["evaluate", str(tmp_path / "rat"), given]) == 2
        (line,) = capfd.readouterr().err.splitlines()
        assert line.startswith("cropzoom: got ")
        assert ", expected a file or folder" in line
