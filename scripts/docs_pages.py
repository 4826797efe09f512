"""Write the parts of the documentation that are made from the code.

    python scripts/docs_pages.py

``docs/reference/commands.md`` comes from the parser of the command line. The tables of ``docs/reference/settings.md``,
between the two marks, come from the fields of ``Settings``, those of ``docs/reference/manifest.md`` from the classes of
``inference/manifest.py``. A test holds them to the code.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, get_type_hints

from realtime_cropzoom.cli.main import _parser  # the one parser of all commands
from realtime_cropzoom.cli.parser import GROUPS as COMMAND_GROUPS
from realtime_cropzoom.config.description import GROUPS, group_of, literals
from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.inference import manifest
from realtime_cropzoom.view import protocol as view_protocol

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"
MARK = "<!-- made by scripts/docs_pages.py -->"
"""Stands before and after the tables of a page."""

COMMANDS_HEAD = """\
# Commands

`cropzoom COMMAND --help` prints the same in the terminal. Flags may be written with hyphens or underscores:
`--crop-size` and `--crop_size` are the same. Exit codes: [files](files.md#exit-codes). Which command you want for a
task: [start page](../index.md#which-command-do-i-want).

This page is made from the parser of the command line by `scripts/docs_pages.py`.
"""
_ALL_SETTINGS = 40
"""A command with at least this number of settings as flags links to the settings page, in place of listing them."""

UNITS = {
    "_px_s": "px/s",
    "_ms": "ms",
    "_s": "s",
    "_px": "px",
    "_hz": "Hz",
    "camera_fps": "frames/s",
    "detector_max_fps": "detections/s",
    "crop_size": "frame px",
    "min_box": "frame px",
    "crop_ratio": "keypoint spans",
    "camera_size": "px",
    "roi": "sensor px",
    "detector_every": "frames",
    "max_lag": "frames",
    "frames": "frames",
    "record_buffer": "frames",
    "_threads": "threads",
    "gain": "the camera's",
    "speed": "times",
    "jump_limit": "box sides/s",
    "kalman_gate": "sigma",
    "one_euro_beta": "Hz/(px/s)",
}
"""{end of a setting's name: its unit}; the first that fits counts."""

FORMS = {
    "source": "path or `SCHEME:REST`",
    "project": "folder",
    "detector": "folder, `.onnx`, `shipped`, `auto`, `none`",
    "pose": "folder, `.onnx`, `shipped`",
    "anchor_keypoints": "names, with commas",
    "camera_size": "`WIDTHxHEIGHT`",
    "pixel_format": "a name of the driver",
    "roi": "`X,Y,W,H`",
    "schedule": "`_bbox.csv`, session, `latest`",
    "regions": "file, `none`",
    "calibration": "file",
    "out": "folder",
    "camera": "letters, digits, `_.-`",
    "publish": "`tcp://…`, `ipc://…`, `none`",
    "publish_latest": "`tcp://…`, `ipc://…`, `none`",
    "publish_echo": "`auto`, `tcp://…`, `none`",
    "publish_preview": "`auto`, `tcp://…`, `ipc://…`, `none`",
    "key_folder": "folder",
    "control": "`auto`, a name, `ipc://…`, `tcp://…`, `none`",
    "control_keys": "folder",
}
"""{setting: what it accepts}, for settings that are neither a choice nor a number."""

WHEN = {
    "source": "always give one",
    "project": "you have trained the models of a [project](project-file.md)",
    "detector": "you have your own detector, or none",
    "pose": "you have your own pose model",
    "decoder": "`reference` to compare numbers with Lightning Pose",
    "provider": "to force one; a forced provider that is not available ends the run",
    "precision": "`int8` for a large model on a CPU; else to compare exports",
    "detector_threads": "`check` says that the detector is slow and cores are free",
    "realtime_priority": "single poses are late on a busy machine",
    "pose_threads": "1 to leave cores to other programs; more if frames are skipped and cores are free",
    "crop_size": "give what the pose model was trained with",
    "crop_ratio": "the pose model was trained with `crop_ratio`",
    "anchor_keypoints": "a keypoint such as the tail tip pulls the box off the body",
    "min_likelihood": "0 for the boxes of Lightning Pose; higher for a noisy detector",
    "min_box": "0 for the boxes of Lightning Pose",
    "edge": "`clamp` for the numbers of `litpose predict --bbox_dir`",
    "box_from": "`pose` where the detector takes a core that the pose model needs",
    "box_check_s": "shorter where a pose may settle on another object",
    "detector_max_fps": "lower to save a core; higher for a fast animal in a small box",
    "coast_after_ms": "boxes are older than this with a slow detector",
    "lost_after_ms": "to know earlier or later that the animal is lost",
    "schedule": "to repeat the poses of a run on its recording",
    "animals": "[several animals](../how-to/several-animals.md) are in one arena",
    "regions": "[several boxes](../how-to/several-boxes.md) stand under one camera",
    "camera": "you must distinguish the messages of several cameras",
    "camera_size": "the camera has several modes",
    "camera_fps": "the camera has several modes; for a folder of images: the rate at which it plays",
    "pixel_format": "the highest rate needs `mjpeg`",
    "exposure_ms": "the rate drops in the dark, or motion is blurred",
    "gain": "the picture is too dark with a short exposure",
    "roi": "the camera is faster with a part of its sensor",
    "trigger": "an external device triggers the camera",
    "open_timeout_s": "a camera or server starts slowly",
    "read_timeout_s": "a stream pauses for longer without being broken",
    "reconnect_for_s": "the run must end if the camera does not come back",
    "changed": "`adapt` if the size may change and poses may be scaled",
    "stall_after_ms": "you want to know sooner or later that frames do not arrive",
    "start_s": "the animal enters late",
    "loop": "to test for a long time with a short recording",
    "speed": "to test under a higher frame rate",
    "pace": "`fast` for results that do not depend on the machine's speed",
    "detector_every": "to go faster through a recording in lockstep",
    "frames": "to try settings on the first frames",
    "out": "data belongs on another disk",
    "record": "video must be kept",
    "record_crops": "you want videos of the animal alone, for example to label them",
    "record_buffer": "the recording loses frames in short peaks of load",
    "calibration": "you need centimetres",
    "filter": "`kalman` to predict where the animal is at the time of an output",
    "filter_min_likelihood": "the model is often unsure",
    "filter_hold_ms": "gaps are longer, or the frame rate is under 7 frames/s",
    "kalman_noise_px": "your model is more or less exact than 1 px",
    "kalman_velocity_noise_px_s": "the animal turns faster or slower than a mouse at this scale",
    "kalman_gate": "fast movements are taken for jumps, or jumps for movements",
    "one_euro_min_cutoff_hz": "keypoints shake at rest: lower it",
    "one_euro_beta": "the filter lags behind a fast animal: raise it",
    "one_euro_velocity_cutoff_hz": "the velocity shakes: lower it",
    "publish": "another machine listens, or the port is in use",
    "publish_latest": "as `publish`",
    "publish_echo": "a firewall needs a fixed port",
    "publish_preview": "a firewall or a tunnel needs a fixed port; `none` if nobody may see pictures",
    "publish_optional": "files matter more than messages",
    "key_folder": "another machine listens",
    "control": "two runs of one camera, or orders from another machine",
    "control_keys": "orders come from another machine",
    "insecure": "the network belongs to the experiment alone",
    "encoding": "your receiver prefers msgpack",
    "max_age_ms": "old poses are of no use to receivers",
    "max_lag": "lower for fresher poses, higher for fewer skipped frames in short peaks of load",
    "hang_after_s": "the first inference takes long, as with TensorRT",
    "on_failure": "`restart` if a run must survive a failure of the GPU",
    "detector_min_sharpness": "the detector sees animals where there are none, or misses yours",
    "pose_min_sharpness": "good poses are called not plausible, or bad ones plausible",
    "pose_min_likelihood": "as `pose_min_sharpness`",
    "shape_tolerance": "your animal has another shape than those of the training",
    "jump_limit": "the animal is faster, or jumps of the model must be found",
}
"""{setting: a reason to change it}."""


FORMS_OF_TYPES = {
    "str": "text",
    "int": "integer",
    "float": "number",
    "bool": "true or false",
    "None": "null",
    "tuple[int, int]": "two integers",
    "tuple[float, float, float]": "three numbers",
    "tuple[float, ...]": "list of numbers",
    "tuple[str, ...]": "list of texts",
    "tuple[tuple[int, int], ...]": "list of pairs of integers",
    "dict[str, Any]": "object",
    "Input": "[Input](#input)",
    "Trained": "[Trained](#trained)",
    "Geometry": "a geometry: [Stretch](#stretch), [Letterbox](#letterbox), [Affine](#affine), [Scale](#scale)",
    "Decoder": "a decoder: one of those below",
}
"""Types of the fields of a manifest in the words of JSON."""


PAGE_MESSAGES_HEAD = """\
For a page of your own, or a program in place of one: open the address that `cropzoom view` prints once, keep the
cookie, and connect to `ws://HOST:PORT/ws` with this cookie and the header `Origin: http://HOST:PORT`. For a script that
only needs poses, [the subscriber](../how-to/receive-poses.md) is simpler and quicker. The messages may change with the
version, unlike [those of a run](messages.md). What is below is made from `view/protocol.py`.
"""


def commands_page() -> str:
    """Return the page of all commands, as Markdown."""
    parser = _parser().add_all()
    (subparsers,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    helps = {action.dest: action.help for action in subparsers._choices_actions}
    parts = [COMMANDS_HEAD]
    for title, names in COMMAND_GROUPS.items():
        parts.append(f"## {title.capitalize()}\n")
        for name in names:
            parts += command_section(subparsers.choices[name], helps[name] or "", level=3)
    return "\n".join(parts)


def command_section(parser: argparse.ArgumentParser, purpose: str, level: int) -> Iterator[str]:
    """Yield the parts of a command, and of the commands below it."""
    name = parser.prog.removeprefix("cropzoom ")
    yield f"{'#' * level} {name}\n"
    yield f"{_sentence(purpose)}\n"
    if parser.description:
        yield f"```text\n{parser.description.strip()}\n```\n"
    if parser.epilog and parser.epilog.startswith("example: "):
        yield f"```text\n{parser.epilog.removeprefix('example: ')}\n```\n"
    settings = _settings_of(parser)
    listed = [] if len(settings) >= _ALL_SETTINGS else settings
    rows = [_row(a) for a in parser._actions if a not in settings and not _is_help_or_commands(a)]
    rows += [f"| {_flag(action)} | setting, see [settings](settings.md#{_group(action)}) |" for action in listed]
    if rows:
        yield "\n".join(["| argument | meaning |", "|---|---|", *rows]) + "\n"
    if settings and not listed:
        yield "Each [setting](settings.md) is a flag as well, such as `--crop-size 240`.\n"
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for below, inner in action.choices.items():
                yield from command_section(inner, helps[below], level + 1)


def settings_tables() -> str:
    """Return the settings in groups, as Markdown."""
    groups: dict[str, list[str]] = {"source": ["source"], **{title: [] for title in GROUPS}}
    for name in Settings.model_fields:
        if name != "source":
            groups[group_of(name)].append(name)
    parts = []
    for title, names in groups.items():
        order = {name: place for place, name in enumerate(GROUPS.get(title, ()))}
        rows = [_setting_row(name) for name in sorted(names, key=lambda name: order.get(name, 99))]
        head = ["| setting | default | unit | allowed | meaning | change it if |", "|---|---|---|---|---|---|"]
        parts.append("\n".join([f"### {title.capitalize()}", "", *head, *rows]) + "\n")
    return "\n".join(parts)


def settings_page(page: str) -> str:
    """Return the settings page with the tables that the code gives now."""
    return _between_marks(page, settings_tables())


def manifest_page(page: str) -> str:
    """Return the page of the manifest with the tables that the code gives now."""
    return _between_marks(page, "\n".join(map(_part_table, _parts())))


def page_messages_page() -> str:
    """Return the page of the messages between the server of ``cropzoom view`` and its page, as Markdown."""
    tree = ast.parse(inspect.getsource(view_protocol))
    about = inspect.cleandoc(ast.get_docstring(tree) or "").replace("``", "`")
    parts = ["# Messages of the page", "", about.partition("\n")[0], "", about.partition("\n\n")[2], ""]
    parts += [PAGE_MESSAGES_HEAD]
    parts += [_message_table(node) for node in tree.body if isinstance(node, ast.ClassDef)]
    return "\n".join(parts).rstrip() + "\n"


def _message_table(part: ast.ClassDef) -> str:
    """Return the section of a message of the page: what it is, and a row for each field."""
    tag = next((ast.literal_eval(word.value) for word in part.keywords if word.arg == "tag"), None)
    described = re.sub(r"\s+", " ", inspect.cleandoc(ast.get_docstring(part) or ""))
    rows = [
        f"| `{ast.unparse(field.target)}` | `{_cell(ast.unparse(field.annotation))}` | {_cell(text)} |"
        for field, text in _fields(part)
    ]
    title = part.name if tag is None else f"`{tag}`"
    lines = [f"### {title}", "", described, "", "| field | type | meaning |", "|---|---|---|", *rows]
    return "\n".join(lines).replace("``", "`") + "\n"


def _between_marks(page: str, tables: str) -> str:
    before, _, after = page.split(MARK)
    return f"{before}{MARK}\n\n{tables}\n{MARK}{after}"


def _parts() -> list[ast.ClassDef]:
    """Return the classes of a manifest, the whole first, then its input, geometries and decoders."""
    classes = [node for node in ast.parse(inspect.getsource(manifest)).body if isinstance(node, ast.ClassDef)]
    parts = [node for node in classes if any(isinstance(base, ast.Name) and base.id == "_Part" for base in node.bases)]
    return parts[-1:] + parts[:-1]


def _part_table(part: ast.ClassDef) -> str:
    """Return the section of a class: what it is, and a row for each field."""
    described = inspect.cleandoc(ast.get_docstring(part) or "")
    tag = next((ast.literal_eval(word.value) for word in part.keywords if word.arg == "tag"), None)
    lines = [f"### {part.name}", "", re.sub(r"\s+", " ", described), ""]
    if tag is not None:
        lines += [f'`"type": "{tag}"`', ""]
    rows = [
        f"| `{ast.unparse(field.target)}` | {_form_of(part, field)} | {_default_of(field.value)} | {_cell(text)} |"
        for field, text in _fields(part)
    ]
    head = ["| field | form | default | meaning |", "|---|---|---|---|"] if rows else []
    return "\n".join([*lines, *head, *rows]).replace("``", "`").rstrip() + "\n"


def _fields(part: ast.ClassDef) -> Iterator[tuple[ast.AnnAssign, str]]:
    """Yield the fields of a class with the text below each."""
    for field, below in pairwise([*part.body, ast.Pass()]):
        if isinstance(field, ast.AnnAssign):
            text = below.value if isinstance(below, ast.Expr) else None
            yield field, text.value if isinstance(text, ast.Constant) and isinstance(text.value, str) else ""


def _form_of(part: ast.ClassDef, field: ast.AnnAssign) -> str:
    """Return the type of a field in the words of JSON."""
    text = ast.unparse(field.annotation)
    if choices := literals(get_type_hints(getattr(manifest, part.name))[ast.unparse(field.target)]):
        return " or ".join(f'`"{choice}"`' for choice in choices) + (" or null" if "None" in text else "")
    words = [FORMS_OF_TYPES.get(one.strip(), one.strip().lower()) for one in re.split(r"\s\|\s", text)]
    return " or ".join(words)


def _default_of(value: ast.expr | None) -> str:
    if value is None:
        return "required"
    shown = ast.unparse(value)
    if isinstance(value, ast.Tuple) and value.elts:
        return f"`[{', '.join(map(ast.unparse, value.elts))}]`"
    return {"None": "null", "()": "`[]`", "VERSION": f"`{manifest.VERSION}`", "''": '`""`'}.get(
        shown, f"`{shown}`".replace("'", '"').replace("True", "true").replace("False", "false")
    )


def _setting_row(name: str) -> str:
    field = Settings.model_fields[name]
    default = "–" if field.default is None else f"`{str(field.default).lower()}`"
    if isinstance(field.default, float):
        default = f"`{field.default:g}`"
    cells = [f"`{name}`", default, _unit(name), _allowed(name), field.description or "", WHEN[name]]
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _unit(name: str) -> str:
    return next((unit for end, unit in UNITS.items() if name.endswith(end)), "")


def _allowed(name: str) -> str:
    field = Settings.model_fields[name]
    if name in FORMS:
        return FORMS[name]
    if field.annotation is bool:
        return "`true`, `false`"
    if choices := literals(field.annotation):
        return ", ".join(f"`{choice}`" for choice in choices)
    limits: dict[str, Any] = {}
    for constraint in field.metadata:
        limits |= {kind: getattr(constraint, kind) for kind in ("gt", "ge", "le") if hasattr(constraint, kind)}
    low = _number(limits["ge"]) if "ge" in limits else "1"  # integers alone are above 0
    return f"{low} to {_number(limits['le'])}"


def _number(value: float) -> str:
    return re.sub(r"e([+-])0?", lambda exponent: "e" + exponent[1].strip("+"), f"{value:g}")


def _settings_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [
        action
        for action in parser._actions
        if action.dest in Settings.model_fields
        and action.option_strings
        and (action.help or "").startswith((Settings.model_fields[action.dest].description or "?").replace("%", "%%"))
    ]


def _row(action: argparse.Action) -> str:
    default = action.default
    shown = "" if default in (None, False, argparse.SUPPRESS) else str(default)
    text = (action.help or "") % {"default": shown, "prog": ""} if action.help else ""
    return f"| {_flag(action)} | {_cell(_sentence(text))} |"


def _flag(action: argparse.Action) -> str:
    if not action.option_strings:
        return f"`{action.metavar or action.dest}`"
    value = "" if action.nargs == 0 else _value(action)
    return ", ".join(f"`{flag}{value}`" for flag in action.option_strings)


def _value(action: argparse.Action) -> str:
    metavar = action.metavar or (f"{{{','.join(map(str, action.choices))}}}" if action.choices else action.dest.upper())
    if isinstance(metavar, tuple):
        return " " + " ".join(metavar)
    if isinstance(action.nargs, int):
        return f" {metavar}" * action.nargs
    return {"+": f" {metavar} …", "*": f" {metavar} …", "?": f" [{metavar}]"}.get(str(action.nargs), f" {metavar}")


def _group(action: argparse.Action) -> str:
    return group_of(action.dest)


def _is_help_or_commands(action: argparse.Action) -> bool:
    return isinstance(action, argparse._HelpAction | argparse._SubParsersAction)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "…", ")")) or not text else ".")


def _cell(text: str) -> str:
    """Return a text as a cell of a table; a page that it names becomes a link."""
    text = re.sub(r"\s+", " ", text).replace("|", "\\|")
    return re.sub(r"docs/([\w-]+)/([\w-]+)\.md", _link, text)


def _link(page: re.Match[str]) -> str:
    folder = "" if page[1] == REFERENCE.name else f"../{page[1]}/"
    return f"[{page[2].replace('-', ' ')}]({folder}{page[2]}.md)"


def main() -> None:
    """Write the parts that are made from the code."""
    (REFERENCE / "commands.md").write_text(commands_page(), encoding="utf-8")
    settings = REFERENCE / "settings.md"
    settings.write_text(settings_page(settings.read_text(encoding="utf-8")), encoding="utf-8")
    (REFERENCE / "page-messages.md").write_text(page_messages_page(), encoding="utf-8")
    described = REFERENCE / "manifest.md"
    described.write_text(manifest_page(described.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
