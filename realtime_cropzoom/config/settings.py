"""Settings of a run: one documented set, from flags > environment > YAML file > defaults.

They are checked once and are read-only afterwards. ``docs/reference/settings.md`` and the flags of ``cropzoom run``
are generated from the fields below.
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    SettingsConfigDict,
)

from realtime_cropzoom.errors import ConfigError, shortened
from realtime_cropzoom.files.paths import user_path
from realtime_cropzoom.filters import PoseFilter, build_filter
from realtime_cropzoom.inference.boxes import MAX_SIDE, BoxRule, anchors_among
from realtime_cropzoom.inference.model_spec import SHIPPED, Role
from realtime_cropzoom.inference.presence import PoseJudge, Presence
from realtime_cropzoom.inference.schedule import StateLimits
from realtime_cropzoom.messaging.endpoints import check_reach, endpoint_beside
from realtime_cropzoom.sessions.latest import find_boxes
from realtime_cropzoom.sources.base import SourceOptions, without_password

ENV_PREFIX = "CROPZOOM_"
NONE = "none"
COPY = "copy"
AUTO = "auto"
CAMERAS = "cameras"
"""Key of a configuration file with several cameras. It is not a setting of a run."""
_DAY_MS = 86_400_000.0
_DAYS_S = 1e7
"""Upper limit (s, four months) of durations. Larger values are mistakes, and clocks and waits cannot count them."""


class Settings(BaseSettings):
    """All there is to set about a run. Raises ConfigError where two settings contradict each other."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True, allow_inf_nan=False)

    source: str | None = Field(
        None,
        description="a video file, a folder of images, camera:0, an address such as rtsp://…, "
        "or synthetic:arena[,size=640x480,fps=30,seconds=20,seed=0]; see docs/how-to/sources.md",
    )
    detector: str = Field(
        SHIPPED, description="detector model: a Lightning Pose model directory, an .onnx of ours, or 'shipped'"
    )
    pose: str = Field(
        SHIPPED, description="pose model: a Lightning Pose model directory, an .onnx of ours, or 'shipped'"
    )

    crop_size: int | None = Field(None, gt=0, le=MAX_SIDE, description="side of the box in frame pixels (made even)")
    crop_ratio: float | None = Field(
        None,
        ge=0.01,
        le=20,
        description="side of the box as a multiple of the larger keypoint span; if neither is set, the size that the "
        "pose model says it was trained for, else a ratio of 2.0",
    )
    anchor_keypoints: Annotated[tuple[str, ...] | None, NoDecode] = Field(
        None, description="detector keypoints that make the box, separated by commas; all if not given"
    )
    min_likelihood: float = Field(0.1, ge=0, le=1, description="detector keypoints under it do not count for the box")
    min_box: int = Field(32, ge=0, le=MAX_SIDE, description="smallest side of a box in frame pixels")
    edge: Literal["pad", "clamp"] = Field(
        "pad", description="beyond the frame's edge: zeros, as pose models are trained, or the box cut off there"
    )

    camera_size: str | None = Field(
        None, pattern=r"^[1-9]\d{0,5}x[1-9]\d{0,5}$", description="frame size to ask of a camera, as in 1280x720"
    )
    camera_fps: float | None = Field(None, ge=0.001, le=1e6, description="frames a second to ask of a camera")
    pixel_format: str | None = Field(None, description="pixel format to ask of a camera, as its driver names it")
    exposure_ms: float | None = Field(None, ge=0.001, le=_DAY_MS, description="exposure to ask of a camera")
    gain: float | None = Field(None, ge=-1e6, le=1e6, description="gain to ask of a camera, in its own units")
    roi: str | None = Field(
        None,
        pattern=r"^\d{1,6},\d{1,6},[1-9]\d{0,5},[1-9]\d{0,5}$",
        description="part of the sensor to read out, as x,y,w,h",
    )
    trigger: bool = Field(False, description="each frame waits for a pulse on the camera's trigger line")
    open_timeout_s: float = Field(10.0, ge=0.001, le=_DAYS_S, description="how long a stream may take to open")
    read_timeout_s: float = Field(
        5.0, ge=0.001, le=_DAYS_S, description="a stream from which nothing comes for so long has broken off"
    )
    reconnect_for_s: float | None = Field(
        None,
        ge=0.001,
        le=_DAYS_S,
        description="a camera or stream gone for so long ends the run; if not given, it is waited for",
    )
    changed: Literal["refuse", "adapt"] = Field(
        "refuse", description="a camera that comes back with another frame size ends the run, or is scaled to the first"
    )
    stall_after_ms: float = Field(
        500.0, ge=0.001, le=1000, description="live: so long (or three frames) without a frame is a stall"
    )
    start_s: float = Field(0.0, ge=0, le=_DAYS_S, description="files: where to begin")
    loop: bool = Field(False, description="files: begin again when the end is reached")
    speed: float = Field(1.0, ge=0.001, le=1000, description="files: how much faster than recorded they play")

    pace: Literal["realtime", "fast"] = Field(
        "realtime", description="play by the recording's own time as a camera would, or in lockstep, nothing dropped"
    )
    detector_every: int = Field(1, ge=1, le=1_000_000_000, description="lockstep: detect on every N-th frame")
    detector_max_fps: float = Field(30.0, ge=0.001, le=1e6, description="live: detections a second at most")
    max_lag: int = Field(8, ge=0, le=512, description="live: frames the pose may lag before it jumps to the newest")
    schedule: Path | None = Field(None, description="replay the boxes of this _bbox.csv; no detector runs")
    frames: int | None = Field(None, gt=0, le=1_000_000_000_000, description="stop after so many frames")

    decoder: Literal["fast", "reference"] = Field(
        "fast", description="decode heatmaps where the mass is, or exactly as Lightning Pose does"
    )
    provider: Literal["auto", "cpu", "cuda", "tensorrt"] = Field(
        "auto", description="what runs the models; auto takes CUDA where onnxruntime-gpu is installed"
    )
    precision: Literal["fp32", "fp16"] | None = Field(
        None, description="which export of a model directory; fp32 on the CPU and fp16 on a GPU if not given"
    )
    detector_threads: int = Field(1, ge=1, le=256, description="CPU threads of the detector")
    pose_threads: int = Field(1, ge=1, le=256, description="CPU threads of the pose model")

    max_age_ms: float = Field(
        1000.0,
        ge=0.001,
        le=_DAY_MS,
        description="live: the pose of an older frame is not sent; its row is in the files",
    )
    hang_after_s: float = Field(
        10.0, ge=0.001, le=_DAYS_S, description="live: a model that takes so long for one frame ends the run"
    )
    on_failure: Literal["end", "restart"] = Field(
        "end", description="live: a detector or pose stage that fails ends the run, or begins again, 3 times a minute"
    )
    coast_after_ms: float = Field(
        250.0, ge=0.001, le=_DAY_MS, description="a box older than this makes the state coasting"
    )
    lost_after_ms: float = Field(1000.0, ge=0.001, le=_DAY_MS, description="a box older than this makes the state lost")

    detector_min_sharpness: float | None = Field(
        None,
        ge=0,
        le=1,
        description="a detection counts where enough of its heatmaps lie around one point: so much of each; what the "
        "detector says of itself if not given, 0 asks nothing",
    )
    pose_min_sharpness: float | None = Field(
        None, ge=0, le=1, description="the same of a pose: a less sharp one is not plausible, and never tracking"
    )
    pose_min_likelihood: float | None = Field(
        None,
        ge=0,
        le=1,
        description="a pose is plausible where enough of its keypoints have this likelihood; what the pose model says "
        "of itself if not given, else 0.1 for half of them",
    )
    shape_tolerance: float = Field(
        0.4,
        ge=0,
        le=1e6,
        description="a pose is plausible where the distances between its keypoints lie no further than this share "
        "beyond those of the pose model's training; 1000 asks nothing",
    )
    jump_limit: float = Field(
        8.0,
        ge=0.01,
        le=1e6,
        description="a pose is not plausible where most keypoints have moved faster than so many box sides a second",
    )

    record: Literal["none", "h264", "ffv1", "copy"] = Field(
        "none",
        description="record the frames as captured: H.264 in MP4; FFV1 in Matroska, which loses nothing; or a copy of "
        "what the camera or stream sends compressed, which loses nothing and encodes nothing",
    )
    record_crops: bool = Field(False, description="record the crops, too or alone: with the codec of record, or H.264")
    record_buffer: int = Field(
        64, ge=1, le=4096, description="live: frames a recording may lag, kept in memory, before it loses some"
    )

    filter: Literal["none", "one_euro", "kalman"] = Field(
        "none", description="smooth the keypoints and know their velocity, in messages beside the raw ones"
    )
    filter_min_likelihood: float = Field(
        0.3, ge=0, le=1, description="filter: keypoints under it count as not measured"
    )
    filter_hold_ms: float = Field(
        150.0,
        ge=0.001,
        le=_DAY_MS,
        description="filter: so long a keypoint goes on as it was going, where it is not measured or not believed",
    )
    kalman_noise_px: float = Field(
        1.0,
        ge=1e-6,
        le=1e6,
        description="how far off the pose model is: standard deviation of a sure keypoint, a coordinate",
    )
    kalman_velocity_noise_px_s: float = Field(
        1000.0, ge=1e-6, le=1e9, description="by how much a velocity changes within a second, as a standard deviation"
    )
    kalman_gate: float = Field(
        5.0,
        ge=1e-3,
        le=1e6,
        description="a keypoint so many standard deviations from where it is expected is not believed",
    )
    one_euro_min_cutoff_hz: float = Field(
        8.0, ge=1e-6, le=1e6, description="cutoff at rest in Hz: lower is calmer, and lags more"
    )
    one_euro_beta: float = Field(
        0.2, ge=0, le=1e6, description="by how many Hz the cutoff grows with each pixel a second"
    )
    one_euro_velocity_cutoff_hz: float = Field(10.0, ge=1e-6, le=1e6, description="cutoff of the velocity in Hz")
    calibration: Path | None = Field(
        None, description="pixels to cm: a file of cropzoom calibrate; messages and tables then have both"
    )

    out: Path = Field(Path("sessions"), description="folder in which the run's own new folder is made")
    camera: str = Field(
        "cam0",
        max_length=100,
        pattern=r"^[A-Za-z0-9_.-]+$",
        description="name of the camera in topics and messages: letters, digits, and _ . -",
    )
    publish: str = Field("tcp://127.0.0.1:5660", max_length=300, description="endpoint of the poses, or 'none'")
    publish_latest: str = Field(
        "tcp://127.0.0.1:5661",
        max_length=300,
        description="endpoint that keeps only the newest pose (single-frame), or 'none'",
    )
    publish_echo: str = Field(
        AUTO,
        max_length=300,
        description="endpoint that tells subscribers on other machines the time, so that they can judge how old a pose "
        "is: on the host of publish at a port that the system chooses ('auto'), or where you say, or 'none'",
    )
    publish_optional: bool = Field(False, description="go on with files alone where an endpoint is in use")
    key_folder: Path | None = Field(
        None,
        description="folder that 'cropzoom keys' has made: only its clients can listen, and all is encrypted; "
        "see docs/how-to/security.md",
    )
    insecure: bool = Field(
        False,
        description="publish where other machines can reach it though there are no keys, so that anybody can listen",
    )
    encoding: Literal["json", "msgpack"] = Field("json", description="how messages are written")

    @field_validator("source", "detector", "pose", mode="before")
    @classmethod
    def _path_to_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, Path) else value

    @field_validator("anchor_keypoints", mode="before")
    @classmethod
    def _split_names(cls, value: Any) -> Any:
        return tuple(v.strip() for v in value.split(",") if v.strip()) if isinstance(value, str) else value

    @field_validator("schedule", mode="after")
    @classmethod
    def _find_boxes(cls, value: Path | None) -> Path | None:
        return None if value is None else find_boxes(value)

    @model_validator(mode="after")
    def _check_together(self) -> Settings:
        """Refuse what no field can know alone; however the settings were made."""
        if self.crop_size is not None and self.crop_ratio is not None:
            raise ConfigError(
                f"both crop_size ({self.crop_size}) and crop_ratio ({self.crop_ratio}) are set; give one of them"
            )
        if self.lost_after_ms <= self.coast_after_ms:
            raise ConfigError(
                f"lost_after_ms is {self.lost_after_ms}; expected more than coast_after_ms ({self.coast_after_ms})"
            )
        for name, value in self:
            if isinstance(value, str | Path) and "\0" in str(value):
                raise ConfigError(f"{name}: given {shortened(str(value))}, which has a NUL in it; expected a name")
        self._check_endpoints()
        return self

    def _check_endpoints(self) -> None:
        for one, other in combinations(("publish", "publish_latest", "publish_echo"), 2):
            endpoint = getattr(self, one)
            if endpoint == getattr(self, other) and endpoint != NONE and not endpoint.endswith((":*", ":0")):
                raise ConfigError(f"{one} and {other} are both {endpoint}; give them different ports")
        if self.key_folder is not None and self.insecure:
            raise ConfigError(f"both key_folder ({self.key_folder}) and insecure are set; give one of them")
        for name, endpoint in self.endpoints().items():
            check_reach(name, endpoint, keys=self.key_folder is not None, insecure=self.insecure)

    def box_rule(self, detector_keypoints: tuple[str, ...], trained_crop_size: int | None) -> BoxRule:
        """Return how detections become boxes. Raises ConfigError where an anchor is no keypoint of the detector.

        Where neither size nor ratio is set, the size the pose model says it was trained for counts.
        """
        places, unknown = anchors_among(self.anchor_keypoints or (), detector_keypoints)
        if unknown:
            raise ConfigError(
                f"anchor_keypoints: the detector has no {', '.join(unknown)}; it has {', '.join(detector_keypoints)}"
            )
        anchors = None if self.anchor_keypoints is None else tuple(places)
        size = self.crop_size
        if size is None and self.crop_ratio is None:
            size = trained_crop_size
        return BoxRule(size, self.crop_ratio, self.min_likelihood, self.min_box, anchors)

    def source_options(self) -> SourceOptions:
        """Return how the source is to be opened."""
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
            keep_packets=self.record == COPY,
        )

    def presence(self, role: Role, of_model: Presence) -> Presence:
        """Return what a model's answer looks like where there is an animal, as the settings leave it."""
        if role == "detector":
            return of_model.with_limits(self.detector_min_sharpness)
        return of_model.with_limits(self.pose_min_sharpness, self.pose_min_likelihood)

    def pose_judge(self, presence: Presence) -> PoseJudge:
        """Return who judges the poses of a model with this ``presence``."""
        return PoseJudge(
            presence,
            lost_after_ms=self.lost_after_ms,
            shape_tolerance=self.shape_tolerance,
            jump_limit=self.jump_limit,
        )

    def state_limits(self) -> StateLimits:
        """Return how old a box may be."""
        return StateLimits(self.coast_after_ms, self.lost_after_ms)

    def echo_endpoint(self) -> str | None:
        """Return where the echo is to be bound; None where there is none."""
        if NONE in (self.publish, self.publish_echo):
            return None
        return endpoint_beside(self.publish) if self.publish_echo == AUTO else self.publish_echo

    def endpoints(self) -> dict[str, str]:
        """Return all endpoints that are to be bound, by the names of their settings."""
        if self.publish == NONE:
            return {}
        wanted = {"publish": self.publish, "publish_latest": self.publish_latest, "publish_echo": self.echo_endpoint()}
        return {name: endpoint for name, endpoint in wanted.items() if endpoint not in (None, NONE)}

    def pose_filter(self, keypoint_count: int) -> PoseFilter | None:
        """Return the filter of the pose model's keypoints, None where there is none."""
        return build_filter(self.model_dump(), keypoint_count)

    @property
    def recording(self) -> bool:
        """Whether a video is made from the frames in the ring: a copy of what comes needs none of them."""
        return self.record not in (NONE, COPY) or self.record_crops

    def to_yaml(self) -> str:
        """Return all settings as YAML that ``--config`` reads back; a password in an address is left out."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True)

    def to_dict(self) -> dict[str, Any]:
        """Return all settings as they may be written down: paths are absolute, so that they hold from any folder."""
        content = self.model_dump(mode="json")
        for name in _PATHS & content.keys():
            content[name] = _absolute(content[name])
        return content if self.source is None else {**content, "source": without_password(content["source"])}


_PATHS = {"source", "detector", "pose", "schedule", "calibration", "key_folder"}


def _absolute(text: str | None) -> str | None:
    """Return a path that is there as an absolute one, and any other text, such as ``camera:0``, as it is."""
    if text is None or text == SHIPPED:
        return text
    path = user_path(text)
    try:
        return str(path.absolute()) if path.exists() else text
    except (OSError, ValueError):  # a name too long for a path is none
        return text
