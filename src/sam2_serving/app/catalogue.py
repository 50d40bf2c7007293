"""What can be served: a model of the table, a file in Team Files, a file on this machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from supervisely.nn.utils import ModelSource, RuntimeType

from sam2_serving.app import environment
from sam2_serving.app.platform.api import Caller
from sam2_serving.app.reporting import BadRequest
from sam2_serving.app.team_files import Progress, TeamFiles
from sam2_serving.pretrained import MODELS_FILE, checkpoint_file, find_pretrained
from sam2_serving.settings import ServerSettings


@dataclass(frozen=True)
class ModelChoice:
    """A model to be served, and how its checkpoint file is come by.

    Attributes:
        name: what people call it.
        source: one of the SDK's `ModelSource`.
        info: the SDK's `model_info`: a row of the table, or an experiment.
        origin: where the checkpoint comes from: an address, or a path.
        fetch: returns the local file.
    """

    name: str
    source: str
    info: dict[str, Any]
    origin: str
    fetch: Callable[[Progress], Path]

    def deploy_params(self, checkpoint: Path, device: str) -> dict[str, Any]:
        """Return the SDK's deploy parameters, which are also what an autorestart begins with."""
        return {
            "model_source": self.source,
            "model_files": {"checkpoint": str(checkpoint)},
            "model_info": self.info,
            "device": device,
            "runtime": RuntimeType.PYTORCH,
            "shown_name": self.name,
            "origin": self.origin,
        }


class Catalogue:
    """Finds what is to be served, by whatever name it goes. Thread-safe."""

    def __init__(self, settings: ServerSettings) -> None:
        """Take the server's settings, which say where files are kept."""
        self._settings = settings
        self._rows = {row["meta"]["model_name"]: row for row in json.loads(MODELS_FILE.read_text())}

    def pretrained(self, name: Any) -> ModelChoice:
        """Choose a model of the table.

        Raises:
            BadRequest: it is no name of the table.
        """
        if not isinstance(name, str):
            raise BadRequest("state.model_name is missing: which model is to be served?")
        try:
            model = find_pretrained(name)
        except KeyError as error:
            raise BadRequest(ascii(error.args[0])[1:-1]) from error
        folder = self._settings.checkpoints_dir
        return ModelChoice(
            model.name,
            ModelSource.PRETRAINED,
            self._rows[model.name],
            model.checkpoint,
            lambda progress: checkpoint_file(model, folder, progress),
        )

    def in_team_files(
        self, caller: Caller, model_files: Any, source: str, info: dict[str, Any]
    ) -> ModelChoice:
        """Choose a checkpoint in Team Files, with the rights of `caller`.

        Raises:
            BadRequest: no path is given, or the app belongs to no team.
        """
        path = model_files.get("checkpoint") if isinstance(model_files, dict) else None
        if not isinstance(path, str) or not path.startswith("/"):
            raise BadRequest(
                "deploy_params.model_files.checkpoint is missing: the checkpoint's path in "
                "Team Files."
            )
        team_id = environment.team_id()
        if team_id is None:
            raise BadRequest("The app belongs to no team, so it has no Team Files: set TEAM_ID.")
        files = TeamFiles(caller, team_id, self._settings.data_dir / "team-files")
        name, experiment = PurePosixPath(path).name, info.get("experiment_name")
        shown = f"{experiment}: {name}" if isinstance(experiment, str) and experiment else name
        return ModelChoice(shown, source, info, path, lambda progress: files.fetch(path, progress))

    def named(self, name: str) -> ModelChoice:
        """Choose by what the app's owner wrote: a name, a local file, a path in Team Files.

        Raises:
            BadRequest: it is none of them.
        """
        try:
            return self.pretrained(name)
        except BadRequest as error:
            path, owner = Path(name), environment.owner()
            if path.is_file():
                return _local(path.resolve())
            if owner is None or not name.startswith("/"):
                raise BadRequest(f"{error} There is no file of this name either.") from error
            return self.in_team_files(owner, {"checkpoint": name}, ModelSource.EXTERNAL, {})

    def again(self, params: dict[str, Any]) -> ModelChoice:
        """Choose by the SDK's deploy parameters, of the Serve page or of a task that was killed.

        Raises:
            BadRequest: they name nothing that can be served.
        """
        source, info = params["model_source"], params["model_info"] or {}
        if source == ModelSource.PRETRAINED:
            return self.pretrained(info.get("meta", {}).get("model_name"))
        owner = environment.owner()
        if owner is None:
            raise BadRequest("Team Files need SERVER_ADDRESS and API_TOKEN.")
        origin = params.get("origin")
        files = {"checkpoint": origin} if origin else params["model_files"]
        return self.in_team_files(owner, files, source, info)


def _local(path: Path) -> ModelChoice:
    info = {"model_name": path.stem}
    return ModelChoice(path.name, ModelSource.EXTERNAL, info, str(path), lambda _: path)
