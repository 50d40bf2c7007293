"""Settings of the local workspace, read from `SAM2_SERVING_WORKSPACE_<NAME>`."""

from __future__ import annotations

import hashlib
import re
import secrets
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

TEAM_ID = 1
WORKSPACE_ID = 1
TASK_ID = 1
"""The platform numbers these; a local workspace has one of each."""


def _new_secret() -> SecretStr:
    return SecretStr(secrets.token_urlsafe(24))


class WorkspaceSettings(BaseSettings):
    """Where the workspace finds its media, keeps its figures, and whom it trusts."""

    model_config = SettingsConfigDict(env_prefix="SAM2_SERVING_WORKSPACE_", extra="ignore")

    host: str = Field("127.0.0.1", description="Address the workspace listens on.")
    port: int = Field(8080, ge=0, le=65535, description="Port the workspace listens on.")
    allowed_hosts: list[str] = Field(
        default_factory=list,
        description="Host names, besides this machine's own, under which the page may be opened.",
    )

    folder: Path | None = Field(None, description="Media folder; None: the sample folder.")
    data_dir: Path = Field(
        default_factory=lambda: Path.home() / ".cache" / "sam2-serving",
        description="Figures, team files, thumbnails and the sample folder are kept here.",
    )
    team_folder: Path | None = Field(
        None, description="Files put here are team files too; None: team-folder in data_dir."
    )
    database: Path | None = Field(
        None, description="SQLite file; None: one in data_dir for each media folder."
    )

    app_url: str = Field("http://127.0.0.1:8000", description="Where the app listens.")
    app_key: SecretStr | None = Field(
        None, description="The app's access key, if it wants one (SAM2_SERVING_ACCESS_KEY)."
    )
    server_address: str | None = Field(
        None, description="The address under which the app reaches the workspace."
    )
    token: SecretStr = Field(
        default_factory=_new_secret, min_length=8, description="The owner's API token."
    )
    session_token: SecretStr = Field(
        default_factory=_new_secret, min_length=8, description="Names the app in /net/<token>/."
    )
    proxy_timeout_s: float = Field(
        600.0, gt=0, description="Longest silence of the app before the proxy answers 504."
    )
    faults: bool = Field(
        False, description="The owner may let calls of the platform's API fail, for tests."
    )
    max_request_mb: int = Field(64, ge=1, description="Largest body of a request, MiB.")
    max_upload_mb: int = Field(
        4096, ge=1, description="Largest upload to team files or media, MiB."
    )

    @property
    def media_folder(self) -> Path:
        """The folder that is served."""
        return self.folder if self.folder is not None else self.data_dir / "samples"

    @property
    def team_files(self) -> Path:
        """The folder whose files are team files under the same path."""
        return self.team_folder if self.team_folder is not None else self.data_dir / "team-folder"

    @property
    def database_path(self) -> Path:
        """The SQLite file: one for each media folder, so that ids and figures stay with it."""
        if self.database is not None:
            return self.database
        folder = self.media_folder.resolve()
        readable = re.sub(r"[^A-Za-z0-9]+", "-", folder.name).strip("-")[:40] or "folder"
        mark = hashlib.sha256(str(folder).encode()).hexdigest()[:10]
        return self.data_dir / "workspaces" / f"{readable}-{mark}.sqlite"

    @property
    def public_address(self) -> str:
        """The workspace's address as the app uses it."""
        if self.server_address is not None:
            return self.server_address.rstrip("/")
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host
        return f"http://{host}:{self.port}"
