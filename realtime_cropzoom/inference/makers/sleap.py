"""SLEAP: exports of sleap-nn, refined as ``sleap-nn predict`` refines them.

An export takes a frame and gives peaks on the grid of its cells. Its own predictor resizes with another filter, adds
the fraction of the crop's corner and refines each peak, so it finds other keypoints than the file. Here the network is
taken out of the export (``sleap_graph``), and the rest is done as the predictor does it. A combined export holds two
networks: as detector it is the one of the centroids, as pose model that of the crops; a run takes it as both.

The file carries its description as JSON; older ones have it beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import structs

from realtime_cropzoom.errors import ModelError, pluralize, shorten
from realtime_cropzoom.files.paths import is_there
from realtime_cropzoom.inference.graph_cut import cut
from realtime_cropzoom.inference.makers.maker import Choice, Described, Maker, Settings, Wanted
from realtime_cropzoom.inference.makers.names import choose_names
from realtime_cropzoom.inference.makers.sleap_graph import Graph, Part
from realtime_cropzoom.inference.makers.sleap_training import Training, read_training
from realtime_cropzoom.inference.manifest import (
    MAX_SIDE,
    ConfidenceMaps,
    Decoder,
    Geometry,
    GridPeaks,
    Input,
    Letterbox,
    Manifest,
    Role,
    Scale,
    check_manifest,
)
from realtime_cropzoom.inference.onnx_file import OnnxFile

_EMBEDDED, _CONFIG = "sleap_nn_metadata", "training_config"
"""Entries of an export's metadata: its description, and the configuration of its training."""
_BESIDE = "export_metadata.json"
"""The same description beside the export."""
_MAX_LENGTH = 1 << 20
"""Maximum length of a description. That of a large skeleton has 10 kB."""
_MAX_SCALE = 16
"""Maximum scale of a network's picture."""
_KINDS = ("centroid", "centered_instance", "single_instance", "topdown")
_NETWORKS: dict[Role | None, str] = {"detector": "centroid", "pose": "centered_instance"}
"""Which network of a combined export a role needs."""
_THRESHOLD = 0.2
"""Least height of a peak in sleap-nn, if the export states none."""
_USUAL_STRIDE = 32
"""Multiple of the input's sides that suits networks with up to five halvings, as nearly all of SLEAP are."""


class _Export(msgspec.Struct, frozen=True):
    """What sleap-nn writes of an export, as far as it counts here."""

    model_type: str
    node_names: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    output_stride: float
    input_scale: float = 1.0
    input_channels: int = 1
    edge_inds: tuple[tuple[int, int], ...] = ()
    crop_size: tuple[int, int] | int | None = None
    """(height, width), or the side."""
    peak_threshold: float | None = None
    anchor_part: str | None = None
    normalization: str = "0_to_1"
    sleap_nn_version: str = ""


def find(folder: Path, wanted: Wanted) -> Choice | None:
    """Find the file of an export.

    Args:
        folder: The folder of an export, or of a training.
        wanted: Which precision.

    Raises:
        ModelError: if the folder is one of sleap-nn, and has no such file.
    """
    exported, onnx = is_there(folder / _BESIDE), folder / "model.onnx"
    if not exported and not any(is_there(folder / f"training_config.{kind}") for kind in ("yaml", "json")):
        return None
    if not is_there(onnx):
        model = "MODEL_FOLDER" if exported else folder
        raise ModelError(f"{folder} has no model.onnx; run: sleap-nn export {model} -o NEW_FOLDER -f onnx")
    if wanted.precision not in (None, "fp32"):
        raise ModelError(f"{folder} has no {wanted.precision} export, only model.onnx, which is fp32; ask for fp32")
    return Choice(onnx)


