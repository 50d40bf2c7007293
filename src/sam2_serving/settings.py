"""The server's settings: what an operator may set.

Each field is read from the environment variable `SAM2_SERVING_<NAME>`.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

# Longer than any client or proxy keeps an idle connection: one that the server closes first can be
# picked for a request at that very moment, and the request is lost. The manifest has it too.
KEEP_ALIVE_S = 75

INPUT_SIZES = {"nano": (128, 192, 256), "the other models": (512, 768, 1024)}
"""Sides of the square that images are resized to, pixels, the model's own one last."""


def _default_checkpoints_dir() -> Path:
    """The repository's own folder when run from a checkout, else a cache folder."""
    in_checkout = Path(__file__).resolve().parents[2] / "checkpoints"
    return in_checkout if in_checkout.is_dir() else _default_data_dir() / "checkpoints"


def _default_data_dir() -> Path:
    return Path.home() / ".cache" / "sam2-serving"


class ServerSettings(BaseSettings):
    """Settings of the app, the engine and the local workspace."""

    model_config = SettingsConfigDict(env_prefix="SAM2_SERVING_", extra="ignore")

    host: str = Field("127.0.0.1", description="Address the app listens on.")
    port: int = Field(8000, ge=0, le=65535, description="Port the app listens on.")
    access_key: SecretStr | None = Field(
        None,
        min_length=16,
        description="Callers must bring this key as the header X-Access-Key, or as a bearer token; "
        "for an app that is reached without the platform.",
    )
    data_dir: Path = Field(
        default_factory=_default_data_dir, description="What the app keeps on disk."
    )
    checkpoints_dir: Path = Field(
        default_factory=_default_checkpoints_dir, description="Where weights are looked for."
    )

    model: str = Field("nano", description="Model served when there is no Serve page.")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Number format; auto uses a fast one only after it agreed with float32."
    )
    input_size: int | None = Field(
        None,
        description="Side of the square that images are resized to, pixels: half or three quarters "
        "of the model's own is faster and coarser; default: the model's own.",
    )
    use_box: bool = Field(True, description="Default of the inference setting use_box.")
    refine: Literal["single", "two_pass"] = Field(
        "two_pass", description="Default of the inference setting refine."
    )

    log_format: Literal["sdk", "json"] = Field(
        "sdk",
        description="json: every line of the log is an object of JSON; sdk: those of the app are.",
    )

    store_mb: int = Field(1024, ge=1, description="Budget of stored embeddings on the device, MiB.")
    host_store_mb: int = Field(
        2048, ge=0, description="Budget of embeddings kept in host memory beside a GPU, MiB."
    )
    disk_store_mb: int = Field(
        0, ge=0, description="Budget of embeddings kept on disk over restarts; 0: none, MiB."
    )
    disk_store_dir: Path | None = Field(
        None, description="Their folder; default: `embeddings` in the data folder."
    )
    compiled_dir: Path | None = Field(
        None,
        description="Where `sam2-serving compile` puts compiled image encoders, which are run as "
        "they are; default: `compiled` in the data folder.",
    )
    prefetch_share: float = Field(
        0.25,
        ge=0,
        le=0.9,
        description="Part of store_mb for images encoded before anybody asked; 0: none are.",
    )
    prefetch_next: int = Field(
        2,
        ge=0,
        le=16,
        description="Neighbours of an opened image, frame or slice that are encoded before they "
        "are opened; 0: only what /smart_cache names.",
    )
    queue_limit: int = Field(256, ge=1, description="Work units that may wait; more get a 503.")
    client_queue_limit: int = Field(
        64, ge=1, description="Work units that may wait for one client; more get that client a 503."
    )

    max_request_mb: int = Field(64, ge=1, description="Largest request body, MiB.")
    max_image_mb: int = Field(512, ge=1, description="Largest image file, MiB.")
    max_image_pixels: int = Field(
        400_000_000, ge=1, description="Largest image, pixels (20000 x 20000)."
    )
    platform_timeout_s: float = Field(
        20.0, gt=0, description="Time one call to the platform may take, seconds."
    )
    max_inference_jobs: int = Field(
        8, ge=1, description="Requests of /inference_*_async at once; more get a 503."
    )
    inference_results_mb: int = Field(
        256, ge=8, description="Predictions that wait to be fetched, of all requests together, MiB."
    )
    image_url_hosts: list[str] = Field(
        default_factory=list,
        description="Hosts (host or host:port) that /inference_image_url may fetch from besides "
        "the platform (JSON list).",
    )
    max_tracking_jobs: int = Field(8, ge=1, description="Videos tracked at once; more get a 503.")
    tracking_results_mb: int = Field(
        256, ge=8, description="Tracked figures that wait to be fetched, of all jobs together, MiB."
    )
    tracking_patience_s: float = Field(
        60.0, gt=0, description="How long tracking puts up with a platform that fails, seconds."
    )
    use_keyframes: bool = Field(True, description="Default of the inference setting use_keyframes.")
    max_cond_frames: int = Field(
        4, ge=2, description="Default of the inference setting max_cond_frames."
    )
    polygon_tolerance: float = Field(
        1.0, ge=0, le=100, description="Default of the inference setting polygon_tolerance, pixels."
    )
    review_tag: str = Field(
        "needs review", description="Tag for doubtful frames of a video, if the project has it."
    )
    max_video_mb: int = Field(
        2048, ge=0, description="Largest video that is fetched whole; 0: only single frames, MiB."
    )
    video_store_mb: int = Field(
        8192, ge=1, description="Disk space of videos that were fetched whole, MiB."
    )
    allowed_servers: list[str] = Field(
        default_factory=list,
        description="Platform addresses a request may name besides the configured one (JSON list).",
    )

    @field_validator("access_key", mode="before")
    @classmethod
    def _empty_is_none(cls, given: object) -> object:
        """A compose file sets what its own environment lacks to nothing."""
        return given or None

    @field_validator("input_size", mode="before")
    @classmethod
    def _known_size(cls, given: object) -> object:
        """Refuse at the start what no model takes; what this one takes is known with its file."""
        if given in (None, ""):
            return None
        known = [str(size) for sizes in INPUT_SIZES.values() for size in sizes]
        if str(given) not in known:
            named = "; ".join(
                f"{model}: {', '.join(map(str, sizes))}" for model, sizes in INPUT_SIZES.items()
            )
            raise ValueError(f"no model takes {given} pixels ({named})")
        return given

    @property
    def disk_store_folder(self) -> Path:
        """Folder of the embeddings that are kept on disk."""
        return self.disk_store_dir or self.data_dir / "embeddings"

    @property
    def compiled_folder(self) -> Path:
        """Folder of the compiled image encoders."""
        return self.compiled_dir or self.data_dir / "compiled"


@lru_cache(maxsize=1)
def server_settings() -> ServerSettings:
    """Return the process's settings, read once."""
    return ServerSettings()
