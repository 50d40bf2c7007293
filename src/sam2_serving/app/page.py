"""What the Serve page offers at its start, and how it tells that a button did nothing."""

from __future__ import annotations

from pathlib import Path

import yaml
from fastapi import HTTPException
from supervisely import is_production
from supervisely.app.exceptions import DialogWindowError
from supervisely.sly_logger import logger

from sam2_serving.app import environment
from sam2_serving.app.platform.api import PlatformClient
from sam2_serving.app.reporting import AppError, BadRequest
from sam2_serving.settings import ServerSettings

_EXPERIMENTS = "/experiments"


def page_options(options_file: str, settings: ServerSettings) -> str:
    """Return the file of the page's options, without trained models if they cannot be listed.

    The SDK's page lists them while it is built, and a platform that does not answer ends the app
    (contract, section 1.9). Then the page comes without their tab.
    """
    owner, team_id = environment.owner(), environment.team_id()
    if owner is None or team_id is None:
        return options_file
    client = PlatformClient(settings.platform_timeout_s)
    try:
        client.team_file_list(owner, team_id, _EXPERIMENTS)
        return options_file
    except AppError as error:
        logger.warning("Trained models cannot be listed", extra={"error": str(error)})
    finally:
        client.close()
    options = yaml.safe_load(Path(options_file).read_text())
    reduced = settings.data_dir / "app_options.yaml"
    reduced.parent.mkdir(parents=True, exist_ok=True)
    reduced.write_text(yaml.safe_dump(options | {"custom_models": False}))
    return str(reduced)


def told_on_page(title: str, error: AppError | ValueError) -> Exception:
    """Return what to raise in a button so that the person at the page is told why.

    The platform's page has a dialog, which it opens for the status 500 only; the SDK makes that
    of a `DialogWindowError`, but a crash where there is no platform.
    """
    if is_production():
        dialog: Exception = DialogWindowError(title, str(error))
        return dialog
    status = error.status if isinstance(error, AppError) else BadRequest.status
    return HTTPException(status, {"title": title, "message": str(error), "status": "error"})
