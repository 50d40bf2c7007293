"""A device that is not the CPU, for machines that have none: finds tensors left behind.

Its tensors are computed on the CPU but say that they are on torch's "meta" device. What a GPU
refuses is refused here too: an operation on tensors of both devices (single numbers and indices
aside), and `numpy()` without `cpu()` first. What a GPU computes otherwise is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("meta")
_ANY_DEVICE = {torch.ops.aten._to_copy, torch.ops.aten.copy_}
_INDICES = {torch.ops.aten.index, torch.ops.aten.index_put, torch.ops.aten.index_put_}


class Elsewhere(torch.Tensor):
    """A tensor on the device, whose numbers are `here`."""

    here: torch.Tensor

    @staticmethod
    def __new__(cls, here: torch.Tensor) -> Elsewhere:
        made = torch.Tensor._make_wrapper_subclass(
            cls, here.shape, strides=here.stride(), dtype=here.dtype, device=DEVICE
        )
        made.here = here
        return made

    def tolist(self) -> Any:
        """As any tensor: this one torch refuses to classes like this."""
        return self.here.tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Mode(TorchDispatchMode):
    """Sees operations without tensors too: `zeros(..., device=...)`."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _here(value: Any) -> Any:
    return value.here if isinstance(value, Elsewhere) else value


def _there(value: Any) -> Any:
    if isinstance(value, torch.Tensor) and not isinstance(value, Elsewhere):
        return Elsewhere(value)
    return value


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    away = any(isinstance(tensor, Elsewhere) for tensor in tensors)
    wanted = kwargs.get("device")
    if wanted is not None:
        away = torch.device(wanted) == DEVICE
        kwargs = {**kwargs, "device": torch.device("cpu")}
    elif away:
        _check(func, args, tensors)
    result = func(*tree_map(_here, args), **tree_map(_here, kwargs))
    if func._schema.name.endswith("_") and args and isinstance(args[0], torch.Tensor):
        return args[0]  # done in place
    return tree_map(_there, result) if away else result


def _check(func: Any, args: Any, tensors: list[torch.Tensor]) -> None:
    if func.overloadpacket in _ANY_DEVICE:
        return
    if func.overloadpacket in _INDICES:
        tensors = [t for t in tensors if not any(t is index for index in tree_leaves(args[1]))]
    if any(not isinstance(tensor, Elsewhere) and tensor.dim() for tensor in tensors):
        raise RuntimeError(f"{func}: tensors of two devices")


@contextmanager
def elsewhere() -> Iterator[torch.device]:
    """Have the device while this lasts."""
    swap: Callable[[bool], None] = torch.__future__.set_swap_module_params_on_conversion
    swap(True)  # so that a module's parameters stay the same objects when they move
    try:
        with _Mode(), sdpa_kernel(SDPBackend.MATH):
            yield DEVICE
    finally:
        swap(False)
