"""The image encoder as machine code: made beforehand by a command, used from the next load on.

Nothing is ever compiled while a model is served. What was compiled lies in a folder: the code, with
the weights in it, and a note that says how it was made. It is used only where it would be made
again as it is: same weights, input size, number format, torch, kind of processor and number of
threads; and only after its masks agreed with the eager encoder's. The code runs as it is, with all
rights of the process: the folder must belong to whoever runs the app.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
import platform
import shutil
from pathlib import Path
from uuid import uuid4

import torch
from torch import Tensor, nn

from sam2_serving.model.compiled_encoder import CompiledEncoder
from sam2_serving.model.encoding import Maps
from sam2_serving.model.errors import CompileError
from sam2_serving.model.image import SegmentationModel
from sam2_serving.model.parts import finish

logger = logging.getLogger(__name__)

_FORM = 1
"""Of the compiled function: what it takes and gives. Another number leaves older files alone."""


def what_lacks(device: torch.device) -> str | None:
    """Return what must be installed before anything can be compiled for a device, in a sentence."""
    if not hasattr(torch._inductor, "aoti_load_package"):
        return f"torch {torch.__version__} cannot keep compiled code: 2.6 or newer is needed."
    compiler = os.environ.get("CXX") or ("clang++" if platform.system() == "Darwin" else "g++")
    if shutil.which(compiler) is None:
        return f"There is no C++ compiler {compiler!r}: install one, or name it in CXX."
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        return "There is no triton, without which nothing is compiled for a GPU: install it."
    return None


def compile_encoder(model: SegmentationModel, folder: Path) -> Path:
    """Compile a model's image encoder; takes minutes.

    Args:
        model: eager.
        folder: is made if need be; what was there for the same model is replaced.

    Returns:
        the file.

    Raises:
        CompileError: something that is needed is not installed, or the compiler failed.
        OSError: the folder cannot be written to.
    """
    lacking = what_lacks(model.device)
    if lacking is not None:
        raise CompileError(lacking)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = _file(model, folder)
    draft = folder / f"{uuid4().hex}.pt2"  # torch asks for this ending
    try:
        _compile(model, draft)
        note = {"sha256": _digest(draft)} | _made_for(model)
        _note(file).unlink(missing_ok=True)  # code and note of two runs must never meet
        os.replace(draft, file)
    except OSError:
        raise
    except Exception as error:
        # tracer, code generator and compiler raise whatever they stumble over
        raise CompileError(f"Compiling failed: {type(error).__name__}: {error}") from error
    finally:
        draft.unlink(missing_ok=True)
    draft.write_text(json.dumps(note, indent=1))
    os.replace(draft, _note(file))
    return file


def remove_encoder(model: SegmentationModel, folder: Path) -> None:
    """Remove what was compiled for a model, if anything was."""
    file = _file(model, folder)
    _note(file).unlink(missing_ok=True)
    file.unlink(missing_ok=True)


def load_encoder(model: SegmentationModel, folder: Path) -> CompiledEncoder | None:
    """Return what was compiled for a model; None, and a line in the log, if there is nothing good.

    Args:
        model: eager.
        folder: as given to `compile_encoder`.
    """
    file = _file(model, folder)
    if not _note(file).is_file():
        logger.info("The image encoder is eager: none was compiled for it.")
        return None
    try:
        note = json.loads(_note(file).read_text())
        digest = _digest(file)
        if not isinstance(note, dict) or note.pop("sha256", None) != digest:
            raise ValueError("the file is not the one that was compiled")
        if note != _made_for(model):
            raise ValueError("it was compiled for something else")
        if not hasattr(torch._inductor, "aoti_load_package"):
            raise ValueError(f"torch {torch.__version__} cannot load it")
        code = torch._inductor.aoti_load_package(str(file))
    except Exception as error:
        # loading code meets all that can be wrong with a file and a machine
        logger.warning("The image encoder is eager: %s is refused: %s", file.name, error)
        return None
    return CompiledEncoder(digest, code)


class _Encoder(nn.Module):
    """A model's image encoder as a function of pixels alone, in the model's number format."""

    def __init__(self, model: SegmentationModel) -> None:
        super().__init__()
        self.network = model.network  # so that its weights are found
        self._model = model

    def forward(self, pixels: Tensor) -> Maps:
        with self._model.arithmetic():
            return finish(self._model.feature_maps(pixels))


def _compile(model: SegmentationModel, file: Path) -> None:
    side = model.input_size
    pixels = torch.zeros(1, 3, side, side, device=model.device)
    # not in inference mode, whose tensors cannot be traced
    with torch.no_grad():
        encoder = _Encoder(model).eval()
        encoder(pixels)  # what the network keeps from its first run must not be kept from a tracing
        program = torch.export.export(encoder, (pixels,))
        torch._inductor.aoti_compile_and_package(program, package_path=str(file))


def _file(model: SegmentationModel, folder: Path) -> Path:
    identity = hashlib.sha256(json.dumps(_made_for(model), sort_keys=True).encode()).hexdigest()
    return folder / f"{model.config_name.removesuffix('.yaml')}-{identity[:24]}.pt2"


def _note(file: Path) -> Path:
    return file.with_suffix(".json")


def _made_for(model: SegmentationModel) -> dict[str, str | int]:
    """Return all that the code is a function of; the numeric path has the number of threads."""
    return {
        "form": _FORM,
        "weights": model.fingerprint,
        "numeric_path": model.numeric_path,
        "torch": torch.__version__,
        "processor": _processor(model.device),
    }


def _processor(device: torch.device) -> str:
    """Name what the code may run on: it uses every instruction of the processor it is made on."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()} {hashlib.sha256(flags.encode()).hexdigest()[:16]}"


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while piece := content.read(2**20):
            digest.update(piece)
    return digest.hexdigest()
