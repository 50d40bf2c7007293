"""Choose, serve and stop a model over HTTP, without the SDK's Serve page."""

from __future__ import annotations

from typing import Literal, Protocol

from fastapi import APIRouter
from pydantic import BaseModel
from supervisely.nn.utils import ModelSource, RuntimeType

from sam2_serving.app.addresses import ServerPolicy
from sam2_serving.app.catalogue import Catalogue, ModelChoice
from sam2_serving.app.deployment import Deployment, State
from sam2_serving.app.platform.api import caller_of
from sam2_serving.app.reporting import BadRequest, ReportingRoute, UnsupportedSource
from sam2_serving.app.requests import DeployRequest, Envelope
from sam2_serving.pretrained import PretrainedModel, pretrained_models

_NOT_COLUMNS = ("Model", "Note")


class OfferedModel(BaseModel):
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
    input_size: int


class Progress(BaseModel):
    """How far loading is; in bytes while a file is downloaded."""

    message: str
    current: int
    total: int | None


class ServeOptions(BaseModel):
    """What can be served, what is served, and what is going on."""

    models: list[OfferedModel]
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
    catalogue: Catalogue

    def devices(self) -> dict[str, str]:
        """Return {name: title} of this machine's devices."""

    def deploy(self, choice: ModelChoice, device: str | None) -> None:
        """Serve a model; returns when it is ready."""

    def stop(self) -> None:
        """Stop serving."""


def serving_router(app: ServingApp, servers: ServerPolicy) -> APIRouter:
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
        if params.runtime not in (None, RuntimeType.PYTORCH):
            raise UnsupportedSource("Only the runtime 'PyTorch' is supported.")
        app.deploy(_choice_in(body, app, servers), params.device)
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
        models=[_offered(model) for model in pretrained_models()],
        devices=[DeviceChoice(id=id, title=title) for id, title in app.devices().items()],
        deployed=None
        if served is None
        else DeployedModel(
            model=served.model,
            device=served.device,
            numeric_path=served.numeric_path,
            input_size=served.input_size,
        ),
        state=deployment.state,
        progress=None
        if progress is None
        else Progress(message=progress.message, current=progress.current, total=progress.total),
        error=deployment.error,
    )


def _offered(model: PretrainedModel) -> OfferedModel:
    columns = {key: text for key, text in model.columns.items() if key not in _NOT_COLUMNS}
    return OfferedModel(name=model.name, columns=columns, note=model.columns.get("Note", ""))


def _choice_in(body: DeployRequest, app: ServingApp, servers: ServerPolicy) -> ModelChoice:
    params = body.state.deploy_params
    match params.model_source:
        case ModelSource.PRETRAINED:
            meta = (params.model_info or {}).get("meta")
            named = meta.get("model_name") if isinstance(meta, dict) else None
            return app.catalogue.pretrained(body.state.model_name or named)
        case ModelSource.CUSTOM | ModelSource.EXTERNAL:
            # With the rights of whoever asks: Team Files are not the same for everybody.
            caller = caller_of(body.server_address, body.api_token, servers)
            return app.catalogue.in_team_files(
                caller, params.model_files, params.model_source, params.model_info or {}
            )
        case _:
            known = (ModelSource.PRETRAINED, ModelSource.CUSTOM, ModelSource.EXTERNAL)
            raise BadRequest(f"deploy_params.model_source must be one of {', '.join(known)}.")
