"""Choose, serve and stop a model over HTTP, without the SDK's Serve page."""

from __future__ import annotations

from typing import Literal, Protocol

from fastapi import APIRouter
from pydantic import BaseModel
from supervisely.nn.utils import ModelSource, RuntimeType

from sam2_serving.app.deployment import Deployment, State
from sam2_serving.app.reporting import BadRequest, ReportingRoute, UnsupportedSource
from sam2_serving.app.requests import DeployRequest, Envelope
from sam2_serving.pretrained import PretrainedModel, find_pretrained, pretrained_models

_NOT_COLUMNS = ("Model", "Note")


class ModelChoice(BaseModel):
    """A model that can be served: its name, its columns in the table, a note for people."""

    name: str
    columns: dict[str, str]
    note: str


class DeviceChoice(BaseModel):
    """A device that models can run on."""

    id: str
    title: str


class DeployedModel(BaseModel):
    """The model that answers now."""

    model: str
    device: str
    numeric_path: str


class Progress(BaseModel):
    """How far loading is; in bytes while a file is downloaded."""

    message: str
    current: int
    total: int | None


class ServeOptions(BaseModel):
    """What can be served, what is served, and what is going on."""

    models: list[ModelChoice]
    devices: list[DeviceChoice]
    deployed: DeployedModel | None
    state: State
    progress: Progress | None
    error: str | None


class DeployResult(BaseModel):
    """The SDK's words for a deploy that went well."""

    result: str = "model was successfully deployed"


class Done(BaseModel):
    """It is done."""

    success: Literal[True] = True


class ServingApp(Protocol):
    """What these routes need of the app."""

    deployment: Deployment

    def devices(self) -> dict[str, str]:
        """Return {name: title} of this machine's devices."""

    def deploy_from_api(self, model: PretrainedModel, device: str | None) -> None:
        """Serve a model; returns when it is ready."""

    def stop(self) -> None:
        """Stop serving."""


def serving_router(app: ServingApp) -> APIRouter:
    """Make the router; `/deploy_from_api` is in place of the SDK's of the same name.

    The SDK's unloads the served model before it reads the request (contract, section 1.8).
    """
    router = APIRouter(route_class=ReportingRoute)

    @router.post("/get_serve_options")
    def get_serve_options(_: Envelope) -> ServeOptions:
        return serve_options(app)

    @router.post("/deploy_from_api")
    def deploy_from_api(body: DeployRequest) -> DeployResult:
        params = body.state.deploy_params
        if params.model_source != ModelSource.PRETRAINED:
            raise UnsupportedSource(
                "Not supported yet: only pretrained models can be served "
                f"(model_source {ModelSource.PRETRAINED!r})."
            )
        if params.runtime not in (None, RuntimeType.PYTORCH):
            raise UnsupportedSource("Only the runtime 'PyTorch' is supported.")
        app.deploy_from_api(_model_named(body), params.device)
        return DeployResult()

    @router.post("/stop_model")
    def stop_model(_: Envelope) -> Done:
        app.stop()
        return Done()

    return router


def serve_options(app: ServingApp) -> ServeOptions:
    """Collect what a Serve panel shows."""
    deployment = app.deployment
    served, progress = deployment.served, deployment.progress
    return ServeOptions(
        models=[_choice(model) for model in pretrained_models()],
        devices=[DeviceChoice(id=id, title=title) for id, title in app.devices().items()],
        deployed=None
        if served is None
        else DeployedModel(
            model=served.model, device=served.device, numeric_path=served.engine.numeric_path
        ),
        state=deployment.state,
        progress=None
        if progress is None
        else Progress(message=progress.message, current=progress.current, total=progress.total),
        error=deployment.error,
    )


def _choice(model: PretrainedModel) -> ModelChoice:
    columns = {key: text for key, text in model.columns.items() if key not in _NOT_COLUMNS}
    return ModelChoice(name=model.name, columns=columns, note=model.columns.get("Note", ""))


def _model_named(body: DeployRequest) -> PretrainedModel:
    name = body.state.model_name
    if name is None:
        meta = (body.state.deploy_params.model_info or {}).get("meta")
        name = meta.get("model_name") if isinstance(meta, dict) else None
    if not isinstance(name, str):
        raise BadRequest("state.model_name is missing: which model is to be served?")
    try:
        return find_pretrained(name)
    except KeyError as error:
        raise BadRequest(ascii(error.args[0])[1:-1]) from error
