"""By hand: a file of which the user says what no maker's file says: its keypoints, its decoder, and what else differs.

It is the last of the makers. ``cropzoom models import FILE --keypoints A,B --set decoder=simcc geometry=affine`` writes
a file of ours from it.
"""

from __future__ import annotations

from pathlib import Path

from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.inference.makers.maker import Described, Maker, Settings
from realtime_cropzoom.inference.manifest import Coordinates, Input, Manifest, Stretch, check_names
from realtime_cropzoom.inference.onnx_file import OnnxFile

_ASSUMED = {
    "geometry": "the picture is stretched to the input",
    "input.channels": "colours are RGB, or gray if the input has one channel",
    "input.scale": "the network takes pixel / 255",
}


def read(file: OnnxFile, folder: Path | None, settings: Settings) -> Described | None:
    """Describe a file by what the user says of it.

    Args:
        file: The file.
        folder: Not used.
        settings: Names of the keypoints, and fields of the manifest with a decoder among them; else it is not for here.

    Raises:
        ModelError: if its input is no image.
    """
    given = {name for name, _ in settings.changes}
    if "decoder" not in given or not settings.keypoint_names:
        return None
    check_names(settings.keypoint_names, "the given names")
    manifest = Manifest(
        maker="custom",
        keypoint_names=settings.keypoint_names,
        input=_input(file),
        geometry=Stretch(),
        decoder=Coordinates(),  # the user's change takes its place
        assumed=tuple(f"{name}: {text}" for name, text in _ASSUMED.items() if name not in given),
    )
    return Described(manifest)


def _input(file: OnnxFile) -> Input:
    shape = file.inputs[0].shape if file.inputs else ()
    if len(shape) == 4 and shape[1] in (1, 3):
        height, width = shape[2:]
    elif len(shape) == 4 and shape[3] in (1, 3):
        height, width = shape[1:3]
    else:
        raise ModelError(
            f"{file.path} takes an input of shape {list(shape)}, expected an image: (N, 3, H, W) or (N, H, W, 3)"
        )
    first = shape[1] in (1, 3)
    size = (width, height) if isinstance(width, int) and isinstance(height, int) else None
    channels = shape[1] if first else shape[3]
    return Input(size=size, channels="gray" if channels == 1 else "rgb", layout="nchw" if first else "nhwc")


MAKER = Maker("by hand", read)
