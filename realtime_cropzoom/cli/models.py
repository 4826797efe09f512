"""``cropzoom models``: says what a model file is, and writes models of any maker as one file."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realtime_cropzoom.cli import terminal
from realtime_cropzoom.cli.common import add_overwrite, check_free, say_next
from realtime_cropzoom.cli.values import a_path, names, some_text
from realtime_cropzoom.clock import now_s
from realtime_cropzoom.errors import EXIT_BAD_INPUT, ConfigError, CropzoomError, quoted
from realtime_cropzoom.files.paths import is_there, user_path
from realtime_cropzoom.runtime.signals import signals_held_back

if TYPE_CHECKING:
    from realtime_cropzoom.inference.boxes import BoxRule
    from realtime_cropzoom.inference.makers.maker import Settings
    from realtime_cropzoom.inference.model import Model
    from realtime_cropzoom.offline.model_frame import GivenFrame, Look

_IMPORT = "import"
_EXPLAINED = """\
cropzoom models FILE_OR_FOLDER says what a model is: who made it, what it needs and what it gives.

  cropzoom models sleap/centroid dlc_pose.onnx      what are these?
  cropzoom models yolo.onnx --frame clip.mp4:100    and what does it find in this frame?
  cropzoom models rtmpose.onnx --keypoints nose,tail --frame frame.png
  cropzoom models import rtmpose.onnx --keypoints nose,tail --out models/rtmpose.onnx
                                                    write one file that describes itself

