"""The app: the platform SDK's serving class round an engine."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from fastapi import FastAPI
from supervisely.app.fastapi import _MainServer
from supervisely.app.widgets import Field, Switch
from supervisely.nn.inference import Inference
from supervisely.nn.utils import RuntimeType
from supervisely.sly_logger import logger

from sam2_serving.app import environment, logs, tracing
from sam2_serving.app.batched import BatchedSmartTool, batched_router
from sam2_serving.app.catalogue import Catalogue, ModelChoice
from sam2_serving.app.deployment import Deployment, Served
from sam2_serving.app.downloading import get_checkpoint
from sam2_serving.app.edit_masks import EditMasks
from sam2_serving.app.editing import Editing
from sam2_serving.app.idle import IdleWatch
from sam2_serving.app.inference.routes import inference_router
from sam2_serving.app.inference.tool import make_inference_tool
from sam2_serving.app.media import MediaLibrary
from sam2_serving.app.monitoring import monitoring_router
from sam2_serving.app.page import page_options, told_on_page
from sam2_serving.app.platform.api import PlatformClient
from sam2_serving.app.prefetching import LookAhead, smart_cache_router
from sam2_serving.app.reporting import AppError, BadRequest, DeployFailed
from sam2_serving.app.sdk_app import OBJECT_CLASS, SdkApp
from sam2_serving.app.serving import serving_router
from sam2_serving.app.session import session_router
from sam2_serving.app.shutdown import Shutdown
from sam2_serving.app.smart_tool import SmartTool, smart_tool_router
from sam2_serving.app.telemetry import EngineWatch
from sam2_serving.app.tracking.routes import tracking_router
from sam2_serving.app.tracking.tool import make_track_tool
from sam2_serving.app.workers import Workers
from sam2_serving.engine import DiskTier, Engine
from sam2_serving.engine.all_cores import with_all_cores
from sam2_serving.model import DeviceError, ModelError, available_devices, load_model
from sam2_serving.model.devices import resolve_device
from sam2_serving.settings import ServerSettings, server_settings

FREEZE_AFTER_S = 3600.0
"""The SDK's time without a request after which a GPU is given back."""
CPU = "cpu"
"""The SDK's rule: a model that was deployed here is not frozen."""


