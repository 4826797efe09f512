"""Models of DeepLabCut: ``export-deeplabcut``, which hands a script to the Python environment of DeepLabCut."""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from realtime_cropzoom.cli.common import add_overwrite, check_free, say_next
from realtime_cropzoom.cli.values import a_path
from realtime_cropzoom.errors import EXIT_BAD_INPUT, ConfigError, ModelError
from realtime_cropzoom.files.atomic import write_all
from realtime_cropzoom.runtime.signals import signals_held_back

_FIND_PYTHON = "in that environment, python -c 'import sys; print(sys.executable)' prints its path"


def register(commands: Any) -> None:
    """Add the command to the parser."""
    export = commands.add_parser(
        "export-deeplabcut",
        help="make one .onnx file of a model of DeepLabCut 3, with DeepLabCut's own Python",
    )
    export.add_argument(
        "model", type=a_path, nargs="?", metavar="MODEL",
        help="folder with pytorch_config.yaml and snapshots: dlc-models-pytorch/iteration-N/NAME/train",
    )  # fmt: skip
    export.add_argument(
        "--python", type=a_path, metavar="PYTHON",
        help="Python of the environment in which DeepLabCut is installed, or the folder of that environment",
    )  # fmt: skip
    export.add_argument(
        "--script", type=a_path, metavar="FILE.py",
        help="write the script instead, to run it on the computer with DeepLabCut",
    )  # fmt: skip
    export.add_argument("--snapshot", metavar="FILE.pt", help="snapshot to export (default: the best, else the last)")
    export.add_argument(
        "--out", type=a_path, metavar="FILE.onnx", help="file to write (default: beside the snapshot, with its name)"
    )
    add_overwrite(export)
    export.set_defaults(command=_export)


def _export(arguments: argparse.Namespace) -> int:
    if arguments.script is not None:
        return _write_script(arguments)
    if arguments.model is None:
        raise ConfigError("export-deeplabcut: MODEL is missing; give the train folder of a model of DeepLabCut 3")
    if arguments.python is None:
        raise ConfigError(
            "export-deeplabcut needs the Python of your DeepLabCut environment. Give it with --python "
            f"({_FIND_PYTHON}), or write the script with --script and run it there"
        )
    python = _python(arguments.python)
    with signals_held_back():
        from realtime_cropzoom.inference.makers import export_deeplabcut as script
    try:  # what can be refused at once, before DeepLabCut's slow start
        folder = script.find_folder(arguments.model)
        snapshot = script.choose_snapshot(folder, None if arguments.snapshot is None else Path(arguments.snapshot))
    except script.NotPossible as error:
        raise ModelError(str(error)) from None
    out = arguments.out or snapshot.with_suffix(".onnx")
    check_free(out, overwrite=arguments.overwrite)
    code = _run(python, [folder, "--snapshot", snapshot.resolve(), "--out", out, "--overwrite"])
    if code == 0:
        say_next("models", out)
    return code


def _write_script(arguments: argparse.Namespace) -> int:
    check_free(arguments.script, overwrite=arguments.overwrite)
    write_all({arguments.script: script_text()})
    print(arguments.script)
    print("Run it with the Python of DeepLabCut:")
    print(f"  python {arguments.script.name} {arguments.model or 'MODEL'}")
    return 0


def script_text() -> str:
    """Return the script. It needs nothing of this package."""
    from realtime_cropzoom.inference.makers import export_deeplabcut

    return Path(export_deeplabcut.__file__).read_text(encoding="utf-8")


def _python(given: Path) -> Path:
    """Return the Python that is given, or that of the environment whose folder is given. Raises ConfigError."""
    python = given / "bin" / "python" if given.is_dir() else given
    if not python.is_file():
        raise ConfigError(f"--python: there is no {python}; {_FIND_PYTHON}")
    return python


def _run(python: Path, arguments: list[Any]) -> int:
    """Run the script, which prints what it does. Its folder holds nothing else, so that it imports nothing of ours."""
    with tempfile.TemporaryDirectory(prefix="cropzoom-") as folder:
        path = Path(folder) / "export_deeplabcut.py"
        path.write_text(script_text(), encoding="utf-8")
        try:
            code = subprocess.run([python, path, *arguments]).returncode
        except OSError as error:
            raise ConfigError(f"--python: {python} cannot be started: {error.strerror}; {_FIND_PYTHON}") from error
    if code not in (0, EXIT_BAD_INPUT):
        raise ModelError(f"the export failed in {python}; the lines above say why")
    return code