def read(file: OnnxFile, folder: Path | None, settings: Settings) -> Described | None:
    """Describe an export.

    Args:
        file: The export.
        folder: Not used: the description lies in the file, or beside it.
        settings: Names of the keypoints, and the role in which a combined export is used.

    Raises:
        ModelError: if it is an export of sleap-nn, but of a kind that cannot run here, or is not valid.
    """
    text = _description(file)
    if text is None:
        return None
    export = _read_export(text, file)
    combined = export.model_type == "topdown"
    kind = _NETWORKS.get(settings.role, "topdown") if combined else export.model_type
    trained = "centered_instance" if kind == "topdown" else kind
    training = read_training(file.metadata.get(_CONFIG, ""), trained, part=trained if combined else "")
    described = _Use(file, export, kind, training, settings).describe()
    check_manifest(described.manifest, file.path)
    return described


def _description(file: OnnxFile) -> str | None:
    if _EMBEDDED in file.metadata:
        return file.metadata[_EMBEDDED]
    beside = file.path.parent / _BESIDE
    if not is_there(beside):
        return None
    try:
        with beside.open("rb") as opened:
            return opened.read(_MAX_LENGTH + 1).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{beside} cannot be read: {shorten(str(error), 200)}") from error


def _read_export(text: str, file: OnnxFile) -> _Export:
    try:
        export = msgspec.json.decode(text if len(text) <= _MAX_LENGTH else "", type=_Export)
    except msgspec.DecodeError as error:
        raise ModelError(
            f"{file.path}: its SLEAP metadata is not valid ({shorten(str(error), 200)}); run sleap-nn export again"
        ) from error
    if export.model_type not in _KINDS:
        raise ModelError(
            f"{file.path} is a {shorten(export.model_type)} model of SLEAP; expected {', '.join(_KINDS)}. Train one of "
            "these kinds for a single animal, and export it"
        )
    if export.normalization != "0_to_1" or export.input_channels not in (1, 3):
        channels = pluralize(export.input_channels, "channel")
        raise ModelError(
            f"{file.path} takes {channels}, normalised as {shorten(export.normalization)}; expected 1 or 3 channels, "
            "normalised as 0_to_1, as sleap-nn exports them"
        )
    if not (0 < export.input_scale <= _MAX_SCALE and 1 <= export.output_stride <= MAX_SIDE):
        raise ModelError(
            f"{file.path} has input_scale {export.input_scale:g} and output_stride {export.output_stride:g}; expected "
            f"a scale above 0, up to {_MAX_SCALE}, and a stride of 1 or more. Run sleap-nn export again"
        )
    return export


