"""Export a model of DeepLabCut 3 to one ONNX file for cropzoom: the script that ``cropzoom export-deeplabcut`` runs.

It runs in the Python environment of DeepLabCut, not in that of cropzoom: it needs deeplabcut, torch and onnx, and
imports nothing of cropzoom. It loads a snapshot through DeepLabCut's public functions, writes what the network's head
gives (heatmaps and offsets, or the two classifications of RTMPose), and compares the file with PyTorch.

    python export_deeplabcut.py dlc-models-pytorch/iteration-0/NAME-shuffle1/train

``describe`` says how such a network is shown a frame and how its output is read. cropzoom uses it, too, for files
that carry these facts and no manifest.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

CONFIG = "pytorch_config.yaml"
"""The file that DeepLabCut writes beside its snapshots."""
TOLERANCE = 1e-3
"""Largest difference between the outputs of the file and of PyTorch at which the file is kept; in shares of the largest
value of an output if that is above 1."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""What DeepLabCut subtracts and divides by, of pixels from 0 to 1."""
_HARMLESS = ("resize", "auto_padding", "normalize_images", "scale_to_unit_range", "top_down_crop", "collate")
"""Steps of ``data: inference:`` that are understood, or that concern training alone."""
_OPSET = 17


class NotPossible(Exception):
    """A model that cannot be exported; the text says why, and what to do."""


