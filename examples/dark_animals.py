"""Write a detector for dark animals on a bright floor: an ONNX file that finds each of them, without a training.

    python dark_animals.py dark_animals.onnx
    cropzoom run synthetic:arena,animals=2 --animals 2 --detector dark_animals.onnx --crop-size 240

It blurs what is darker than a limit over about half the width of an animal: each animal becomes one peak, as in a
centroid model of SLEAP. It serves to try things out, and where the floor is bright and clean. Shadows, walls and dark
objects are animals to it; a trained model tells them apart.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from realtime_cropzoom.inference.manifest import ConfidenceMaps, Input, Manifest, Scale


def detector(darker_than: float, width_px: float) -> onnx.ModelProto:
    """Return the network.

    Args:
        darker_than: Gray level, 0 to 255, below which a pixel may be an animal; 25 levels below it surely is.
        width_px: Width of an animal (frame pixels).
    """
    scale = min(1.0, 12 / width_px)
    sigma = 0.45 * width_px * scale
    reach = round(2.5 * sigma)
    steps = np.arange(-reach, reach + 1)
    line = np.exp(-(steps**2) / (2 * sigma**2))
    kernel = np.outer(line, line) / line.sum() ** 2
    constants = {
        "limit": np.float32(darker_than / 255),
        "steepness": np.float32(255 / 25),
        "one": np.float32(1),
        "zero": np.float32(0),
        "blur": kernel[None, None].astype(np.float32),
    }
    nodes = [
        helper.make_node("Sub", ["limit", "images"], ["darker"]),
        helper.make_node("Mul", ["darker", "steepness"], ["steep"]),
        helper.make_node("Clip", ["steep", "zero", "one"], ["dark"]),
        helper.make_node("Conv", ["dark", "blur"], ["maps"], pads=[reach] * 4),
    ]
    graph = helper.make_graph(
        nodes,
        "dark animals",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 1, "height", "width"])],
        [helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["batch", 1, "height", "width"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    manifest = Manifest(
        maker="by hand",
        kind="dark animals",
        role="detector",
        keypoint_names=("centroid",),
        input=Input(channels="gray"),
        geometry=Scale(scale),
        decoder=ConfidenceMaps(stride=1.0, threshold=0.5),
        whole_frame=True,
        score="share of dark pixels around the peak",
    )
    helper.set_model_props(model, {"cropzoom": manifest.to_json()})
    return model


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="the .onnx file to write")
    parser.add_argument("--darker-than", type=float, default=105, help="gray level of the darkest floor, 0 to 255")
    parser.add_argument("--width-px", type=float, default=48, help="width of an animal in frame pixels")
    given = parser.parse_args()
    onnx.save(detector(given.darker_than, given.width_px), given.file)
    print(f"{given.file}: finds animals darker than {given.darker_than:g} and about {given.width_px:g} px wide")


if __name__ == "__main__":
    main()
