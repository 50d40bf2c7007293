"""The pretrained checkpoints of `serve/models.json`, by name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sam2_serving.downloads import Progress

REPOSITORY = Path(__file__).resolve().parents[2]
MODELS_FILE = REPOSITORY / "serve" / "models.json"


@dataclass(frozen=True)
class PretrainedModel:
    """One row of the table.

    Attributes:
        name: as the Serve page and the platform's API call it.
        aliases: shorter names for the command line.
        checkpoint: http address, or path relative to the repository.
        sha256: digest of the file, if it is known.
        size: bytes of the file, if they are known.
        columns: what the table shows, in order.
    """

    name: str
    aliases: tuple[str, ...]
    checkpoint: str
    sha256: str | None
    size: int | None
    columns: dict[str, str]

    @property
    def short_name(self) -> str:
        """The name to type on a command line."""
        return next(iter(self.aliases), self.name)


@lru_cache(maxsize=1)
def pretrained_models() -> tuple[PretrainedModel, ...]:
    """Return all rows, in the table's order."""
    rows = json.loads(MODELS_FILE.read_text())
    return tuple(
        PretrainedModel(
            name=row["meta"]["model_name"],
            aliases=tuple(row["meta"].get("aliases", ())),
            checkpoint=row["meta"]["model_files"]["checkpoint"],
            sha256=row["meta"].get("sha256"),
            size=row["meta"].get("size"),
            columns={key: str(value) for key, value in row.items() if key != "meta"},
        )
        for row in rows
    )


def find_pretrained(name: str) -> PretrainedModel:
    """Return the row of that name or alias, in any case.

    Raises:
        KeyError: there is none; the text lists the names.
    """
    for model in pretrained_models():
        if name.lower() in (model.name.lower(), *(alias.lower() for alias in model.aliases)):
            return model
    short = ", ".join(
        model.aliases[0] if model.aliases else model.name for model in pretrained_models()
    )
    raise KeyError(f"There is no pretrained model {name!r}; there are: {short}.")


def checkpoint_file(
    model: PretrainedModel, checkpoints_dir: Path, progress: Progress | None = None
) -> Path:
    """Return the local checkpoint file of a pretrained model, downloading it if need be.

    Raises:
        DownloadError: it is not there and could not be fetched.
    """
    if model.checkpoint.startswith(("http://", "https://")):
        from sam2_serving.downloads import fetch  # its HTTP client is slow to import

        return fetch(
            model.checkpoint,
            checkpoints_dir,
            sha256=model.sha256,
            size=model.size,
            progress=progress,
        )
    return REPOSITORY / model.checkpoint
