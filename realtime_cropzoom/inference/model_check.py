"""Model check: does a network have the inputs and outputs that its manifest describes?"""

from __future__ import annotations

from collections.abc import Sequence

from realtime_cropzoom.errors import ModelError, listed, pluralize
from realtime_cropzoom.inference.context_window import CONTEXT_RADIUS
from realtime_cropzoom.inference.decoders import Shape, expected_shapes
from realtime_cropzoom.inference.manifest import Input, Manifest
from realtime_cropzoom.inference.model_file import ModelFile
from realtime_cropzoom.inference.onnx_session import Session

_NAMED = 30
"""Number of keypoints that an error text names."""


def input_shape(model_input: Input, size: tuple[int, int]) -> tuple[int, int, int]:
    """Return the shape of one picture as the network takes it, without the batch.

    Args:
        model_input: What the network takes.
        size: (W, H) in pixels.
    """
    channels = 1 if model_input.channels == "gray" else 3
    width, height = size
    return (channels, height, width) if model_input.layout == "nchw" else (height, width, channels)


def whole_shape(manifest: Manifest, size: tuple[int, int]) -> tuple[int, ...]:
    """Return the shape of one frame's input, without the batch: five pictures for a context model.

    Args:
        manifest: Description of the network.
        size: (W, H) in pixels.
    """
    picture = input_shape(manifest.input, size)
    return (2 * CONTEXT_RADIUS + 1, *picture) if manifest.context else picture


def check_network(file: ModelFile, session: Session, size: tuple[int, int]) -> None:
    """Check that a network fits its manifest.

    Args:
        file: The model on disk.
        session: The loaded network.
        size: (W, H) of the input (pixels).

    Raises:
        ModelError: if it does not.
    """
    _check_input(file, session, size)
    expected = expected_shapes(file.manifest.decoder, len(file.manifest.keypoint_names), size)
    if len(session.outputs) < len(expected):
        raise ModelError(
            f"{file.onnx} gives {pluralize(len(session.outputs), 'output')}; {_whose(file.manifest)} gives "
            f"{len(expected)}: {_forms(expected)}; export it again"
        )
    check_outputs(file, session.output_shapes, size)


def check_outputs(file: ModelFile, shapes: Sequence[Sequence[int | str]], size: tuple[int, int]) -> None:
    """Check that outputs have the shapes that their manifest describes.

    Args:
        file: The model on disk.
        shapes: Shapes of the outputs with their batch: what the network says, or what a run of it gave.
        size: (W, H) of the input (pixels).

    Raises:
        ModelError: if they do not.
    """
    expected = expected_shapes(file.manifest.decoder, len(file.manifest.keypoint_names), size)
    for shape, wanted in zip(shapes, expected, strict=False):
        if not _fits(shape[1:], wanted):
            raise ModelError(
                f"{file.onnx} gives an output of shape {list(shape)}; {_whose(file.manifest)} gives "
                f"{_forms(expected)}; export it again"
            )


def _check_input(file: ModelFile, session: Session, size: tuple[int, int]) -> None:
    manifest, shape = file.manifest, session.input_shape
    wanted: Shape = whole_shape(manifest, size)
    if len(session.inputs) != 1 or not session.supports_input() or not _fits(shape[1:], wanted):
        raise ModelError(
            f"{file.onnx} takes {_inputs(session)}; {_whose(manifest)} takes one image {_form(wanted)} of float or "
            "uint8; export it again"
        )
    if isinstance(shape[0], int) and shape[0] != 1:
        raise ModelError(f"{file.onnx} takes batches of {shape[0]}; export it with batch 1 or an open batch size")


def _fits(shape: Sequence[int | str], wanted: Shape) -> bool:
    """Return whether a shape can be the wanted one. Where it is open, it can be any."""
    if len(shape) != len(wanted):
        return False
    return all(
        not isinstance(side, int) or number is None or side == number
        for side, number in zip(shape, wanted, strict=True)
    )


def _whose(manifest: Manifest) -> str:
    names = manifest.keypoint_names
    kind = f"{manifest.kind} model" if manifest.kind else "model"
    few = names if len(names) <= _NAMED else (*names[:_NAMED], "…")
    return f"a {manifest.maker} {kind} of {pluralize(len(names), 'keypoint')} ({listed(few)})"


def _inputs(session: Session) -> str:
    if len(session.inputs) == 1:
        return f"{session.input_type} of shape {session.input_shape}"
    return f"{len(session.inputs)} inputs ({listed(session.inputs)})"


def _forms(shapes: Sequence[Shape]) -> str:
    return " and ".join(map(_form, shapes))


def _form(shape: Shape) -> str:
    return f"(N, {', '.join('any' if side is None else str(side) for side in shape)})"