@dataclass(frozen=True, slots=True)
class _Use:
    """An export, and the kind of model as which it is used."""

    file: OnnxFile
    export: _Export
    kind: str
    """A network of a combined export, or that export as a whole (``topdown``); else the kind of the export."""
    training: Training
    settings: Settings

    def describe(self) -> Described:
        """Describe the network inside of the export; the export as it is if the network cannot be told from it."""
        part, channels = self._part(), self.export.input_channels
        network = None
        if part is not None and part.maps == len(self._names()):
            network = cut(self.file.proto, part.begin, part.end, (channels, part.maps), self.file.path)
        if part is None or network is None:
            whole = self if self.export.model_type != "topdown" else replace(self, kind="topdown")
            return Described(whole._as_it_is())
        stride, scale = self._grid(part)
        decoder = ConfidenceMaps(stride, self._threshold())
        manifest = self._manifest(Scale(scale, self._multiple()), decoder, *self._padding())
        both = self.export.model_type == "topdown" and self.kind == "centered_instance"
        return Described(manifest, network, has_detector=both)

    def _part(self) -> Part | None:
        graph = Graph(self.file.proto.graph)
        if self.kind == "topdown":
            return None
        if self.kind != self.export.model_type and self.kind == "centered_instance":
            return graph.network_of_crops()
        return graph.network(resized=self.export.input_scale != 1)

    def _grid(self, part: Part) -> tuple[float, float]:
        """Return the stride and the scale of a network. A combined export states one of them for each."""
        stride, scale = self.export.output_stride, self.export.input_scale
        if self.kind == self.export.model_type:
            return stride, scale
        if self.kind == "centroid":
            return self.training.output_stride or stride, scale
        side = self._crop_size()
        return stride, part.resized_to[0] / side if part.resized_to is not None and side is not None else 1.0

    def _as_it_is(self) -> Manifest:
        """Describe the export with the peaks that it finds itself."""
        graph, scale, stride = Graph(self.file.proto.graph), self.export.input_scale, self.export.output_stride
        step = stride if self.kind == "topdown" else stride / scale
        size = None if graph.size is None else (round(graph.size[1] / scale), round(graph.size[0] / scale))
        notes = [
            f"keypoints lie on a grid of {step:g} px, as the file gives them, because its maps cannot be taken out"
        ]
        if self.kind == "topdown" and self.settings.role is None:
            notes = [
                f"as one model it gives keypoints on a grid of {step:g} px; as detector and as pose model, refined ones"
            ]
        if size is not None:
            notes.append(f"the file is right for images of {size[0]}x{size[1]} only; others are fitted into that size")
        else:
            notes += self._padding()
        decoder = GridPeaks(step, self._threshold(), several=self.kind in ("centroid", "topdown"))
        geometry = Scale(multiple=self._multiple()) if size is None else Letterbox(0, "top_left")
        manifest = self._manifest(geometry, decoder, *notes)
        outputs = ("centroids", "centroid_vals") if self.kind == "centroid" else ("peaks", "peak_vals")
        return structs.replace(manifest, outputs=outputs, input=structs.replace(manifest.input, size=size))

    def _manifest(self, geometry: Geometry, decoder: Decoder, *notes: str) -> Manifest:
        names = self._names()
        of_crops = self.kind == "centered_instance"
        roles: dict[str, Role] = {"centroid": "detector", "centered_instance": "pose"}
        return Manifest(
            maker="SLEAP",
            maker_version=self.export.sleap_nn_version,
            kind=self.kind,
            role=roles.get(self.kind),
            keypoint_names=names,
            input=Input(channels="gray" if self.export.input_channels == 1 else "rgb"),
            geometry=geometry,
            decoder=decoder,
            whole_frame=not of_crops,
            score="height of the peak, which may be a little above 1",
            skeleton=() if self.kind == "centroid" else self.export.edge_inds or self.training.skeleton(names),
            anchor=self.export.anchor_part or "",
            crop_size=self._crop_size() if of_crops else None,
            unrounded=of_crops,
            assumed=(*notes, *self._differences()),
        )

    def _padding(self) -> list[str]:
        """Return a sentence if the multiple to which images are padded is not known."""
        if self.training.max_stride is not None:
            return []
        return [f"the file does not say its max_stride: images are padded to a multiple of {_USUAL_STRIDE} px"]

    def _differences(self) -> Iterator[str]:
        """Yield what is not done as in sleap-nn."""
        size = self.training.max_size
        if size is not None and self.kind not in ("centered_instance", "topdown"):
            yield f"frames larger or smaller than {size[0]}x{size[1]}, those of its training, keep their size"
        if self.training.tiled:
            yield "it was trained on tiles of frames, but sees whole frames"

    def _names(self) -> tuple[str, ...]:
        """Return the names of the keypoints. Raises ModelError if the user gave another number of them."""
        names = (self.export.anchor_part or "centroid",) if self.kind == "centroid" else self.export.node_names
        return choose_names(self.file.path, len(names), self.settings.keypoint_names, names)[0]

    def _crop_size(self) -> int | None:
        size = self.export.crop_size
        return max(size) if isinstance(size, tuple) else size

    def _multiple(self) -> int:
        return self.training.max_stride or _USUAL_STRIDE

    def _threshold(self) -> float:
        return _THRESHOLD if self.export.peak_threshold is None else self.export.peak_threshold


MAKER = Maker("SLEAP", read, find, folder="model.onnx with export_metadata.json")
