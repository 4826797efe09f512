"""RTMPose: reads SimCC networks that MMDeploy wrote, or that came with rtmlib, and runs them as rtmlib does.

Such a file has no metadata. Two outputs called ``simcc_x`` and ``simcc_y`` tell what it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from realtime_cropzoom.errors import ModelError, advise, shorten
from realtime_cropzoom.inference.makers.maker import Described, Maker, Settings
from realtime_cropzoom.inference.makers.names import choose_names, how_to_name
from realtime_cropzoom.inference.manifest import Affine, Input, Manifest, SimCC
from realtime_cropzoom.inference.onnx_file import OnnxFile

NAME = "RTMPose"
OUTPUTS = ("simcc_x", "simcc_y")
_ASSUMED = (
    "the file does not say how pictures get into the input: as rtmlib 0.0.16 does it, the box 1.25 times as large, in "
    "BGR order, with the ImageNet means and deviations of RGB",
    "it was trained on boxes around single animals",
)


def read(file: OnnxFile, folder: Path | None, settings: Settings) -> Described | None:
    """Describe a file by its inputs and outputs.

    Args:
        file: The file.
        folder: Not used.
        settings: Names of the keypoints; the file has none.

    Raises:
        ModelError: if its inputs and outputs are not those of RTMPose, or if the keypoints have no names.
    """
    if not set(OUTPUTS) <= {output.name for output in file.outputs}:
        return None
    size = _size(file)
    count, split = _count_and_split(file, size, settings)
    names, assumed = choose_names(file.path, count, settings.keypoint_names)
    manifest = Manifest(
        maker=NAME,
        keypoint_names=names,
        input=Input(size, "bgr", scale=1.0, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)),
        geometry=Affine(padding=1.25),
        decoder=SimCC(split),
        outputs=OUTPUTS,
        kind="SimCC",
        role="pose",
        score="mean of the highest values of columns and rows; it may exceed 1",
        assumed=(*_ASSUMED, *([assumed] if assumed else [])),
    )
    return Described(manifest)


def _size(file: OnnxFile) -> tuple[int, int]:
    match file.inputs[0].shape if len(file.inputs) == 1 else ():
        case (_, 3, int(height), int(width)):
            return width, height
    shapes = [list(given.shape) for given in file.inputs]
    raise ModelError(
        f"{file.path} takes {shorten(shapes)}; expected one picture (N, 3, H, W) of a fixed size; export it again"
    )


def _count_and_split(file: OnnxFile, size: tuple[int, int], settings: Settings) -> tuple[int, float]:
    """Return the number of keypoints, and of bins per pixel."""
    match [_inferred_shape(file, size, name) for name in OUTPUTS]:
        case [[_, x_count, int(x_bins)], [_, y_count, int(y_bins)]] if x_bins / size[0] == y_bins / size[1]:
            count = next((n for n in (x_count, y_count) if isinstance(n, int)), len(settings.keypoint_names))
            if count:
                return count, x_bins / size[0]
            raise ModelError(
                f"{file.path} does not say how many keypoints it has. "
                + advise("Give their names in order with --keypoints a,b,…", how_to_name(file.path))
            )
    shapes = [list(output.shape) for output in file.outputs if output.name in OUTPUTS]
    raise ModelError(
        f"{file.path} gives outputs of shape {shorten(shapes)}; RTMPose has (N, keypoints, bins) twice, with as many "
        "bins per column as per row; export it again"
    )


def _inferred_shape(file: OnnxFile, size: tuple[int, int], name: str) -> Sequence[int | str]:
    """Return the shape of an output, which follows from the operators: exports leave the number of keypoints open."""
    import onnx

    declared = next(output.shape for output in file.outputs if output.name == name)
    if all(isinstance(side, int) for side in declared[1:]):
        return declared
    proto = onnx.ModelProto()
    proto.CopyFrom(file.proto)
    picture = next(value for value in proto.graph.input if value.name == file.inputs[0].name)
    picture.type.tensor_type.shape.dim[0].dim_value = 1
    for output in proto.graph.output:
        output.type.tensor_type.ClearField("shape")
    try:
        inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError):  # it is too large, or contradicts itself
        return declared
    found = next(output.type.tensor_type.shape.dim for output in inferred.graph.output if output.name == name)
    if len(found) != len(declared):
        return declared
    return [side.dim_value or before for side, before in zip(found, declared, strict=True)]


MAKER = Maker(NAME, read)