Each model is loaded and run once. Exit code 2 if one cannot be used.
Which models can run: docs/how-to/models/index.md.
"""
_TITLE_COLUMNS = 12


def register(commands: Any) -> None:
    """Add the command to the parser."""
    models = commands.add_parser(
        "models",
        help="say what a model file is, whoever made it, or write it as one file that describes itself",
        description=_EXPLAINED,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    models.add_argument(
        "what", nargs="+", type=some_text, metavar="MODEL",
        help="model folders or .onnx files; or 'import' and one of them",
    )  # fmt: skip
    models.add_argument("--frame", type=some_text, metavar="FILE[:N]", help="image or recording: draw what it finds")
    models.add_argument(
        "--detector", default="shipped", metavar="MODEL",
        help="--frame of a model that sees boxes: the detector that finds the box (default: shipped)",
    )  # fmt: skip
    models.add_argument(
        "--role", choices=("detector", "pose"), help="of a file that holds a detector and a pose model: which one"
    )
    models.add_argument("--keypoints", type=names, metavar="A,B,C", help="names of the keypoints, in order")
    models.add_argument(
        "--set", nargs="+", action="extend", default=[], dest="changes", metavar="NAME=VALUE",
        help="change the description, such as input.channels=bgr: docs/reference/manifest.md",
    )  # fmt: skip
    models.add_argument(
        "--out", type=a_path, metavar="FILE", help="import: .onnx to write; --frame: PNG (default: NAME_frame.png here)"
    )
    models.add_argument("--json", action="store_true", help="print the descriptions as JSON")
    add_overwrite(models)
    models.set_defaults(command=_models)


def _models(arguments: argparse.Namespace) -> int:
    first, *rest = arguments.what
    if first == _IMPORT and not is_there(Path(first)):
        return _import(arguments, rest)
    return _show(arguments)


def _settings(arguments: argparse.Namespace) -> Settings:
    from realtime_cropzoom.inference.makers.maker import Settings
    from realtime_cropzoom.inference.manifest_changes import split_change

    changes = tuple(split_change(text) for text in arguments.changes)
    return Settings(keypoint_names=arguments.keypoints or (), changes=changes)


def _import(arguments: argparse.Namespace, given: Sequence[str]) -> int:
    with signals_held_back():
        from realtime_cropzoom.inference.model import Model
        from realtime_cropzoom.offline.model_import import import_model

    out = _out_of_import(arguments, given)
    path = user_path(given[0])
    model = Model(path, arguments.role, settings=_settings(arguments))
    terminal.say(_which(model))
    done = import_model(model, out)
    for title, text in _described(done.model).items():
        print(_line(title, text))
    print(_line("checked", "loaded and run; on a picture of noise it gives the keypoints of the original"))
    print(out)
    say_next("models", out, "--frame", "VIDEO")
    return 0


def _out_of_import(arguments: argparse.Namespace, given: Sequence[str]) -> Path:
    """Return the file to write. Raises ConfigError if the arguments of an import are not complete."""
    if len(given) != 1:
        raise ConfigError(f"import: got {len(given)} models, expected one. See: cropzoom models --help")
    if arguments.frame is not None or arguments.json:
        raise ConfigError("import: --frame and --json are not for it. Look at the written file with 'cropzoom models'")
    out: Path | None = arguments.out
    if out is None or out.suffix.lower() != ".onnx":
        got = "no --out" if out is None else f"--out {out}"
        raise ConfigError(f"import: got {got}, expected the file to write. Give --out models/NAME.onnx")
    check_free(out, overwrite=arguments.overwrite)
    if is_there(beside := out.with_suffix(".json")):
        raise ConfigError(
            f"{beside} would count more than the description inside {out}. Move it away, or give another --out"
        )
    return out


def _show(arguments: argparse.Namespace) -> int:
    with signals_held_back():
        from realtime_cropzoom.inference import model  # noqa: F401

    settings, frame = _settings(arguments), None
    _check_flags_of_show(arguments)
    if arguments.frame is not None:
        from realtime_cropzoom.offline.model_frame import read_frame

        frame = read_frame(arguments.frame)
    found: list[dict[str, Any]] = []
    for text in arguments.what:
        try:
            found.append(_show_one(text, settings, frame, arguments))
        except CropzoomError as error:
            found.append({"given": text, "error": str(error)})
            terminal.say(f"cropzoom: {error}")
    if arguments.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    return EXIT_BAD_INPUT if any("error" in one for one in found) else 0


def _check_flags_of_show(arguments: argparse.Namespace) -> None:
    if arguments.out is not None and (arguments.frame is None or len(arguments.what) > 1):
        raise ConfigError("--out: expected --frame and one model, or 'import'. See: cropzoom models --help")
    check_free(arguments.out, overwrite=arguments.overwrite)


def _show_one(
    text: str, settings: Settings, frame: GivenFrame | None, arguments: argparse.Namespace
) -> dict[str, Any]:  # fmt: skip
    """Load a model, print what it is, and return that for JSON."""
    import msgspec

    from realtime_cropzoom.inference.model import Model

    path = user_path(text)
    model = Model(path, arguments.role, settings=settings)
    ms = _milliseconds(model)
    if not arguments.json:
        print(_which(model))
        for title, said in _described(model).items():
            print(_line(title, said))
        print(_line("network", f"{_network(model)}; {ms:.1f} ms on one thread"))
    shown: dict[str, Any] = {
        "given": text,
        "file": str(model.file.onnx),
        "chosen": model.file.chosen,
        "manifest": msgspec.to_builtins(model.manifest),
        "size": list(model.size),
        "number_type": _number_type(model),
        "network": _network(model),
        "ms": round(ms, 3),
    }
    if frame is not None:
        shown["frame"] = _show_frame(model, path, settings, frame, arguments)
    if not arguments.json:
        print()
    return shown


def _show_frame(
    model: Model, path: Path, settings: Settings, frame: GivenFrame, arguments: argparse.Namespace
) -> dict[str, Any]:  # fmt: skip
    """Draw a frame, print what the model finds in it, and return that for JSON."""
    from realtime_cropzoom.offline.model_frame import look, other_order_note
    from realtime_cropzoom.plots.image_files import write_png
    from realtime_cropzoom.plots.model_picture import model_picture

    detector, rule = _box_finder(model, arguments.detector)
    seen = look(model, frame.image, detector, rule)
    order = other_order_note(model, settings, frame.image, seen)
    notes = [*seen.notes, *([order] if order else [])]
    out = arguments.out or Path(f"{_short_name(path)}_frame.png")
    names, skeleton = model.keypoint_names, model.manifest.skeleton
    write_png(out, model_picture(frame.image, seen.found, names, skeleton, seen.box))
    if not arguments.json:
        for title, said in _frame_lines(model, frame, seen, notes):
            print(_line(title, said))
        print(_line("drawn", str(out)))
    numbers = zip(names, seen.found.xy.tolist(), seen.found.likelihood.tolist(), strict=True)
    box = None if seen.box is None else [seen.box.x, seen.box.y, seen.box.w, seen.box.h]
    keypoints = [{"name": name, "x": _json(x), "y": _json(y), "likelihood": _json(p)} for name, (x, y), p in numbers]
    return {
        "source": frame.source,
        "index": frame.index,
        "box": box,
        "keypoints": keypoints,
        "notes": notes,
        "picture": str(out),
    }


def _box_finder(model: Model, given: str) -> tuple[Model | None, BoxRule | None]:
    """Return the detector of a model that sees boxes, and the rule that makes them; twice None for whole frames."""
    from realtime_cropzoom.config.settings import Settings as RunSettings
    from realtime_cropzoom.inference.model import Model
    from realtime_cropzoom.inference.model_paths import model_path

    manifest = model.manifest
    if manifest.whole_frame or manifest.role == "detector" or (manifest.role is None and manifest.crop_size is None):
        return None, None
    detector = Model(model_path(given, "detector"), "detector")
    return detector, RunSettings().box_rule(detector.keypoint_names, manifest)


def _frame_lines(
    model: Model, frame: GivenFrame, seen: Look, notes: Sequence[str]
) -> list[tuple[str, str]]:  # fmt: skip
    height, width = frame.image.shape[:2]
    lines = [("frame", f"{frame.index} of {frame.source}, {width}x{height}")]
    if (box := seen.box) is not None:
        lines.append(("box", f"x {box.x:g}, y {box.y:g}, {box.w:g}x{box.h:g} px"))
    longest = max(len(quoted(name)) for name in model.keypoint_names)
    for name, (x, y), likelihood in zip(model.keypoint_names, seen.found.xy, seen.found.likelihood, strict=True):
        where = "not found" if x != x else f"x {x:7.2f}  y {y:7.2f}  likelihood {likelihood:.3f}"
        lines.append(("", f"{quoted(name):<{longest}}  {where}"))
    return [*lines, *(("note", note) for note in notes)]


def _json(value: float) -> float | None:
    return None if value != value else value


def _short_name(path: Path) -> str:
    """Return a name for the picture of a model: that of its folder if the file's says nothing."""
    return path.absolute().parent.name if path.stem in ("model", "end2end") else path.stem