def describe(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest of a network, as JSON has it.

    Source: DeepLabCut 3.0.2, its PyTorch engine.

    Args:
        facts: ``net_type``, ``method``, ``bodyparts``, ``stride``, ``predictor``, ``data_inference`` and ``colormode``
            as ``pytorch_config.yaml`` has them, and ``deeplabcut_version``.

    Raises:
        NotPossible: if cropzoom cannot do what DeepLabCut would.
        KeyError: if a fact is missing. TypeError, ValueError, AttributeError: if one is of another kind.
    """
    method, inference = facts["method"], facts["data_inference"]
    if method not in ("bu", "td"):
        raise NotPossible(f"its method is {method!r}, expected bu or td: a model that needs poses as input cannot run")
    unknown = [step for step, value in inference.items() if value and step not in _HARMLESS]
    if unknown:
        raise NotPossible(f"data: inference: has {', '.join(unknown)}, which changes each picture. Set it to null")
    decoder, outputs, score = _decoder(facts)
    assumed: list[str] = []
    size, geometry = _crop(inference) if method == "td" else _whole_frame(inference, assumed)
    return {
        "maker": "DeepLabCut",
        "maker_version": str(facts.get("deeplabcut_version", "")),
        "kind": facts["net_type"],
        "keypoint_names": list(facts["bodyparts"]),
        "input": {"size": size, **_values(facts, inference)},
        "geometry": geometry,
        "decoder": decoder,
        "outputs": outputs,
        "role": "pose" if method == "td" else None,
        "whole_frame": method == "bu",
        "score": score,
        "created_with": "cropzoom export-deeplabcut",
        "assumed": assumed,
    }


def _decoder(facts: Mapping[str, Any]) -> tuple[dict[str, Any], list[str], str]:
    """Return decoder, names of the outputs, and what the likelihood is."""
    given = facts["predictor"]
    if given["type"] == "HeatmapPredictor":
        refined = given.get("location_refinement", True)
        decoder = {
            "type": "heatmap_offsets",
            "stride": facts["stride"],
            "offset_scale": given.get("locref_std", 7.2801) if refined else None,
            "sigmoid": given.get("apply_sigmoid", True),
            "clip": given.get("clip_scores", False),
        }
        return decoder, ["heatmap", "locref"] if refined else ["heatmap"], "value of the heatmap"
    if given["type"] == "SimCCPredictor":
        return _simcc(given, facts["data_inference"]), ["simcc_x", "simcc_y"], "smaller of the two softmax maxima"
    raise NotPossible(
        f"its predictor is {given['type']}; expected HeatmapPredictor or SimCCPredictor: models for several animals "
        "cannot run"
    )


def _simcc(given: Mapping[str, Any], inference: Mapping[str, Any]) -> dict[str, Any]:
    sigma = given.get("sigma", 6.0)
    sigmas = set(sigma) if isinstance(sigma, list) else {sigma}
    if len(sigmas) != 1 or given.get("normalize_outputs", False) or not given.get("apply_softmax", True):
        raise NotPossible(
            "its predictor has two values of sigma, normalize_outputs, or no softmax; expected those of rtmpose_s, _m "
            "or _x"
        )
    split = given.get("simcc_split_ratio", 2.0)
    return {
        "type": "simcc",
        "split": split,
        "sharpening": sigmas.pop() * given.get("decode_beta", 150.0),
        "score": "minimum",
        "floor": 1 / (_crop(inference)[0][0] * split),
    }


def _values(facts: Mapping[str, Any], inference: Mapping[str, Any]) -> dict[str, Any]:
    """Return channels and normalisation of the input."""
    channels = str(facts.get("colormode", "RGB")).lower()
    if inference.get("normalize_images", True):
        return {"channels": channels, "scale": 1 / 255, "mean": MEAN, "std": STD}
    return {"channels": channels, "scale": 1 / 255 if inference.get("scale_to_unit_range") else 1.0}


def _crop(inference: Mapping[str, Any]) -> tuple[list[int], dict[str, Any]]:
    """Return size and geometry of the input of a top-down model."""
    crop = inference.get("top_down_crop") or {}
    if crop.get("margin", 0) or not crop.get("crop_with_context", True):
        raise NotPossible("top_down_crop has a margin, or crop_with_context is false; expected 0 and true")
    if inference.get("resize"):
        raise NotPossible("data: inference: has both top_down_crop and resize; expected one of them")
    size = [crop.get("width", 256), crop.get("height", 256)]
    return size, {"type": "stretch", "resize": "uint8", "widen": True}


def _whole_frame(inference: Mapping[str, Any], assumed: list[str]) -> tuple[list[int] | None, dict[str, Any]]:
    """Return size and geometry of the input of a model for whole frames; None for any size."""
    resize, padding = inference.get("resize"), inference.get("auto_padding")
    if resize and padding:
        raise NotPossible("data: inference: has both resize and auto_padding; expected one of them")
    if resize:
        size = [resize["width"], resize["height"]]
        if resize.get("keep_ratio", True):
            return size, {"type": "letterbox", "colour": 0, "place": "top_left"}
        return size, {"type": "stretch", "resize": "uint8"}
    return None, _padding(padding, assumed) if padding else {"type": "scale"}


def _padding(given: Mapping[str, Any], assumed: list[str]) -> dict[str, Any]:
    """Return the geometry of frames that are padded to a multiple of some pixels."""
    across, down = given.get("pad_width_divisor", 1), given.get("pad_height_divisor", 1)
    if across != down or across is None or given.get("min_height") or given.get("min_width"):
        raise NotPossible("auto_padding has two divisors, or a least size; expected one divisor for width and height")
    border, place = given.get("border_mode", "reflect_101"), given.get("position", "random")
    if border not in ("reflect_101", "constant") or given.get("border_value"):
        raise NotPossible(f"auto_padding has border_mode {border!r}; expected reflect_101, or constant without a value")
    if place != "top_left":
        assumed.append(
            f"DeepLabCut puts a frame whose sides are no multiple of {across} px at the place {place!r} of the input, "
            "and its own numbers then vary; here it lies at the top left"
        )
    return {"type": "scale", "multiple": across, "border": "reflect" if border == "reflect_101" else "zero"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Export a model, and return the exit code: 0, or 2 after one line that says why not."""
    parser = argparse.ArgumentParser(description="Export a model of DeepLabCut 3 to one ONNX file for cropzoom.")
    parser.add_argument("model", type=Path, metavar="MODEL", help=f"folder with {CONFIG} and snapshots: …/train")
    parser.add_argument("--snapshot", type=Path, help="snapshot to export (default: the best one, else the last one)")
    parser.add_argument("--out", type=Path, help="file to write (default: beside the snapshot, with its name)")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    try:
        _export(parser.parse_args(arguments))
    except NotPossible as error:
        print(f"export-deeplabcut: {error}", file=sys.stderr)
        return 2
    return 0


def _export(arguments: argparse.Namespace) -> None:
    folder = find_folder(arguments.model)
    snapshot = choose_snapshot(folder, arguments.snapshot)
    out = arguments.out or snapshot.with_suffix(".onnx")
    if out.exists() and not arguments.overwrite:
        raise NotPossible(f"{out} exists already. Add --overwrite to replace it, or give another file with --out")
    network = _load(folder / CONFIG, snapshot)
    print(f"exporting {snapshot}")
    unfinished = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        _write(network, unfinished)
        difference = _largest_difference(network, unfinished)
        print(f"largest difference between the file and PyTorch: {difference:.1e}")
        if not difference <= TOLERANCE:
            raise NotPossible(
                f"the file and PyTorch differ by {difference:.1e}, expected at most {TOLERANCE:g}. Try another version "
                "of torch"
            )
        unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)
    print(f"keypoints: {', '.join(map(repr, network.manifest['keypoint_names']))}")
    for sentence in network.manifest["assumed"]:
        print(f"note: {sentence}")
    print(out)


