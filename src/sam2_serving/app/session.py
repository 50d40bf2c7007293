"""What clients ask before they send a prompt: is it there, what can it do, how is it set."""

from __future__ import annotations

from typing import Any, Protocol

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from sam2_serving.app.deployment import Deployment
from sam2_serving.app.reporting import ReportingRoute
from sam2_serving.app.requests import Envelope


class Online(BaseModel):
    """Whether a click would be answered now."""

    is_online: bool


class SessionInfo(BaseModel):
    """What the served model can do (contract, section 2.2)."""

    model_config = ConfigDict(extra="allow")

    app_name: str
    session_id: int | None
    number_of_classes: int | None
    sliding_window_support: str | None
    videos_support: bool
    async_video_inference_support: bool
    tracking_on_videos_support: bool
    async_image_inference_support: bool
    tracking_algorithms: list[str]
    batch_inference_support: bool
    max_batch_size: int | None
    task_type: str = Field(alias="task type")
    input_size: int


class InferenceSettings(BaseModel):
    """The text of `serve/inference_settings.yaml`, comments included."""

    settings: str


class DeployInfo(BaseModel):
    """What is served and where (contract, section 2.2)."""

    checkpoint_name: str | None
    model_name: str | None
    architecture: str | None
    checkpoint_url: str | None
    custom_checkpoint_path: str | None
    model_source: str | None
    task_type: str | None
    device: str | None
    runtime: str | None
    model_precision: str | None
    hardware: str | None
    deploy_params: dict[str, Any] | None


class DescribedApp(Protocol):
    """What these routes need of the app."""

    deployment: Deployment
    custom_inference_settings: str

    def session_info(self) -> dict[str, Any]:
        """Describe the session; raises ModelNotReady."""

    def deploy_info(self) -> dict[str, Any]:
        """Describe what is served; raises ModelNotReady."""

    @property
    def model_meta(self) -> Any:
        """Classes and tags of the answers."""


def session_router(app: DescribedApp) -> APIRouter:
    """Make the router; its routes are in place of the SDK's of the same names."""
    router = APIRouter(route_class=ReportingRoute)

    @router.post("/is_online")
    async def is_online(_: Envelope) -> Online:
        # Asked with a time-out of one second, so it waits for nothing.
        return Online(is_online=app.deployment.served is not None)

    @router.post("/get_session_info")
    def get_session_info(_: Envelope) -> SessionInfo:
        return SessionInfo.model_validate(app.session_info())

    @router.post("/get_model_meta")
    @router.post("/get_output_classes_and_tags")
    def get_model_meta(_: Envelope) -> dict[str, Any]:
        meta: dict[str, Any] = app.model_meta.to_json()
        return meta

    @router.post("/get_custom_inference_settings")
    def get_custom_inference_settings(_: Envelope) -> InferenceSettings:
        return InferenceSettings(settings=app.custom_inference_settings)

    @router.post("/get_tracking_settings")
    def get_tracking_settings(_: Envelope) -> dict[str, Any]:
        return {}

    @router.post("/get_deploy_info")
    def get_deploy_info(_: Envelope) -> DeployInfo:
        return DeployInfo.model_validate(app.deploy_info())

    return router
