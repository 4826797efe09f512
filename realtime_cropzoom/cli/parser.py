"""Argument parser: groups of commands and settings, an example for each, and "did you mean" for misspelt words."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from realtime_cropzoom.errors import ConfigError, did_you_mean

GROUPS = {
    "track live": ("run", "view", "listen", "trigger", "ctl", "demo"),
    "before an experiment": ("cameras", "check", "doctor", "calibrate", "zones", "latency", "bench", "keys"),
    "look at the files of a run": ("draw", "convert", "compare"),
    "recordings and labelled images": ("pipeline", "predict", "create_bbox", "smooth_bbox", "crop", "remap"),
    "your own animal": ("init", "frames", "labels", "train", "evaluate"),
    "models": ("models", "export", "export-deeplabcut", "quantize"),
}
_EXAMPLES = {
    "listen": "cropzoom listen tcp://127.0.0.1:5660 --camera cam0",
    "view": "cropzoom view tcp://127.0.0.1:5660 tcp://127.0.0.1:5661",
    "demo": "cropzoom demo --source synthetic:arena,fps=100,seed=3",
    "cameras": "cropzoom cameras",
    "calibrate": "cropzoom calibrate scale recording.mp4 --px-per-cm 12.5 --out arena.yaml",
    "calibrate rectangle": "cropzoom calibrate rectangle recording.mp4 --corners 60,60 570,50 590,430 45,440 "
    "--size-cm 50x38 --out arena.yaml",
    "calibrate points": "cropzoom calibrate points recording.mp4 --point 60,60=0,0 --point 570,50=50,0 "
    "--point 590,430=50,38 --point 45,440=0,38 --out arena.yaml",
    "calibrate scale": "cropzoom calibrate scale recording.mp4 --px-per-cm 12.5 --out arena.yaml",
    "calibrate lens": "cropzoom calibrate lens chessboard.mp4 --board 9x6 --out lens.yaml",
    "labels": "cropzoom labels export rat_arena --to sleap",
    "labels export": "cropzoom labels export rat_arena --to deeplabcut",
    "labels import": "cropzoom labels import rat_arena rat_arena/labels/exports/deeplabcut",
    "zones": "cropzoom zones rules.yaml recording.mp4",
    "draw": "cropzoom draw latest --traces",
    "convert": "cropzoom convert latest --to nwb",
    "compare": "cropzoom compare sessions/recording_20261122-101500 latest",
    "pipeline": "cropzoom pipeline recordings/*.mp4 --detector DETECTOR_DIR --pose POSE_DIR --crop-size 240",
    "predict": "cropzoom predict DETECTOR_DIR recordings/*.mp4",
    "create_bbox": "cropzoom create_bbox DETECTOR_DIR recordings/*.mp4 --crop-size 240",
    "smooth_bbox": "cropzoom smooth_bbox DETECTOR_DIR/video_preds --output-dir smooth",
    "crop": "cropzoom crop DETECTOR_DIR recordings/*.mp4 --crop-size 240",
    "remap": "cropzoom remap POSE_DIR/video_preds/cropped_a.csv DETECTOR_DIR/video_preds/a_bbox.csv",
    "init": "cropzoom init rat_arena --keypoints nose,ear_l,ear_r,tail_base --skeleton nose-ear_l,nose-ear_r",
    "train": "cropzoom train rat_arena",
    "evaluate": "cropzoom evaluate rat_arena",
    "export": "cropzoom export POSE_DIR",
    "export-deeplabcut": "cropzoom export-deeplabcut dlc-models-pytorch/iteration-0/NAME-shuffle1/train "
    "--python ~/miniconda3/envs/DEEPLABCUT/bin/python",
    "quantize": "cropzoom quantize POSE_DIR --calibrate recordings/*.mp4 --detector DETECTOR_DIR",
}
_COMPLETION = 'Tab completion, in bash or zsh:  eval "$(register-python-argcomplete cropzoom)"'
_PROBABLY_A_FLAG = re.compile(r"--?[A-Za-z]")


class Parser(argparse.ArgumentParser):
    """Parser of one command. Its errors are ConfigErrors of one line, with a suggestion."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        example = _EXAMPLES.get(self.command)
        if example is not None:
            self.epilog = f"example: {example}"
        if example is not None or self.formatter_class is argparse.RawDescriptionHelpFormatter:
            self.formatter_class = _LinesAsTheyAre
        self.set_defaults(parser=self)
        self._to_add: list[Callable[[], None]] = []

    def add_later(self, add: Callable[[], None]) -> None:
        """Call ``add``, which adds arguments, when this command is used. Other commands do not pay for its imports."""
        self._to_add.append(add)

    def add_all(self) -> Parser:
        """Add the arguments of ``add_later`` to this parser and its commands; return this parser."""
        for action in self._actions:
            for parser in action.choices.values() if isinstance(action, argparse._SubParsersAction) else ():
                parser.add_all()
        while self._to_add:
            self._to_add.pop()()
        return self

    def parse_known_args(  # type: ignore[override]
        self, *arguments: Any, **options: Any
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse as argparse does, which calls this method of the used command only."""
        while self._to_add:
            self._to_add.pop()()
        return super().parse_known_args(*arguments, **options)

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Return the parsed arguments. Raises ConfigError if one is unknown, missing or wrong."""
        parsed, unknown = self.parse_known_args(list(arguments))
        if unknown:
            raise ConfigError(_unknown(getattr(parsed, "parser", self), unknown))
        return parsed

    def error(self, message: str) -> NoReturn:
        """Raise ConfigError. argparse would print the usage, which does not explain the error."""
        choice = re.match(r"argument (\S+): invalid choice: '(.*)' \(choose from (.*)\)", message, re.DOTALL)
        if choice is not None:
            names = [name.strip(" '") for name in choice[3].split(",")]
            is_command = choice[1] == "COMMAND"
            what = "command" if is_command else choice[1]
            expected = "a command such as run" if is_command else f"one of {', '.join(names)}"
            likely = did_you_mean(choice[2], names)
            raise ConfigError(f"{what}: got {choice[2]!r}, expected {expected}.{likely} {self._more()}")
        missing = message.removeprefix("the following arguments are required: ")
        if missing != message:
            are = "are" if ", " in missing else "is"
            raise ConfigError(f"{missing} {are} missing. {self._more()}")
        raise ConfigError(f"{message.removeprefix('argument ')}. {self._more()}")

    def format_help(self) -> str:
        """Return the help text, with the commands in groups."""
        text = super().format_help()
        commands = next((a for a in self._actions if isinstance(a, argparse._SubParsersAction)), None)
        if commands is None or commands.metavar != "COMMAND":
            return text
        helps = {action.dest: action.help for action in commands._choices_actions}
        lines, columns = [], shutil.get_terminal_size().columns
        for title, names in GROUPS.items():
            lines += [f"{title}:", *(_folded(f"  {name:<11}  {helps[name]}", columns) for name in names), ""]
        head = text[: text.index("positional arguments:")]
        options = text[text.index("options:") :]
        return f"{head}{chr(10).join(lines)}\n{options}\ncropzoom COMMAND --help explains one.\n{_COMPLETION}\n"

    @property
    def flags(self) -> list[str]:
        """All flags of the command."""
        return [option for option in self._option_string_actions if option.startswith("--")]

    def _more(self) -> str:
        return f"See: {self.prog} --help"

    @property
    def command(self) -> str:
        """Name of the command, such as ``calibrate lens``."""
        return self.prog.removeprefix("cropzoom").strip() or "cropzoom"


class _LinesAsTheyAre(argparse.RawDescriptionHelpFormatter):
    """Formatter that keeps line breaks, and folds long lines. A folded command can still be copied."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        columns = width + 2  # argparse leaves two columns free
        return "\n".join(_folded(f"{indent}{line}", columns) for line in text.splitlines())


def _folded(line: str, columns: int) -> str:
    if len(line) <= columns:
        return line
    gap = re.match(r"\s*\S.*?\S {2,}(?=\S)", line)  # text in a second column stays in it
    command = gap is None and line.startswith(("  cropzoom ", "example: "))
    own = len(line) - len(line.lstrip())
    hanging = own + 4 if command else own if gap is None else len(gap[0])
    options = {"break_long_words": False, "break_on_hyphens": False, "subsequent_indent": " " * hanging}
    kept = textwrap.wrap(line, columns - 2 * command, **options)  # type: ignore[arg-type]
    return (" \\\n" if command else "\n").join(kept)


def complete(parser: Parser) -> None:
    """Answer a request of the shell for completions, and end the process; return if there is no request."""
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser.add_all())


def _unknown(parser: Parser, unknown: Sequence[str]) -> str:
    """Return an error about arguments that the command does not have."""
    flag = next((word for word in unknown if _PROBABLY_A_FLAG.match(word)), None)
    if flag is None:
        return f"{parser.command}: got {unknown[0]!r}, expected no further argument. See: {parser.prog} --help"
    name = flag.partition("=")[0]
    likely = _instead_of_project(parser) if name == "--project" else did_you_mean(name, parser.flags)
    return f"{parser.command} has no {name}.{likely} See: {parser.prog} --help"


def _instead_of_project(parser: Parser) -> str:
    """Return how a project is given to a command without the flag, or which commands have it."""
    if any(action.metavar == "PROJECT" for action in parser._actions):
        return " Give the project alone"
    return " 'cropzoom run' and 'cropzoom pipeline' run the models of a project"
