"""Read checkpoint files safely and recognise which network their tensors belong to."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from sam2.modeling.sam2_base import SAM2Base

from sam2_serving.model.errors import CheckpointError, InputSizeError
from sam2_serving.model.huggingface import (
    HUGGING_FACE_ANCHOR,
    StateDict,
    from_hugging_face,
    is_hugging_face,
)
from sam2_serving.model.network import (
    CONFIG_NAMES,
    build_network,
    input_sizes,
    network_config,
)

# Where training programs put a state dict, the wanted one first: of two, the averaged one (EMA)
# is the one that is meant to be used.
_AVERAGED = ("ema", "model_ema", "ema_model", "ema_state_dict")
_WRAPPERS = (*_AVERAGED, "model", "state_dict", "model_state_dict", "module")
_DEEPEST = 4
"""Wrappers inside wrappers that are looked through."""
_NO_WEIGHTS = ("n_averaged",)
"""Counters that averaging wrappers keep beside the weights."""


class Signature(NamedTuple):
    """What tells one packaged network from another, read off the tensor shapes."""

    embed_dim: int
    blocks: int
    d_model: int
    is_2_1: bool


def load_checkpoint(path: str | Path, input_size: int | None = None) -> tuple[SAM2Base, str]:
    """Load a checkpoint into the network that its tensor shapes belong to.

    Args:
        path: `.safetensors`, or a file of `torch.save`; the state dict itself or wrapped as
            training programs do, under the names of Meta's package or of Hugging Face's. Only
            tensors are ever unpickled.
        input_size: side of the square that images will be resized to, pixels, one of
            `input_sizes`; default: what the network was trained with.

    Returns:
        (network in float32 on the CPU, name of its packaged config).

    Raises:
        CheckpointError: missing file, no checkpoint, not a SAM 2 one, or keys do not fit.
        InputSizeError: this network does not take images of that size.
    """
    path = Path(path)
    state = read_state_dict(path)
    config_name = recognise(state)
    sizes = input_sizes(config_name)
    if input_size is not None and input_size not in sizes:
        *others, last = map(str, sizes)
        raise InputSizeError(
            f"{path.name!r} cannot be used with an input size of {input_size} pixels: its network "
            f"takes {', '.join(others)} or {last}."
        )
    network = build_network(config_name, image_size=input_size or sizes[-1])
    _fill(network, state, path.name, config_name)
    return network, config_name


def read_state_dict(path: Path) -> StateDict:
    """Read the tensors of a checkpoint file, without running any code in it.

    Raises:
        CheckpointError: the file is missing, unreadable, or holds no tensors.
    """
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint file {path.name!r}.")
    try:
        if path.suffix.lower() == ".safetensors":
            content: object = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path.name!r} holds more than tensors (or is damaged) and was not opened: "
            "save only the state dict."
        ) from error
    except Exception as error:
        # damaged files make the readers raise whatever they stumble over
        raise CheckpointError(f"{path.name!r} is not a readable checkpoint file.") from error
    return _unwrap(content, path.name)


def _unwrap(content: object, name: str) -> StateDict:
    """Find the network's tensors in what a training program saved, under sam2's own names."""
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{name!r} holds no state dict.")
    tensors = _tensors_in(content, _DEEPEST)
    if not tensors:
        raise CheckpointError(f"{name!r} holds no tensors.")
    state = _without_prefix(tensors)
    return from_hugging_face(state) if is_hugging_face(state) else state


def _tensors_in(content: object, depth: int) -> StateDict:
    """Return the tensors of the likeliest wrapper that has any; one may hold settings only."""
    if not isinstance(content, Mapping):
        return {}
    for wrapper in _WRAPPERS if depth else ():
        wrapped = _tensors_in(content.get(wrapper), depth - 1)
        if wrapped:
            return wrapped
    return {
        key: value
        for key, value in content.items()
        if isinstance(key, str) and isinstance(value, torch.Tensor) and key not in _NO_WEIGHTS
    }


def _without_prefix(state: StateDict) -> StateDict:
    """Strip what wrappers put before every name, such as `module.` or `model.`."""
    anchors = ("image_encoder.trunk.patch_embed.proj.weight", HUGGING_FACE_ANCHOR)
    for anchor in anchors:
        for key in state:
            if key.endswith(anchor):
                prefix = key.removesuffix(anchor)
                return {k.removeprefix(prefix): value for k, value in state.items()}
    return state


def recognise(state: StateDict) -> str:
    """Return the name of the packaged config whose network these tensors belong to.

    Raises:
        CheckpointError: no packaged SAM 2 network has tensors of these shapes.
    """
    found = _signature(state)
    if found is None:
        raise CheckpointError("These are not the weights of a SAM 2 or SAM 2.1 network.")
    for name in CONFIG_NAMES:
        if _config_signature(name) == found:
            return name
    raise CheckpointError(
        f"No known SAM 2 network has an image encoder of width {found.embed_dim} with "
        f"{found.blocks} blocks and {found.d_model} feature channels."
    )


def _signature(state: StateDict) -> Signature | None:
    blocks = "image_encoder.trunk.blocks."
    indices = {k.removeprefix(blocks).split(".")[0] for k in state if k.startswith(blocks)}
    patch = state.get("image_encoder.trunk.patch_embed.proj.weight")
    no_mask = state.get("sam_prompt_encoder.no_mask_embed.weight")
    if not indices or patch is None or no_mask is None or (patch.ndim, no_mask.ndim) != (4, 2):
        return None
    return Signature(
        embed_dim=patch.shape[0],
        blocks=len(indices),
        d_model=no_mask.shape[1],
        is_2_1="obj_ptr_tpos_proj.weight" in state,
    )


@lru_cache(maxsize=len(CONFIG_NAMES))
def _config_signature(name: str) -> Signature:
    model = network_config(name).model
    trunk, neck = model.image_encoder.trunk, model.image_encoder.neck
    return Signature(
        embed_dim=trunk.embed_dim,
        blocks=sum(trunk.get("stages", (2, 3, 16, 3))),  # Hiera's own default: base+
        d_model=neck.d_model,
        is_2_1=bool(model.get("proj_tpos_enc_in_obj_ptrs", False)),
    )


def _fill(network: SAM2Base, state: StateDict, name: str, config_name: str) -> None:
    own = network.state_dict()
    wrong = [k for k in own if k in state and own[k].shape != state[k].shape]
    missing = [k for k in own if k not in state]
    unexpected = [k for k in state if k not in own]
    for kind, keys in (("lacks", missing), ("has unknown", unexpected), ("has misshapen", wrong)):
        if keys:
            shown = ", ".join(sorted(keys)[:3]) + (", ..." if len(keys) > 3 else "")
            raise CheckpointError(
                f"{name!r} looks like {config_name} but {kind} {len(keys)} tensors: {shown}."
            )
    odd = [k for k, v in state.items() if not _is_plain(v)]
    if odd:
        raise CheckpointError(
            f"{name!r} holds tensors of another kind than plain numbers: {odd[0]}."
        )
    damaged = [key for key, value in state.items() if not value.isfinite().all()]
    if damaged:
        raise CheckpointError(f"{name!r} holds numbers that are not finite, in {damaged[0]}.")
    network.load_state_dict({key: value.float() for key, value in state.items()})


def _is_plain(tensor: torch.Tensor) -> bool:
    return (
        tensor.layout == torch.strided
        and tensor.device.type == "cpu"
        and not tensor.is_quantized
        and tensor.is_floating_point()
    )


def fingerprint(network: SAM2Base) -> str:
    """Return a hash of the weights: equal for equal weights, whatever file they came in."""
    digest = hashlib.sha256()
    for key, tensor in sorted(network.state_dict().items()):
        digest.update(f"{key}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def parameter_count(network: SAM2Base) -> int:
    """Return the number of trained numbers in the network."""
    return sum(parameter.numel() for parameter in network.parameters())
