"""The app: the platform SDK's serving class round an engine."""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import asdict
from typing import Any, Literal

import uvicorn
from fastapi import HTTPException
from supervisely import Bitmap, ObjClass, ProjectMeta, TagMeta, TagValueType
from supervisely.app.exceptions import DialogWindowError
from supervisely.app.fastapi import _MainServer
from supervisely.app.widgets import Field, Switch
from supervisely.nn.inference import Inference, PromptableSegmentation
from supervisely.nn.utils import ModelSource, RuntimeType
from supervisely.sly_logger import logger

from sam2_serving.app import environment, redaction
from sam2_serving.app.addresses import ServerPolicy
from sam2_serving.app.deployment import Deployment, Served
from sam2_serving.app.downloading import get_checkpoint
from sam2_serving.app.edit_masks import EditMasks
from sam2_serving.app.editing import Editing
from sam2_serving.app.media import MediaLibrary
from sam2_serving.app.platform_api import PlatformClient
from sam2_serving.app.reporting import AppError, BadRequest, DeployFailed, ModelNotReady
from sam2_serving.app.security import Guard
from sam2_serving.app.serving import serving_router
from sam2_serving.app.session import session_router
from sam2_serving.app.smart_tool import SmartTool, smart_tool_router
from sam2_serving.app.workers import Workers
from sam2_serving.engine import Engine
from sam2_serving.model import DeviceError, ModelError, available_devices, load_model
from sam2_serving.model.devices import resolve_device
from sam2_serving.pretrained import (
    MODELS_FILE,
    PretrainedModel,
    find_pretrained,
)
from sam2_serving.settings import ServerSettings, server_settings

OBJECT_CLASS = "object_mask"
OBJECT_COLOUR = [24, 144, 255]
APP_NAME = "Serve Segment Anything 2.1"
"""Clients look at how it begins (contract, section 5.3)."""