def _which(model: Model) -> str:
    """Return the line that says which file of which maker runs."""
    chosen = f" ({model.file.chosen})" if model.file.chosen else ""
    return f"{model.file.onnx}{chosen}"


def _described(model: Model) -> dict[str, str]:
    from realtime_cropzoom.inference.manifest_words import describe

    lines = describe(model.manifest, _number_type(model))
    if model.manifest.input.size is None:
        lines["input"] += f"; made ready for {model.size[0]}x{model.size[1]}"
    return lines | {"assumed" if k == 0 else " " * k: text for k, text in enumerate(model.manifest.assumed)}


def _network(model: Model) -> str:
    session = model.session
    shapes = zip(session.outputs, session.output_shapes, strict=True)
    outputs = ", ".join(f"{_short(name)} {_shape(shape)}" for name, shape in shapes)
    return f"{_short(session.inputs[0])} {_shape(session.input_shape)} → {outputs}"


def _short(name: str) -> str:
    """Return the last part of a name within a network, which exporters make of the names of all layers above."""
    return name.strip("/").rpartition("/")[2]


def _shape(shape: Sequence[int | str]) -> str:
    """Return a shape; where it is open, its name, or ? for the long names that exporters make."""
    return f"({', '.join(str(side) if str(side).isalnum() else '?' for side in shape)})"


def _number_type(model: Model) -> str:
    types = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(uint8)": "uint8"}
    return types[model.session.input_type]


def _milliseconds(model: Model) -> float:
    """Return the time (ms) of one run of the network on a black picture: the shortest of five."""
    black, times_ms = [model.new_input()] * (2 * model.context_radius + 1), []
    for _ in range(5):
        begun = now_s()
        model.infer(*black)
        times_ms.append((now_s() - begun) * 1e3)
    return min(times_ms)


def _line(title: str, text: str) -> str:
    columns = terminal.columns(sys.stdout)
    return terminal.fold(f"  {title:<{_TITLE_COLUMNS}}{text}", columns)