def find_folder(given: Path) -> Path:
    """Return the folder with the configuration of a model: the given one, that of the given file, or ``train`` in it.

    Raises:
        NotPossible: if there is none, or several.
    """
    folder = given.parent if given.name == CONFIG else given
    for place in (folder, folder / "train"):
        if (place / CONFIG).is_file():
            return place
    if any((place / "pose_cfg.yaml").is_file() for place in (folder, folder / "train")):
        raise NotPossible(
            f"{given} is a model of DeepLabCut's TensorFlow engine; expected one of its PyTorch engine. Train the "
            "shuffle again with engine: pytorch"
        )
    found = sorted(str(path.parent) for path in folder.glob(f"dlc-models-pytorch/*/*/train/{CONFIG}"))
    if found:
        raise NotPossible(f"{given} is a project; expected the folder of one of its models. Give one of: {found}")
    raise NotPossible(f"{given} has no {CONFIG}; expected the train folder of a model of DeepLabCut 3")


def choose_snapshot(folder: Path, given: Path | None) -> Path:
    """Return the snapshot to export: the given one, else the best one, else that of the last epoch.

    Raises:
        NotPossible: if there is none.
    """
    if given is not None:
        there = [path for path in (given, folder / given) if path.is_file()]
        if not there:
            raise NotPossible(f"there is no snapshot {given}. {_names_of(folder)}")
        return there[0]
    snapshots = [path for path in folder.glob("*.pt") if re.search(r"-\d+$", path.stem)]
    snapshots = [path for path in snapshots if "detector" not in path.stem]
    if not snapshots:
        raise NotPossible(f"{folder} has no snapshot such as snapshot-best-100.pt; train the model first")
    return max(snapshots, key=lambda path: ("-best-" in path.stem, int(path.stem.rpartition("-")[2])))


def _names_of(folder: Path) -> str:
    names = sorted(path.name for path in folder.glob("*.pt"))
    return f"{folder} has {', '.join(names)}" if names else f"{folder} has none"


class _Network:
    """A loaded model of DeepLabCut, with its manifest."""

    def __init__(self, module: Any, manifest: dict[str, Any]) -> None:
        self.module = module
        """The model as torch has it: an image → the outputs that the manifest names."""
        self.manifest = manifest
        size = manifest["input"]["size"]
        self.sizes: list[tuple[int, int]] = [tuple(size)] if size else _sizes(manifest["geometry"])
        """(width, height) of the pictures on which the file is compared with PyTorch."""
        self.any_size = size is None