class SegmentAnything2(SdkApp):
    """Serves SAM 2.1 to the platform's tools.

    With a Serve page where the platform's environment is given, headless anywhere else: then the
    model of the server settings is loaded at the start, and the platform is not called at all.
    """

    def __init__(
        self,
        settings: ServerSettings | None = None,
        headless: bool | None = None,
        model: str | None = None,
        device: str | None = None,
        runtime: str | None = None,
    ) -> None:
        """Build the app; nothing is loaded and nobody listens yet, unless a model is named.

        Args:
            settings: server settings; default: those of the environment.
            headless: without a Serve page; default: unless the platform's environment is given.
            model: the SDK's "quick deploy": serve this at once, beside the caller's own work. A
                name of the table, a local file, or a path in Team Files.
            device: of the named model; default: that of the settings.
            runtime: of the named model; only PyTorch.
        """
        self.settings = settings or server_settings()
        self.deployment = Deployment()
        self.shutdown = Shutdown()
        self.catalogue = Catalogue(self.settings)
        no_page = model is not None or not environment.has_serve_page()
        self._headless = no_page if headless is None else headless
        self._box_switch: Switch | None = None
        self._sdk_stops: tuple[Callable[[Any], object], ...] = ()
        self._loaded: Served | None = None
        self._idle = IdleWatch(FREEZE_AFTER_S, self._freeze_model)
        self._clicks = FastAPI(openapi_url=None)
        logs.install(self.settings.log_format)
        tracing.start()
        environment.complete(self.settings.data_dir)
        if not self._headless:
            self.APP_OPTIONS = page_options(self.APP_OPTIONS, self.settings)
        try:
            # The SDK's PromptableSegmentation cannot ask for the template Serve page, its base can.
            Inference.__init__(
                self,
                model_dir=str(self.settings.data_dir / "models"),
                use_gui=not self._headless,
                use_serving_gui_template=not self._headless,
                model=model,
                device=device,
                runtime=runtime,
            )
        except AppError as error:
            if not getattr(self, "_is_cli_deploy", False):
                raise
            raise SystemExit(f"No model is served: {error}") from error

    # What the SDK's base asks for

    def load_model(
        self,
        model_files: dict[str, str],
        model_info: dict[str, Any],
        device: str | None,
        shown_name: str | None = None,
        **_: Any,
    ) -> None:
        """Load a checkpoint into a new engine.

        :param model_files: local paths; the checkpoint is under the key "checkpoint".
        :param model_info: the model's row in models.json, or an experiment.
        :param device: cpu, cuda or cuda:N.
        :param shown_name: what people call the model.
        """
        self._release_engine()
        checkpoint = model_files["checkpoint"]
        engine, place, precision = self._make_engine(checkpoint, device)
        self.classes = [OBJECT_CLASS]
        self.device = place
        self.model_precision = precision
        self.update_model_meta()
        shown = shown_name or model_info.get("model_name") or Path(checkpoint).name
        self._loaded = Served(
            model=str(shown),
            device=place,
            numeric_path=engine.numeric_path,
            input_size=engine.input_size,
            compiled=engine.compiled,
            engine=engine,
        )
        logger.info(
            "The model is ready",
            extra={
                "model": shown,
                "numeric_path": engine.numeric_path,
                "input_size": engine.input_size,
            },
        )

    def _make_engine(
        self, checkpoint: str, device: str | None, *, compiled: bool = True
    ) -> tuple[Engine, str, str]:
        """Return a new engine (`compiled`: if there is compiled code), its place and format."""
        settings = self.settings
        try:
            model = with_all_cores(
                lambda: load_model(
                    checkpoint,
                    device or settings.device,
                    settings.dtype,
                    verdict_dir=settings.data_dir / "agreement",
                    input_size=settings.input_size,
                    compiled_dir=settings.compiled_folder if compiled else None,
                )
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
            disk=DiskTier(settings.disk_store_folder, settings.disk_store_mb * 2**20),
            queue_limit=settings.queue_limit,
            client_limit=settings.client_queue_limit,
            ahead_share=settings.prefetch_share,
            observer=EngineWatch(),
        )
        return engine, str(model.device), model.dtype

    def _load_model(self, deploy_params: dict[str, Any]) -> None:
        super()._load_model(deploy_params)
        # Only now, when the base knows about the model too, may anybody be told.
        self.deployment.served, self._loaded = self._loaded, None

    def shutdown_model(self) -> None:
        """Stop serving and give the memory back."""
        self._idle.stop()
        self._release_engine()
        super().shutdown_model()
        self._model_meta = None
        self._deploy_params = None
        self.classes = None

    def _release_engine(self) -> None:
        unpublished, self._loaded = self._loaded, None
        for served in (self.deployment.take_served(), unpublished):
            if served is not None and served.engine is not None:
                served.engine.close()

    # Freezing: the SDK reloads an idle model on the CPU, and back, without a lock, behind the back
    # of routes that are not its own (contract, section 1.7). Here a frozen model is not in memory
    # at all, and one lock decides who brings it back.

    def ready_engine(self) -> Engine:
        """Return the engine that serves; brings a frozen model back. Raises ModelNotReady."""
        self._idle.touch()
        return self.deployment.ready_engine(self._wake)

    def put_off_freezing(self) -> None:
        """A job that began long ago still uses the model."""
        self._idle.touch()

    def _wake(self, served: Served) -> Engine:
        params = self._deploy_params
        if params is None:
            raise DeployFailed("The model was stopped at this moment.")
        engine, self.device, _precision = self._make_engine(
            params["model_files"]["checkpoint"],
            params["device"],
            # what was compiled since then is for the next deploy
            compiled=served.compiled,
        )
        self._model_frozen = False
        logger.info("The model is back on its device.")
        return engine

    def _schedule_freeze_on_inactivity(self) -> None:
        self._idle.touch()

    def _freeze_model(self) -> None:
        params = self._deploy_params
        if not params or params["device"] == CPU:
            logger.info("The model is not frozen: it is on the CPU, or there is none.")
        elif self.deployment.freeze():
            self._model_frozen = True
            logger.info("The model is frozen: the next request brings it back.")

    def _unfreeze_model(self) -> None:
        self.ready_engine()

    def _initialize_app_layout(self) -> None:
        self._box_switch = Switch(switched=self.settings.use_box)
        field = Field(
            self._box_switch,
            title="Use bounding box prompt",
            description="Tell the model about the drawn box. If off, the box only cuts the mask.",
        )
        self.gui.add_content_to_default_ui(field)
        self.gui.on_serve_callbacks = [self._serve_from_page]
        self._sdk_stops = tuple(self.gui.on_change_model_callbacks)
        self.gui.on_change_model_callbacks = [self._stop_from_page]
        super()._initialize_app_layout()

    # Serving

    def serve(self) -> None:
        """Register all routes and, when headless, start to load the model."""
        # Before the base does anything: with its command line it never comes back from `serve`.
        self._register_routes()
        if self.gui is not None:
            # At the start nobody is there to read a dialog, and nothing may keep the page waiting.
            self.gui.deploy_with_current_params = self._autostart
        try:
            super().serve()
        finally:
            if self.gui is not None:
                del self.gui.deploy_with_current_params
        if self._headless and not self._is_cli_deploy and not self._is_quick_deploy:
            self._in_background(
                lambda: self.catalogue.named(self.settings.model), self.settings.device
            )

    def _register_routes(self) -> None:
        server = _MainServer().get_server()
        settings, servers = self.settings, self._servers()
        platform = PlatformClient(settings.platform_timeout_s)
        max_pixels = settings.max_image_pixels
        library = MediaLibrary(
            platform,
            max_bytes=settings.max_image_mb * 2**20,
            max_pixels=max_pixels,
            kept_size=self.deployment.kept_size,
        )
        editing = Editing(EditMasks(settings.data_dir / "edits"), platform, max_pixels)
        workers = Workers(waiting_limit=settings.queue_limit)
        ahead = LookAhead(library, platform, settings.prefetch_next)
        tool = SmartTool(self, library, editing, servers, ahead)
        server.include_router(smart_cache_router(ahead, self, servers, workers))
        clicks = smart_tool_router(tool, workers)
        self._clicks.include_router(clicks)
        server.include_router(clicks)  # for its description of the routes
        server.include_router(batched_router(BatchedSmartTool(tool), workers))
        inference = make_inference_tool(self, platform, library, settings, servers)
        self.shutdown.watch(inference.jobs)
        server.include_router(inference_router(inference, workers, settings.max_image_mb * 2**20))
        track_tool = make_track_tool(self, platform, settings, servers)
        self.shutdown.watch(track_tool.jobs)
        server.include_router(tracking_router(track_tool, workers))
        server.include_router(session_router(self))
        server.include_router(monitoring_router(self.deployment, settings.store_mb * 2**20))
        server.include_router(serving_router(self, servers))

    # Deploying

    def deploy(
        self, choice: ModelChoice, device: str | None = None, *, from_page: bool = False
    ) -> None:
        """Serve a model instead of what is served now; returns when it is ready.

        The old model keeps answering until the new checkpoint's file is here. The Serve page shows
        how it ended, before anybody else may load or stop a model.

        Args:
            choice: the model.
            device: default: that of the settings.
            from_page: the page's own button was pressed, so it shows a success by itself.

        Raises:
            BadRequest: there is no such device.
            Conflict: another model is being loaded.
            DeployFailed: the checkpoint could not be fetched or loaded.
            AppError: what the platform says about a file of its own.
        """
        place = _place(device or self.settings.device)
        with self.deployment.loading(f"Loading {choice.name}"):
            bar = self.gui.download_progress if self.gui is not None else None
            params = choice.deploy_params(get_checkpoint(choice, self.deployment, bar), place)
            if self._model_served:
                self.shutdown_model()
            try:
                self._load_model_headless(**params)
            except Exception:
                self._stop_and_show_it()
                raise
            if not from_page:
                self._show_on_page()
        self._schedule_freeze_on_inactivity()

    def stop(self) -> None:
        """Stop serving.

        Raises:
            Conflict: a model is being loaded.
        """
        with self.deployment.loading("Stopping"):
            self._stop_and_show_it()

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

    def _in_background(self, choose: Callable[[], ModelChoice], device: str) -> None:
        """Deploy on a thread; what goes wrong is told to whoever asks for a mask."""

        def work() -> None:
            try:
                self.deploy(choose(), device)
            except AppError as error:
                self.deployment.error = str(error)
                logger.error("No model is served", extra={"reason": str(error)})

        threading.Thread(target=work, daemon=True).start()

    def _serve_from_page(self, gui: Any) -> None:
        try:
            params = gui.get_params_from_gui()
            choice = self.catalogue.again(params)
            self.deploy(choice, params["device"] or "auto", from_page=True)
        except (AppError, ValueError) as error:
            # The page's selectors raise ValueError if nothing was selected.
            raise told_on_page("The model is not served", error) from error

    def _stop_from_page(self, gui: Any) -> None:
        try:
            with self.deployment.loading("Stopping"):
                for stop in self._sdk_stops:
                    stop(gui)
        except AppError as error:
            raise told_on_page("The model is not stopped", error) from error

    def _stop_and_show_it(self) -> None:
        """Give the memory back; only for who has the right to load."""
        if self.gui is None:
            self.shutdown_model()
            return
        for stop in self._sdk_stops:
            stop(self.gui)
        self.gui.change_model()

    def _show_on_page(self) -> None:
        if self.gui is not None:
            self.set_params_to_gui(self._deploy_params)
            self.gui.set_deployed(self.device)

    def _autostart(self) -> None:
        if self.autorestart is None:
            params = self.gui.get_params_from_gui()
            self._in_background(lambda: self.catalogue.again(params), params["device"] or "auto")

    def _deploy_on_autorestart(self) -> None:
        params = self.autorestart.deploy_params
        self._in_background(lambda: self.catalogue.again(params), params.get("device") or "auto")

    def _deploy_headless(self, model: str, device: str | None, runtime: str | None = None) -> Any:
        """Do the SDK's "quick deploy", which would empty the folder of models first."""
        if (runtime or "torch").lower() not in ("torch", RuntimeType.PYTORCH.lower()):
            raise BadRequest("Only the runtime 'PyTorch' is supported.")
        self.deploy(self.catalogue.named(model), device)
        return self

    def _get_deploy_params_from_args(self) -> tuple[dict[str, Any], bool]:
        """Choose and fetch what the SDK's command line names; nothing is left to download."""
        if self._args.runtime not in (None, RuntimeType.PYTORCH):
            raise BadRequest("Only the runtime 'PyTorch' is supported.")
        choice = self.catalogue.named(self._args.model)
        place = _place(self._args.device)
        return choice.deploy_params(get_checkpoint(choice, self.deployment), place), False


def _place(device: str) -> str:
    """Return the device that is meant; `cpu:0` stays what it is, for the SDK's rule of freezing.

    Raises:
        BadRequest: there is no such device.
    """
    try:
        place = str(resolve_device(device))
    except DeviceError as error:
        raise BadRequest(str(error)) from error
    return device if place == CPU and device != "auto" else place
