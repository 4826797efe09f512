"""Settings of what goes in and of how it is tracked: the source, the models, the boxes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_serializer, field_validator, model_validator
from pydantic_settings import NoDecode

from realtime_cropzoom.config.group import AUTO, DAY_MS, DAYS_S, NONE, SettingsGroup
from realtime_cropzoom.config.regions import RegionShape, read_regions
from realtime_cropzoom.errors import ConfigError, listed
from realtime_cropzoom.files.paths import is_folder
from realtime_cropzoom.inference.boxes import MAX_SIDE, BoxRule, find_anchors
from realtime_cropzoom.inference.manifest import Manifest, Role
from realtime_cropzoom.inference.model_paths import SHIPPED
from realtime_cropzoom.inference.presence import Presence
from realtime_cropzoom.inference.schedule import StateLimits
from realtime_cropzoom.inference.tracks import MAX_ANIMALS
from realtime_cropzoom.project.folder import load_project
from realtime_cropzoom.sessions.latest import find_boxes
from realtime_cropzoom.sources.base import SourceOptions


class SourceSettings(SettingsGroup):
    """Where frames come from, and how fast they are read."""

    source: str | None = Field(
        default=None,
        description="video file, folder of images, camera:0, address such as rtsp://…, "
        "or synthetic:arena[,size=640x480,fps=30,seconds=20,seed=0]; see docs/how-to/sources.md",
    )
    camera_size: str | None = Field(
        default=None,
        pattern=r"^[1-9]\d{0,5}x[1-9]\d{0,5}$",
        description="frame size to request from a camera, such as 1280x720",
    )
    camera_fps: float | None = Field(
        default=None, ge=0.001, le=1e6, description="frame rate to request from a camera, in frames per second"
    )
    pixel_format: str | None = Field(
        default=None, description="pixel format to request from a camera, as its driver names it"
    )
    exposure_ms: float | None = Field(
        default=None, ge=0.001, le=DAY_MS, description="exposure time to request from a camera"
    )
    gain: float | None = Field(
        default=None, ge=-1e6, le=1e6, description="gain to request from a camera, in its own unit"
    )
    roi: str | None = Field(
        default=None,
        pattern=r"^\d{1,6},\d{1,6},[1-9]\d{0,5},[1-9]\d{0,5}$",
        description="part of the sensor to read out, as x,y,w,h",
    )
    trigger: bool = Field(default=False, description="capture each frame at a pulse on the camera's trigger line")
    open_timeout_s: float = Field(
        default=10.0, ge=0.001, le=DAYS_S, description="cameras and streams: maximum time to open"
    )
    read_timeout_s: float = Field(
        default=5.0,
        ge=0.001,
        le=DAYS_S,
        description="cameras and streams: maximum time without data; then the connection is treated as broken",
    )
    reconnect_for_s: float | None = Field(
        default=None,
        ge=0.001,
        le=DAYS_S,
        description="cameras and streams: end the run if a broken connection does not come back within this time; "
        "if not set, the run waits",
    )
    changed: Literal["refuse", "adapt"] = Field(
        default="refuse",
        description="if a camera comes back with another frame size: end the run, or scale to the first size",
    )
    stall_after_ms: float = Field(
        default=500.0,
        ge=0.001,
        le=1000,
        description="live: time without a frame after which the stream is 'stalled', at least that of three frames",
    )
    start_s: float = Field(default=0.0, ge=0, le=DAYS_S, description="files: time at which to start")
    loop: bool = Field(default=False, description="files: start again at the end")
    speed: float = Field(
        default=1.0, ge=0.001, le=1000, description="files: playback speed, as a multiple of the recorded speed"
    )
    pace: Literal["realtime", "fast"] = Field(
        default="realtime",
        description="realtime: play a recording in its own time, as a camera would; fast: as fast as the models run, "
        "in lockstep, without a dropped frame",
    )
    frames: int | None = Field(default=None, gt=0, le=1_000_000_000_000, description="stop after this number of frames")

    @field_validator("source", mode="before")
    @classmethod
    def _source_to_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, Path) else value

    def source_options(self) -> SourceOptions:
        """Return the options with which the source is opened."""
        size = None if self.camera_size is None else self.camera_size.split("x")
        roi = None if self.roi is None else self.roi.split(",")
        return SourceOptions(
            size=None if size is None else (int(size[0]), int(size[1])),
            fps=self.camera_fps,
            pixel_format=self.pixel_format,
            exposure_ms=self.exposure_ms,
            gain=self.gain,
            roi=None if roi is None else (int(roi[0]), int(roi[1]), int(roi[2]), int(roi[3])),
            trigger=self.trigger,
            open_timeout_s=self.open_timeout_s,
            read_timeout_s=self.read_timeout_s,
            loop=self.loop,
            start_s=self.start_s,
        )


class ModelSettings(SettingsGroup):
    """Which models run, what runs them, and what their answers must look like."""

    project: str | None = Field(
        default=None,
        description="folder of a project: its detector and pose model run, unless detector or pose names another",
    )
    detector: str = Field(
        default=AUTO,
        description="detector: model folder or .onnx file of any maker, 'shipped', or 'none': the pose model sees "
        "whole frames; auto: none for a pose model that was trained on whole frames, the same file for one that "
        "holds its detector, else shipped",
    )
    pose: str = Field(
        default=SHIPPED,
        description="pose model: model folder or .onnx file of any maker, or 'shipped'",
    )
    decoder: Literal["fast", "reference"] = Field(
        default="fast",
        description="fast: decode heatmaps around their peaks; reference: exactly as Lightning Pose does",
    )
    provider: Literal["auto", "cpu", "cuda", "tensorrt"] = Field(
        default="auto",
        description="what runs the models; auto uses CUDA if onnxruntime-gpu is installed; none is replaced by the CPU",
    )
    precision: Literal["fp32", "fp16", "int8"] | None = Field(
        default=None,
        description="which export runs; if not set, fp32 on a CPU and fp16 on a GPU; int8 is by 'cropzoom quantize'",
    )
    detector_threads: int = Field(default=1, ge=1, le=256, description="CPU threads of the detector")
    pose_threads: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="CPU threads of the pose model; if not set, 1, but more for a large model in a live run of one "
        "camera, where they are quicker on this machine",
    )
    realtime_priority: bool = Field(
        default=False,
        description="live: capture, pose stage and sending go before all other work of the machine (Linux)",
    )
    hang_after_s: float = Field(
        default=10.0, ge=0.001, le=DAYS_S, description="live: end the run if a model takes longer for one frame"
    )
    on_failure: Literal["end", "restart"] = Field(
        default="end",
        description="live: if the detector or pose stage fails, end the run, or restart the stage, at most 3 times "
        "per minute",
    )
    detector_min_sharpness: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="a detection is accepted if enough of its heatmaps have at least this share around one point; if "
        "not set, the detector's own limit; 0 switches the check off",
    )
    pose_min_sharpness: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="the same for poses: a pose that is less sharp is not plausible and never 'tracking'",
    )
    pose_min_likelihood: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="a pose is plausible if enough of its keypoints have at least this likelihood; if not set, the "
        "pose model's own limit, else 0.1 for half of them",
    )
    shape_tolerance: float = Field(
        default=0.4,
        ge=0,
        le=1e6,
        description="a pose is plausible if the distances between its keypoints are at most this share outside of "
        "those in the training of the pose model; 1000 switches the check off",
    )
    jump_limit: float = Field(
        default=8.0,
        ge=0.01,
        le=1e6,
        description="a pose is not plausible if most keypoints moved faster than this number of box sides per second",
    )

    @model_validator(mode="before")
    @classmethod
    def _take_models_of_project(cls, given: Any) -> Any:
        """Fill in the models of the project. The settings of an earlier run name both, and need no project."""
        roles = [role for role in ("detector", "pose") if isinstance(given, dict) and given.get(role) is None]
        if not roles or given.get("project") is None:
            return given
        project = load_project(str(given["project"]))
        own = {role: getattr(project, role) for role in roles}
        missing = next((role for role, path in own.items() if not is_folder(path)), None)
        if missing is not None:
            raise ConfigError(
                f"project {given['project']}: got no trained {missing.replace('pose', 'pose model')}, expected one in "
                f"models/{missing}. Train it with: cropzoom train {given['project']}"
            )
        return {**given, **{role: str(path) for role, path in own.items()}}

    @field_validator("project", "detector", "pose", mode="before")
    @classmethod
    def _model_to_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, Path) else value

    def chosen_detector(self, pose: Manifest, *, has_detector: bool) -> str:
        """Return ``detector`` with ``auto`` decided: ``none`` for a pose model that was trained on whole frames.

        Args:
            pose: Description of the pose model.
            has_detector: Whether its file also holds its detector.
        """
        if self.detector != AUTO:
            return self.detector
        if has_detector:
            return self.pose
        return NONE if pose.whole_frame else SHIPPED

    def presence(self, role: Role, of_model: Presence) -> Presence:
        """Return what speaks for an animal in the answer of a model.

        Args:
            role: Role of the model.
            of_model: The model's own limits; settings take precedence.
        """
        if role == "detector":
            return of_model.with_limits(self.detector_min_sharpness)
        return of_model.with_limits(self.pose_min_sharpness, self.pose_min_likelihood)


class BoxSettings(SettingsGroup):
    """How boxes are made, which box a frame gets, and how old it may be."""

    crop_size: int | None = Field(
        default=None, gt=0, le=MAX_SIDE, description="side of the box in frame pixels, rounded up to an even number"
    )
    crop_ratio: float | None = Field(
        default=None,
        ge=0.01,
        le=20,
        description="side of the box, as a multiple of the larger span of the keypoints; if neither crop_size nor "
        "crop_ratio is set, the size that the pose model was trained with, else a ratio of 2.0",
    )
    anchor_keypoints: Annotated[tuple[str, ...] | None, NoDecode] = Field(
        default=None, description="detector keypoints that make the box, separated by commas; if not set, all"
    )
    min_likelihood: float = Field(
        default=0.1, ge=0, le=1, description="detector keypoints with a lower likelihood do not count for the box"
    )
    min_box: int = Field(default=32, ge=0, le=MAX_SIDE, description="smallest side of a box in frame pixels")
    edge: Literal["pad", "clamp"] = Field(
        default="pad",
        description="at the edge of the frame: fill the box up with zeros, as in the training of pose models, or cut "
        "it off",
    )
    box_from: Literal["detection", "pose"] = Field(
        default="detection",
        description="detection: each box comes from the last detection; pose: it lies around the last plausible pose, "
        "and the detector runs only without one",
    )
    box_check_s: float = Field(
        default=1.0,
        ge=0,
        le=DAYS_S,
        description="box_from pose: time after which a detection checks the box; 0 switches the check off",
    )
    detector_every: int = Field(default=1, ge=1, le=1_000_000_000, description="lockstep: detect on every N-th frame")
    detector_max_fps: float = Field(default=30.0, ge=0.001, le=1e6, description="live: maximum detections per second")
    max_lag: int = Field(
        default=8,
        ge=0,
        le=512,
        description="live: frames that the pose stage may lag behind before it jumps to the newest",
    )
    regions: Annotated[dict[str, RegionShape] | None, NoDecode] = Field(
        default=None,
        description="several animals, each alone in a part of the frame: file with the outlines, drawn with 'cropzoom "
        "zones --regions'; in a config file also the outlines themselves",
    )
    animals: int = Field(
        default=1,
        ge=1,
        le=MAX_ANIMALS,
        description="number of animals in one arena, told apart by position; needs a detector that finds each of them",
    )
    schedule: Path | None = Field(default=None, description="replay the boxes of this _bbox.csv, without a detector")
    coast_after_ms: float = Field(
        default=250.0, ge=0.001, le=DAY_MS, description="the state is 'coasting' if the box is older"
    )
    lost_after_ms: float = Field(
        default=1000.0, ge=0.001, le=DAY_MS, description="the state is 'lost' if the box is older"
    )

    @field_validator("anchor_keypoints", mode="before")
    @classmethod
    def _split_names(cls, value: Any) -> Any:
        return tuple(v.strip() for v in value.split(",") if v.strip()) if isinstance(value, str) else value

    @field_validator("regions", mode="before")
    @classmethod
    def _read_regions(cls, value: Any) -> Any:
        return read_regions(value)

    @field_serializer("regions")
    def _plain_regions(self, value: dict[str, RegionShape] | None) -> dict[str, Any] | None:
        return None if value is None else {name: shape.plain() for name, shape in value.items()}

    @field_validator("schedule", mode="after")
    @classmethod
    def _find_boxes(cls, value: Path | None) -> Path | None:
        return None if value is None else find_boxes(value)

    @property
    def sizes_boxes(self) -> bool:
        """Whether the size of the boxes is set."""
        return self.crop_size is not None or self.crop_ratio is not None

    @model_validator(mode="after")
    def _check_boxes(self) -> Self:
        if self.crop_size is not None and self.crop_ratio is not None:
            raise ConfigError(
                f"both crop_size ({self.crop_size}) and crop_ratio ({self.crop_ratio}) are set; give one of them"
            )
        if self.lost_after_ms <= self.coast_after_ms:
            raise ConfigError(
                f"lost_after_ms is {self.lost_after_ms}; expected more than coast_after_ms ({self.coast_after_ms})"
            )
        if self.animals > 1:
            self._check_animals()
        if self.box_from == "pose" and self.detector_every != 1:
            raise ConfigError(
                f"box_from is pose, and detector_every is {self.detector_every}; expected 1: the detector runs only "
                "when a pose gives no box"
            )
        return self

    def _check_animals(self) -> None:
        """Raise ConfigError for what several animals in one arena exclude."""
        several = f"animals is {self.animals}"
        if self.regions is not None:
            raise ConfigError(f"{several}, and regions are set: a region holds one animal; give one of both")
        if self.schedule is not None:
            raise ConfigError(f"{several}, and schedule is {self.schedule}: it has the boxes of one; leave one out")
        if self.box_from == "pose":
            raise ConfigError(f"{several}, and box_from is pose, which could follow another animal; expected detection")

    def pose_box_rule(self, pose: Manifest) -> BoxRule:
        """Return the rule that makes boxes from poses.

        Args:
            pose: Description of the pose model. The keypoint on which its training centred the boxes makes them, if the
                settings name none.

        Raises:
            ConfigError: if an anchor is not a keypoint of the pose model.
        """
        rule = self.box_rule(pose.keypoint_names, pose)
        if self.anchor_keypoints is not None or pose.anchor not in pose.keypoint_names:
            return rule
        return replace(rule, anchors=(pose.keypoint_names.index(pose.anchor),))

    def box_rule(self, detector_keypoints: tuple[str, ...], pose: Manifest | None) -> BoxRule:
        """Return the rule that makes boxes from detections.

        Args:
            detector_keypoints: Names of the keypoints that make the boxes.
            pose: Description of the pose model; None without one. The side of the boxes in its training is used if
                neither size nor ratio is set.

        Raises:
            ConfigError: if an anchor is not one of these keypoints.
        """
        places, unknown = find_anchors(self.anchor_keypoints or (), detector_keypoints)
        if unknown:
            raise ConfigError(
                f"anchor_keypoints: the detector has no {listed(unknown)}; it has {listed(detector_keypoints)}"
            )
        anchors = None if self.anchor_keypoints is None else tuple(places)
        size = self.crop_size
        if size is None and self.crop_ratio is None and pose is not None:
            size = pose.crop_size
        unrounded = pose is not None and pose.unrounded
        return BoxRule(size, self.crop_ratio, self.min_likelihood, self.min_box, anchors, unrounded)

    def state_limits(self) -> StateLimits:
        """Return the limits on the age of a box."""
        return StateLimits(self.coast_after_ms, self.lost_after_ms)