class SegmentAnything2(PromptableSegmentation):  # type: ignore[misc]
    """Serves SAM 2.1 to the platform's tools.

    With a Serve page where the platform's environment is given, headless anywhere else: then the
    model of the server settings is loaded at the start, and the platform is not called at all.
    """

    FRAMEWORK_NAME = "SAM 2.1"
    MODELS = str(MODELS_FILE)
    APP_OPTIONS = str(MODELS_FILE.with_name("app_options.yaml"))
    INFERENCE_SETTINGS = str(MODELS_FILE.with_name("inference_settings.yaml"))

    classes: list[str] | None

    def __init__(
        self, settings: ServerSettings | None = None, headless: bool | None = None
    ) -> None:
        """Build the app; nothing is loaded and nobody listens yet.

        Args:
            settings: server settings; default: those of the environment.
            headless: without a Serve page; default: unless the platform's environment is given.
        """
        self.settings = settings or server_settings()
        self.deployment = Deployment()
        self._headless = not environment.has_serve_page() if headless is None else headless
        self._box_switch: Switch | None = None
        self._loaded: Served | None = None
        self._guard: Guard | None = None
        redaction.install()
        environment.complete(self.settings.data_dir)
        # The SDK's PromptableSegmentation cannot ask for the template Serve page, its base can.
        Inference.__init__(
            self,
            model_dir=str(self.settings.data_dir / "models"),
            use_gui=not self._headless,
            use_serving_gui_template=not self._headless,
        )

    # What the SDK's base asks for

    def load_model(
        self,
        model_files: dict[str, str],
        model_info: dict[str, Any],
        device: str,
        **_: Any,
    ) -> None:
        """Load a checkpoint into a new engine.

        :param model_files: local paths; the checkpoint is under the key "checkpoint".
        :param model_info: the model's row in models.json.
        :param device: cpu, cuda or cuda:N.
        """
        self._release_engine()
        settings = self.settings
        try:
            model = load_model(
                model_files["checkpoint"],
                device,
                settings.dtype,
                verdict_dir=settings.data_dir / "agreement",
            )
        except ModelError as error:
            raise DeployFailed(str(error)) from error
        except Exception as error:
            logger.error("Loading failed", exc_info=error)
            raise DeployFailed(f"The model could not be loaded: {type(error).__name__}.") from error
        engine = Engine(
            model,
            store_bytes=settings.store_mb * 2**20,
            host_store_bytes=settings.host_store_mb * 2**20,
            queue_limit=settings.queue_limit,
        )
        self.classes = [OBJECT_CLASS]
        self.device = str(model.device)
        self.model_precision = model.dtype
        self.update_model_meta()
        name = str(model_info["meta"]["model_name"])
        self._loaded = Served(name, str(model.device), engine)

    def _load_model(self, deploy_params: dict[str, Any]) -> None:
        super()._load_model(deploy_params)
        # Only now, when the base knows about the model too, may anybody be told.
        self.deployment.served, self._loaded = self._loaded, None

    def shutdown_model(self) -> None:
        """Stop serving and give the memory back."""
        self._release_engine()
        super().shutdown_model()
        self._model_meta = None
        self._deploy_params = None
        self.classes = None

    def update_model_meta(self) -> None:
        """Set the classes that masks get; they do not depend on the checkpoint."""
        classes = [ObjClass(OBJECT_CLASS, Bitmap, OBJECT_COLOUR)]
        tags = [TagMeta(self._confidence, TagValueType.ANY_NUMBER, color=OBJECT_COLOUR)]
        self._model_meta = ProjectMeta(classes, tags)

    def get_info(self) -> dict[str, Any]:
        """Describe the session to clients; says no to what is not served yet."""
        info: dict[str, Any] = super().get_info()
        return info | {
            "app_name": os.environ.get("APP_NAME", APP_NAME),
            "videos_support": False,
            "async_video_inference_support": False,
            "async_image_inference_support": False,
            "tracking_algorithms": [],
        }

    def session_info(self) -> dict[str, Any]:
        """Describe the session; raises ModelNotReady."""
        self.deployment.ready_engine()
        # The class's own method: the SDK replaces the instance's by one that crashes if the
        # model is stopped at this moment.
        return SegmentAnything2.get_info(self)

    def deploy_info(self) -> dict[str, Any]:
        """Describe what is served and where; raises ModelNotReady."""
        self.deployment.ready_engine()
        try:
            return asdict(self._get_deploy_info())
        except (RuntimeError, ValueError) as error:
            raise ModelNotReady("The model was stopped at this moment.") from error

    def api_from_request(self, request: Any) -> Any:
        """Return the API object of the request's own token; never falls back to the owner's."""
        if request.state.api is None:
            raise HTTPException(401, "The request has no api_token, so it is not known who asks.")
        return request.state.api

    @property
    def api(self) -> Any:
        """The owner's API object, for the Serve page; none when headless."""
        return None if self._headless and not self._is_cli_deploy else super().api

    def _parse_cli_deploy_args(self) -> tuple[Any, bool]:
        """Read the SDK's own command line, but only if it is one: ours has other arguments."""
        if sys.argv[1:2] not in (["deploy"], ["predict"]):
            return None, False
        args, is_cli = super()._parse_cli_deploy_args()
        if args is not None:
            try:
                args.model = find_pretrained(args.model).name
            except KeyError:
                logger.info("The model is no name of the table, so it is taken for a path.")
        return args, is_cli

    # The SDK moves an idle model to the CPU behind the back of routes that are not its own, and
    # back without a lock (contract, section 1.7). Until it can be done safely, it is not done.

    def _schedule_freeze_on_inactivity(self) -> None:
        """Leave the model where it is."""

    def _freeze_model(self) -> None:
        logger.info("The model is not frozen: this app keeps it where it was deployed.")

    def _unfreeze_model(self) -> None:
        """Nothing was frozen."""

    def _initialize_app_layout(self) -> None:
        self._box_switch = Switch(switched=self.settings.use_box)
        field = Field(
            self._box_switch,
            title="Use bounding box prompt",
            description="Tell the model about the drawn box. If off, the box only cuts the mask.",
        )
        self.gui.add_content_to_default_ui(field)
        self.gui.on_serve_callbacks = [self._serve_from_page]
        super()._initialize_app_layout()

    # Serving

    def serve(self) -> None:
        """Register all routes and, when headless, start to load the model."""
        # Before the base does anything: with its command line it never comes back from `serve`.
        self._register_routes()
        super().serve()
        if self._headless and not self._is_cli_deploy:
            threading.Thread(target=self._deploy_default, daemon=True).start()

    @property
    def app(self) -> Guard:
        """What a web server runs."""
        if self._guard is None:
            limit = self.settings.max_request_mb * 2**20
            self._guard = Guard(self._app, self._servers(), limit)
        return self._guard

    def run(self) -> None:
        """Listen on the address of the server settings until stopped."""
        config = uvicorn.Config(
            self.app, host=self.settings.host, port=self.settings.port, ws="websockets"
        )
        self._uvicorn_server = uvicorn.Server(config)
        self._uvicorn_server.run()

    def _run_server(self) -> None:
        self.run()

    def _run_server_in_thread(self) -> None:
        self._server_thread = threading.Thread(target=self.run, daemon=True)
        self._server_thread.start()

    def _servers(self) -> ServerPolicy:
        return ServerPolicy(environment.configured_server(), self.settings.allowed_servers)

    def _register_routes(self) -> None:
        server = _MainServer().get_server()
        settings, servers = self.settings, self._servers()
        platform = PlatformClient(settings.platform_timeout_s)
        max_pixels = settings.max_image_pixels
        library = MediaLibrary(
            platform, max_bytes=settings.max_image_mb * 2**20, max_pixels=max_pixels
        )
        editing = Editing(EditMasks(settings.data_dir / "edits"), platform, max_pixels)
        workers = Workers(waiting_limit=settings.queue_limit)
        tool = SmartTool(self, library, editing, servers)
        server.include_router(smart_tool_router(tool, workers))
        server.include_router(session_router(self))
        server.include_router(serving_router(self))

    # Deploying

    def deploy(self, model: PretrainedModel, device: str) -> None:
        """Serve a pretrained model instead of what is served now; returns when it is ready.

        The old model keeps answering until the new checkpoint's file is here.

        Raises:
            BadRequest: there is no such device.
            Conflict: another model is being loaded.
            DeployFailed: the checkpoint could not be fetched or loaded.
        """
        try:
            place = str(resolve_device(device))
        except DeviceError as error:
            raise BadRequest(str(error)) from error
        with self.deployment.loading(f"Loading {model.name}"):
            row = next(r for r in self.pretrained_models if r["meta"]["model_name"] == model.name)
            params: dict[str, Any] = {
                "model_source": ModelSource.PRETRAINED,
                "model_files": row["meta"]["model_files"],
                "model_info": row,
                "device": place,
                "runtime": RuntimeType.PYTORCH,
            }
            params["model_files"] = self._download_model_files(params)
            if self._model_served:
                self.shutdown_model()
            try:
                self._load_model_headless(**params)
            except Exception:
                self.shutdown_model()
                raise

    def deploy_from_api(self, model: PretrainedModel, device: str | None) -> None:
        """Deploy for a client and show it on the Serve page, if there is one."""
        self.deploy(model, device or self.settings.device)
        if self.gui is not None:
            self.set_params_to_gui(self._deploy_params)
            self.gui.set_deployed(self.device)

    def stop(self) -> None:
        """Stop serving.

        Raises:
            Conflict: a model is being loaded.
        """
        with self.deployment.loading("Stopping"):
            if self.gui is None:
                self.shutdown_model()
                return
            for callback in self.gui.on_change_model_callbacks:
                callback(self.gui)
            self.gui.change_model()

    def devices(self) -> dict[str, str]:
        """Return {name: title} of the devices of this machine."""
        return available_devices()

    @property
    def use_box(self) -> bool:
        """Default of the inference setting `use_box`: the page's switch, else the settings."""
        if self._box_switch is None:
            return self.settings.use_box
        return bool(self._box_switch.is_switched())

    @property
    def refine(self) -> Literal["single", "two_pass"]:
        """Default of the inference setting `refine`."""
        return self.settings.refine

    def ready_engine(self) -> Engine:
        """Return the engine that serves; raises ModelNotReady."""
        return self.deployment.ready_engine()

    def _deploy_default(self) -> None:
        try:
            self.deploy(find_pretrained(self.settings.model), self.settings.device)
        except (AppError, KeyError) as error:
            reason = str(error.args[0]) if isinstance(error, KeyError) else str(error)
            self.deployment.error = reason
            logger.error("No model is served", extra={"reason": reason})

    def _serve_from_page(self, gui: Any) -> None:
        params = gui.get_params_from_gui()
        try:
            model = find_pretrained(params["model_info"]["meta"]["model_name"])
            self.deploy(model, params["device"] or "auto")
        except AppError as error:
            raise DialogWindowError("The model is not served", str(error)) from error

    def _download_model_files(
        self, deploy_params: dict[str, Any], log_progress: bool = True
    ) -> dict[str, str]:
        """Return the local files of a model of the table; one that is there needs no network.

        What the caller says about files is not looked at: only the table's own are used.
        """
        try:
            model = find_pretrained(deploy_params["model_info"]["meta"]["model_name"])
        except (KeyError, TypeError) as error:
            raise BadRequest("Only models of the app's own table are served yet.") from error

        bar = self.gui.download_progress if log_progress and self.gui is not None else None
        path = get_checkpoint(model, self.settings.checkpoints_dir, self.deployment, bar)
        return {**deploy_params["model_files"], "checkpoint": str(path)}

    def _release_engine(self) -> None:
        unpublished, self._loaded = self._loaded, None
        for served in (self.deployment.take_served(), unpublished):
            if served is not None:
                served.engine.close()
