"""What the platform SDK's serving class asks of its subclasses, and where it must not be followed.

Nothing here loads a model; that is in `app.py`.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from dataclasses import asdict
from pathlib import PurePosixPath
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException
from supervisely import Bitmap, ObjClass, ProjectMeta, TagMeta, TagValueType
from supervisely.app.fastapi import _MainServer
from supervisely.nn.inference import PromptableSegmentation
from supervisely.nn.utils import CheckpointInfo
from supervisely.sly_logger import logger

from sam2_serving.app import environment, logs
from sam2_serving.app.access import AccessKey
from sam2_serving.app.addresses import ServerPolicy
from sam2_serving.app.deployment import Deployment
from sam2_serving.app.monitoring import route_names
from sam2_serving.app.reporting import ModelNotReady
from sam2_serving.app.security import Guard
from sam2_serving.app.shutdown import Shutdown
from sam2_serving.pretrained import MODELS_FILE, find_pretrained
from sam2_serving.settings import KEEP_ALIVE_S, ServerSettings

OBJECT_CLASS = "object_mask"
OBJECT_COLOUR = [24, 144, 255]
APP_NAME = "Serve Segment Anything 2.1"
"""Clients look at how it begins (contract, section 5.3)."""


class SdkApp(PromptableSegmentation):  # type: ignore[misc]
    """The SDK's serving class with the app's manners."""

    FRAMEWORK_NAME = "SAM 2.1"
    MODELS = str(MODELS_FILE)
    APP_OPTIONS = str(MODELS_FILE.with_name("app_options.yaml"))
    INFERENCE_SETTINGS = str(MODELS_FILE.with_name("inference_settings.yaml"))

    classes: list[str] | None
    settings: ServerSettings
    deployment: Deployment
    shutdown: Shutdown
    _headless: bool
    _clicks: FastAPI
    _guard: Guard | None = None

    # What is served

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
            "videos_support": True,
            "async_video_inference_support": True,
            "async_image_inference_support": True,
            "batch_inference_support": True,
            "tracking_algorithms": [],
        }

    def session_info(self) -> dict[str, Any]:
        """Describe the session; raises ModelNotReady."""
        served = self.deployment.check_ready()
        # The class's own method: the SDK replaces the instance's by one that crashes if the
        # model is stopped at this moment.
        return type(self).get_info(self) | {"input_size": served.input_size}

    def deploy_info(self) -> dict[str, Any]:
        """Describe what is served and where; raises ModelNotReady."""
        self.deployment.check_ready()
        try:
            return asdict(self._get_deploy_info())
        except (RuntimeError, ValueError) as error:
            raise ModelNotReady("The model was stopped at this moment.") from error

    def _set_model_meta_custom_model(self, _: dict[str, Any]) -> None:
        """Leave the classes alone: they do not depend on the checkpoint."""

    def _set_model_meta_external_model(self, _: str | None = None) -> None:
        """Leave the classes alone: they do not depend on the checkpoint."""

    def _set_checkpoint_info_custom_model(self, deploy_params: dict[str, Any]) -> None:
        origin = deploy_params.get("origin") or deploy_params["model_files"]["checkpoint"]
        info = deploy_params["model_info"]
        self.checkpoint_info = CheckpointInfo(
            checkpoint_name=PurePosixPath(origin).name,
            model_name=str(info.get("model_name") or PurePosixPath(origin).stem),
            architecture=self.FRAMEWORK_NAME,
            checkpoint_url=None,
            custom_checkpoint_path=origin,
            model_source=deploy_params["model_source"],
        )

    def _set_checkpoint_info_external_model(self, deploy_params: dict[str, Any]) -> None:
        self._set_checkpoint_info_custom_model(deploy_params)

    # Who asks

    def api_from_request(self, request: Any) -> Any:
        """Return the API object of the request's own token; never falls back to the owner's."""
        if request.state.api is None:
            raise HTTPException(401, "The request has no api_token, so it is not known who asks.")
        return request.state.api

    @property
    def api(self) -> Any:
        """The owner's API object, for the Serve page; none when headless."""
        return None if self._headless and not self._is_cli_deploy else super().api

    def _servers(self) -> ServerPolicy:
        return ServerPolicy(environment.configured_server(), self.settings.allowed_servers)

    # How it is started

    def _parse_cli_deploy_args(self) -> tuple[Any, bool]:
        """Read the SDK's own command line, but only if it is one: ours has other arguments."""
        if sys.argv[1:2] not in (["deploy"], ["predict"]):
            return None, False
        args, is_cli = super()._parse_cli_deploy_args()
        if args is not None:
            given = any(word.split("=")[0] == "--device" for word in sys.argv[2:])
            # The SDK's default is a GPU, whether there is one or not.
            args.device = args.device if given else self.settings.device
            try:
                args.model = find_pretrained(args.model).name
            except KeyError:
                logger.info("The model is no name of the table, so it is taken for a path.")
        return args, is_cli

    @property
    def app(self) -> Guard:
        """What a web server runs."""
        if self._guard is None:
            limit = self.settings.max_request_mb * 2**20
            self._guard = Guard(
                self._app,
                self._servers(),
                limit,
                _page_paths,
                self._clicks,
                route_names(_paths),
                self.settings.log_format,
                self.shutdown,
                self._access_key(),
            )
        return self._guard

    def _access_key(self) -> AccessKey:
        key = self.settings.access_key
        return AccessKey(None if key is None else key.get_secret_value())

    def run(self) -> None:
        """Listen on the address of the server settings until stopped."""
        config = uvicorn.Config(
            self.app,
            host=self.settings.host,
            port=self.settings.port,
            ws="websockets",
            timeout_keep_alive=KEEP_ALIVE_S,
        )
        logs.install(self.settings.log_format)  # uvicorn has just made handlers of its own
        self._uvicorn_server = uvicorn.Server(config)
        self._uvicorn_server.run()

    def _run_server(self) -> None:
        self.run()

    def _run_server_in_thread(self) -> None:
        """Listen beside the caller's own work; returns when requests are answered.

        Raises:
            RuntimeError: the address is taken.
        """
        self._server_thread = threading.Thread(target=self.run, daemon=True)
        self._server_thread.start()
        while not (self._uvicorn_server is not None and self._uvicorn_server.started):
            if not self._server_thread.is_alive():
                raise RuntimeError(
                    f"The app cannot listen on {self.settings.host}:{self.settings.port}."
                )
            time.sleep(0.05)


def _page_paths() -> frozenset[str]:
    """Return the routes that the Serve page's widgets registered: /<widget>/<event>."""
    return frozenset(path for path in _paths() if path.count("/") == 2)


def _paths() -> list[str]:
    """Return the paths of all routes."""
    return [getattr(route, "path", "") for route in _MainServer().get_server().routes]
