"""The command `compile`."""

from __future__ import annotations

import argparse
import statistics
import time

from sam2_serving.commands.errors import UsageError
from sam2_serving.commands.loading import load_known
from sam2_serving.commands.models import add_model_options, known_model
from sam2_serving.model import ModelError, SegmentationModel
from sam2_serving.model.agreement import example_picture
from sam2_serving.model.compiled import compile_encoder, load_encoder, remove_encoder, what_lacks
from sam2_serving.model.devices import resolve_device
from sam2_serving.model.loading import compiled_verdict, with_compiled
from sam2_serving.settings import ServerSettings, server_settings

_REPEATS = 9


def add_compile_options(parser: argparse.ArgumentParser, settings: ServerSettings) -> None:
    """Add the options of `compile`."""
    add_model_options(parser, settings)
    parser.set_defaults(run=_compile)


def _compile(options: argparse.Namespace) -> None:
    """Compile the image encoder and say what it is worth; the next deploy uses it."""
    known, folder = known_model(options.model), server_settings().compiled_folder
    try:
        lacking = what_lacks(resolve_device(options.device))
        if lacking is not None:
            raise UsageError(lacking)  # before anything is downloaded
        eager = load_known(known, options.device)
        print(f"Compiling the image encoder of {known.name}: this takes minutes.", flush=True)
        begun = time.monotonic()
        file = compile_encoder(eager, folder)
    except ModelError as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise UsageError(f"{folder} cannot be written to: {error.strerror}.") from error
    took, size = time.monotonic() - begun, file.stat().st_size / 2**20
    encoder = load_encoder(eager, folder)
    if encoder is None:
        raise UsageError("What was compiled cannot be loaded: it stays unused.")
    fast = with_compiled(eager, encoder)
    if not compiled_verdict(fast, eager, server_settings().data_dir / "agreement"):
        remove_encoder(eager, folder)
        raise UsageError("What was compiled gives other masks than the eager encoder: removed.")
    print(f"{file} ({size:.0f} MiB, {took:.0f} s) is used from the next deploy on.")
    print(_worth(fast, eager))


def _worth(fast: SegmentationModel, eager: SegmentationModel) -> str:
    """Time both by turns, and say what came out."""
    prepared = eager.prepare(example_picture())
    taken: dict[str, list[float]] = {"compiled": [], "eager": []}
    for turn in range(_REPEATS + 1):
        for name, model in (("compiled", fast), ("eager", eager)):
            begun = time.perf_counter()
            model.encode(prepared).features.cpu()  # waits for a GPU
            if turn:
                taken[name].append(time.perf_counter() - begun)
    share = statistics.median(taken["compiled"]) / statistics.median(taken["eager"])
    if share < 1:
        return f"an encode takes {share:.0%} of the time it took."
    return (
        f"an encode takes {share:.0%} of the time it took. Unless this machine was busy: delete it."
    )
