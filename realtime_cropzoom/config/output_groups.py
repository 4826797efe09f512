"""Settings of the outputs of a run: filtered keypoints, files and messages."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from realtime_cropzoom.config.group import AUTO, COPY, DAY_MS, NONE, SettingsGroup
from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.filters import PoseFilter, build_filter
from realtime_cropzoom.messaging.endpoints import check_reach, endpoint_beside, preview_beside

ENDPOINTS = ("publish", "publish_latest", "publish_echo", "publish_preview")
"""Names of the settings that give an endpoint."""


class FilterSettings(SettingsGroup):
    """The filter of the keypoints."""

    filter: Literal["none", "one_euro", "kalman"] = Field(
        default="none",
        description="filter of the keypoints: messages then have smoothed positions and velocities in addition to the "
        "raw ones",
    )
    filter_min_likelihood: float = Field(
        default=0.3, ge=0, le=1, description="filter: a keypoint with a lower likelihood is treated as unmeasured"
    )
    filter_hold_ms: float = Field(
        default=150.0,
        ge=0.001,
        le=DAY_MS,
        description="filter: how long a rejected or unmeasured keypoint uses its predicted position",
    )
    kalman_noise_px: float = Field(
        default=1.0,
        ge=1e-6,
        le=1e6,
        description="measurement noise: standard deviation of each coordinate of a keypoint with likelihood 1",
    )
    kalman_velocity_noise_px_s: float = Field(
        default=1000.0,
        ge=1e-6,
        le=1e9,
        description="process noise: standard deviation of the change of a velocity within one second",
    )
    kalman_gate: float = Field(
        default=5.0,
        ge=1e-3,
        le=1e6,
        description="reject a keypoint that is more than this number of standard deviations from its prediction",
    )
    one_euro_min_cutoff_hz: float = Field(
        default=8.0, ge=1e-6, le=1e6, description="cutoff frequency at rest; a lower one smooths more, and lags more"
    )
    one_euro_beta: float = Field(
        default=0.2, ge=0, le=1e6, description="increase of the cutoff frequency, in Hz for each pixel per second"
    )
    one_euro_velocity_cutoff_hz: float = Field(
        default=10.0, ge=1e-6, le=1e6, description="cutoff frequency of the velocity"
    )

    def pose_filter(self, keypoint_count: int) -> PoseFilter | None:
        """Return a new filter for poses of ``keypoint_count`` keypoints; None without a filter."""
        return build_filter(self.model_dump(), keypoint_count)


class RecordSettings(SettingsGroup):
    """The files of a run."""

    record: Literal["none", "h264", "ffv1", "copy"] = Field(
        default="none",
        description="record the captured frames: as H.264 in MP4; as FFV1 in Matroska, which is lossless; or as a copy "
        "of the compressed data that the camera or stream sends, which is lossless and needs no encoder",
    )
    record_crops: bool = Field(
        default=False, description="record the crops, with or without the frames; codec as in record, or H.264"
    )
    record_buffer: int = Field(
        default=64,
        ge=1,
        le=4096,
        description="live: maximum number of frames in memory that wait for the recording; further frames are lost",
    )
    out: Path = Field(default=Path("sessions"), description="folder in which each run creates its own new folder")
    calibration: Path | None = Field(
        default=None,
        description="pixels to cm: file made by 'cropzoom calibrate'; messages and tables then have both units",
    )

    @property
    def recording(self) -> bool:
        """Whether frames or crops are encoded. A copy of the compressed data does not need the frames in memory."""
        return self.record not in (NONE, COPY) or self.record_crops


class ControlSettings(SettingsGroup):
    """Where a run takes orders, and who may give them."""

    control: str = Field(
        default=AUTO,
        max_length=300,
        description="where the run takes orders of 'cropzoom ctl': 'auto' (a socket of your user, with the name of the "
        "camera), another name, ipc://FILE, tcp://HOST:PORT with control_keys, or 'none'",
    )
    control_keys: Path | None = Field(
        default=None,
        description="folder made by 'cropzoom keys': its clients can give orders at a tcp:// control; see "
        "docs/how-to/control.md",
    )


class PublishSettings(SettingsGroup):
    """Where and how messages are published, and who may subscribe."""

    camera: str = Field(
        default="cam0",
        max_length=100,
        pattern=r"^[A-Za-z0-9_.-]+$",
        description="name of the camera in topics and messages: letters, digits, and _ . -",
    )
    publish: str = Field(default="tcp://127.0.0.1:5660", max_length=300, description="endpoint of the poses, or 'none'")
    publish_latest: str = Field(
        default="tcp://127.0.0.1:5661",
        max_length=300,
        description="endpoint that keeps only the newest pose, as a one-part message, or 'none'",
    )
    publish_echo: str = Field(
        default=AUTO,
        max_length=300,
        description="endpoint at which subscribers on other machines read the clock of this one, to know the age of "
        "a pose: 'auto' (host of publish, free port), an endpoint, or 'none'",
    )
    publish_preview: str = Field(
        default=AUTO,
        max_length=300,
        description="endpoint of small pictures of the newest frame, which are made only while somebody looks: 'auto' "
        "(host of publish, free port), an endpoint, or 'none'",
    )
    publish_optional: bool = Field(default=False, description="if an endpoint is in use, continue with files only")
    key_folder: Path | None = Field(
        default=None,
        description="folder made by 'cropzoom keys': only its clients can subscribe, and messages are encrypted; "
        "see docs/how-to/security.md",
    )
    insecure: bool = Field(
        default=False,
        description="publish to other machines without keys, so that anybody on the network can subscribe",
    )
    encoding: Literal["json", "msgpack"] = Field(default="json", description="format of the messages")
    max_age_ms: float = Field(
        default=1000.0,
        ge=0.001,
        le=DAY_MS,
        description="live: maximum age of a frame when its pose is sent; an older pose is only in the files",
    )

    @model_validator(mode="after")
    def _check_endpoints(self) -> Self:
        for one, other in combinations(ENDPOINTS, 2):
            endpoint = getattr(self, one)
            if (
                endpoint == getattr(self, other)
                and endpoint not in (NONE, AUTO)
                and not endpoint.endswith((":*", ":0"))
            ):
                raise ConfigError(f"{one} and {other} are both {endpoint}; give them different ports")
        if self.key_folder is not None and self.insecure:
            raise ConfigError(f"both key_folder ({self.key_folder}) and insecure are set; give one of them")
        for name, endpoint in self.endpoints().items():
            check_reach(name, endpoint, keys=self.key_folder is not None, insecure=self.insecure)
        return self

    def echo_endpoint(self) -> str | None:
        """Return the endpoint of the clock echo; None without one."""
        if NONE in (self.publish, self.publish_echo):
            return None
        return endpoint_beside(self.publish) if self.publish_echo == AUTO else self.publish_echo

    def preview_endpoint(self) -> str | None:
        """Return the endpoint of the previews; None without them."""
        if NONE in (self.publish, self.publish_preview):
            return None
        return preview_beside(self.publish) if self.publish_preview == AUTO else self.publish_preview

    def endpoints(self) -> dict[str, str]:
        """Return the endpoints to bind, by the names of their settings."""
        if self.publish == NONE:
            return {}
        given = self.publish, self.publish_latest, self.echo_endpoint(), self.preview_endpoint()
        wanted = dict(zip(ENDPOINTS, given, strict=True))
        return {name: endpoint for name, endpoint in wanted.items() if endpoint not in (None, NONE)}
