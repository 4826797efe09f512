"""Self-describing file: one .onnx with the network that runs, its weights, and its manifest."""

from __future__ import annotations

import msgspec

from realtime_cropzoom.errors import ModelError, first_line
from realtime_cropzoom.inference.makers.cropzoom import KEY
from realtime_cropzoom.inference.model_file import ModelFile


def self_describing(file: ModelFile, created_with: str) -> bytes:
    """Return a model as one ONNX file. Metadata of its maker stays out: it may not be true of what runs.

    Args:
        file: The model on disk.
        created_with: Program that writes the file.

    Raises:
        ModelError: if its weights cannot be read, or if it is too large for one file.
    """
    import onnx  # 0.1 s, which commands without a model need not wait for

    try:
        proto = onnx.load(str(file.onnx)) if file.network is None else onnx.load_from_string(file.network)
    except Exception as error:  # protobuf's errors have no common base
        raise ModelError(f"{file.onnx} cannot be loaded as an ONNX model: {first_line(error)}") from error
    manifest = msgspec.structs.replace(
        file.manifest,
        crop_size=file.manifest.crop_size or file.trained_side,
        created_with=created_with,
    )
    del proto.metadata_props[:]
    proto.metadata_props.add(key=KEY, value=manifest.to_json())
    try:
        return bytes(proto.SerializeToString())
    except ValueError as error:  # protobuf's limit of 2 GiB
        raise ModelError(f"{file.onnx} is too large for one file ({error}); expected a model below 2 GB") from error
