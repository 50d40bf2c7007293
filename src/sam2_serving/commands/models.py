"""Which model a command means, and the commands `models` and `download`."""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from sam2_serving.commands.errors import UsageError
from sam2_serving.pretrained import (
    PretrainedModel,
    checkpoint_file,
    find_pretrained,
    pretrained_models,
)
from sam2_serving.settings import ServerSettings, server_settings


def add_model_options(parser: argparse.ArgumentParser, settings: ServerSettings) -> None:
    """Let the user choose the model and where it runs."""
    parser.add_argument("--model", default=settings.model, help="name or alias: see `models`")
    parser.add_argument("--device", default=settings.device, help="auto, cpu, cuda, cuda:N")


def known_model(name: str) -> PretrainedModel:
    """Return the pretrained model of that name or alias.

    Raises:
        UsageError: there is none.
    """
    try:
        return find_pretrained(name)
    except KeyError as error:
        raise UsageError(str(error.args[0])) from error


def list_models(_: argparse.Namespace) -> None:
    """Print the table of pretrained models."""
    models = pretrained_models()
    rows = [{"name": model.short_name, **model.columns} for model in models]
    headers = list(rows[0])
    widths = [max(len(header), *(len(row[header]) for row in rows)) for header in headers]
    for cells in [headers, *([row[header] for header in headers] for row in rows)]:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)))


def add_download_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `download`."""
    parser.add_argument("models", nargs="+", metavar="NAME", help="name or alias: see `models`")
    parser.set_defaults(run=_download)


def _download(options: argparse.Namespace) -> None:
    """Fetch checkpoints; a wrong name is found before anything is fetched."""
    for model in [known_model(name) for name in options.models]:
        print(f"{model.name}: {fetch_checkpoint(model)}")


def fetch_checkpoint(model: PretrainedModel) -> Path:
    """Return the model's checkpoint; it is downloaded, with a bar, if it is not there.

    Raises:
        UsageError: it could not be fetched.
    """
    from sam2_serving.downloads import DownloadError

    with tqdm(unit="B", unit_scale=True, desc=model.name, disable=None, leave=False) as bar:

        def show(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        try:
            return checkpoint_file(model, server_settings().checkpoints_dir, show)
        except DownloadError as error:
            raise UsageError(str(error)) from error