def _sizes(geometry: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Return sizes that a network for whole frames takes: two are not a multiple of a stride unless they must be."""
    return [(256, 192), (320, 224)] if geometry.get("multiple", 1) > 1 else [(250, 190), (321, 203)]


def _load(config_path: Path, snapshot: Path) -> _Network:
    """Load a snapshot through DeepLabCut's public functions."""
    try:
        import onnx  # noqa: F401  # asked for before the long work begins
    except ImportError:
        raise NotPossible(f"the library onnx is missing. Run: {sys.executable} -m pip install onnx") from None
    try:
        import deeplabcut
        import torch
        from deeplabcut.core.config import read_config_as_dict
        from deeplabcut.pose_estimation_pytorch import get_pose_inference_runner
    except ImportError as error:
        raise NotPossible(
            f"{sys.executable} cannot import DeepLabCut 3 ({error}). Run this with the Python of your DeepLabCut "
            "environment: python -c 'import sys; print(sys.executable)' prints it there"
        ) from error
    config = read_config_as_dict(config_path)
    try:
        _refuse_heads(config["model"]["heads"])
        runner = get_pose_inference_runner(config, snapshot_path=snapshot, batch_size=1, device="cpu")
        model = runner.model.eval()
        manifest = describe(
            {
                "deeplabcut_version": deeplabcut.__version__,
                "net_type": config["net_type"],
                "method": config["method"],
                "bodyparts": config["metadata"]["bodyparts"],
                "stride": model.get_stride("bodypart"),
                "predictor": config["model"]["heads"]["bodypart"]["predictor"],
                "data_inference": config["data"]["inference"],
                "colormode": config["data"]["colormode"],
            }
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise NotPossible(f"{config_path} is not a configuration of DeepLabCut 3 as far as known: {error!r}") from error
    except RuntimeError as error:
        raise NotPossible(f"{snapshot} does not fit {config_path}: {str(error).splitlines()[0]}") from error
    return _Network(_outputs_of(torch, model, manifest["outputs"]), manifest)


def _refuse_heads(heads: Mapping[str, Any]) -> None:
    others = [name for name in heads if name != "bodypart"]
    if others:
        raise NotPossible(
            f"it has the heads {', '.join(heads)}; expected bodypart alone: unique bodyparts and identities cannot run"
        )


def _outputs_of(torch: Any, model: Any, names: Sequence[str]) -> Any:
    """Return a module that gives the outputs of a model's head as a tuple, in the order of ``names``."""
    keys = [name.removeprefix("simcc_") for name in names]

    class Outputs(torch.nn.Module):  # type: ignore[misc]  # torch is Any where it is not installed
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, image: Any) -> tuple[Any, ...]:
            found = self.model(image)["bodypart"]
            return tuple(found[key] for key in keys)

    return Outputs().eval()


def _write(network: _Network, path: Path) -> None:
    """Write the network with its manifest."""
    import onnx
    import torch

    width, height = network.sizes[0]
    names = network.manifest["outputs"]
    open_axes = {name: {0: "batch"} for name in ("image", *names)}
    if network.any_size:
        open_axes["image"] |= {2: "height", 3: "width"}
        for name in names:
            open_axes[name] |= {2: "rows", 3: "columns"}
    options: dict[str, Any] = {"opset_version": _OPSET, "input_names": ["image"], "output_names": names}
    if "dynamo" in inspect.signature(torch.onnx.export).parameters:
        options["dynamo"] = False  # the other exporter needs another library
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network.module, (torch.zeros(1, 3, height, width),), str(path), dynamic_axes=open_axes, **options
        )
    proto = onnx.load(str(path))
    onnx.helper.set_model_props(proto, {"cropzoom": json.dumps(network.manifest)})
    onnx.checker.check_model(proto)
    onnx.save(proto, str(path))


def _largest_difference(network: _Network, path: Path) -> float:
    """Return the largest difference between the outputs of a file and of PyTorch, on pictures of noise."""
    import torch

    run, largest = _runtime(path), 0.0
    torch.manual_seed(0)
    for width, height in network.sizes:
        image = torch.randn(1, 3, height, width)
        with torch.no_grad():
            expected = network.module(image)
        for found, wanted in zip(run(image.numpy()), expected, strict=True):
            if found.shape != tuple(wanted.shape):
                raise NotPossible(f"the file gives the shape {found.shape}, but PyTorch {tuple(wanted.shape)}")
            values = wanted.numpy()
            largest = max(largest, float(abs(found - values).max() / max(1, abs(values).max())))
    return largest


def _runtime(path: Path) -> Callable[[Any], list[Any]]:
    """Return a function that runs a file: by ONNX Runtime where it is installed, else by the library ``onnx``."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # nothing is sent to its maker
    try:
        import onnxruntime
    except ImportError:
        from onnx.reference import ReferenceEvaluator

        print("comparing the file with PyTorch; without onnxruntime this may take minutes")
        evaluator = ReferenceEvaluator(str(path))
        return lambda image: list(evaluator.run(None, {"image": image}))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda image: list(session.run(None, {"image": image}))


if __name__ == "__main__":
    sys.exit(main())
