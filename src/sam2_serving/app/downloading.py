"""Get a model's checkpoint file and show how far it is, on the Serve page and over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sam2_serving.app.catalogue import ModelChoice
from sam2_serving.app.deployment import Deployment, LoadProgress
from sam2_serving.app.reporting import DeployFailed
from sam2_serving.downloads import DownloadError


def get_checkpoint(choice: ModelChoice, deployment: Deployment, bar: Any = None) -> Path:
    """Return the local file of a model; one that is there needs no download.

    Args:
        choice: what is to be served.
        deployment: is told how far it is.
        bar: the Serve page's progress widget, if there is a page.

    Raises:
        DeployFailed: the file could not be fetched.
        AppError: what the platform says about a file of its own.
    """
    report = _Report(choice.name, deployment, bar)
    try:
        return choice.fetch(report)
    except DownloadError as error:
        raise DeployFailed(str(error)) from error
    finally:
        report.close()


class _Report:
    def __init__(self, name: str, deployment: Deployment, bar: Any) -> None:
        self._message = f"Downloading {name}"
        self._deployment = deployment
        self._bar = bar
        self._shown: Any = None
        self._at = 0
        self._before = deployment.progress

    def __call__(self, current: int, total: int | None) -> None:
        self._deployment.progress = LoadProgress(self._message, current, total)
        if self._bar is None:
            return
        if self._shown is None:
            self._bar.show()
            self._shown = self._bar(
                message=self._message, total=total, unit="bytes", unit_scale=True
            )
        self._shown.update(current - self._at)
        self._at = current

    def close(self) -> None:
        self._deployment.progress = self._before
        if self._shown is not None:
            self._shown.close()
            self._bar.hide()
