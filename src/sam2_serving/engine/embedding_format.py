"""An embedding as the bytes of a file, and back: the same numbers laid out in the same way."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

import cv2
import numpy as np
import PIL
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from sam2_serving.engine.embeddings import EmbeddingKey
from sam2_serving.model import ImageEmbedding, SegmentationModel
from sam2_serving.model.agreement import example_picture

NAMES = ("features", "fine", "middle")
LARGEST_HEADER = 2**16
"""Bytes of a file that are not numbers, at most."""


class Damaged(Exception):
    """A file is not what its name says."""


@dataclass(frozen=True)
class TensorForm:
    """How one tensor lies in memory.

    Strides belong to it: a network gives some maps with the channels innermost, and what is
    computed from a map that is laid out in another way may differ in the last bits.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: torch.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of its numbers."""
        return int(np.prod(self.shape)) * self.dtype.itemsize


@dataclass(frozen=True)
class Origin:
    """What makes embeddings, down to the last bit.

    Attributes:
        made_with: names the numeric path, the libraries that read images, and what comes out of
            a drawing. So a file is used only where it would be made again byte for byte.
        forms: of the tensors, in the order of `NAMES`.
    """

    made_with: str
    forms: tuple[TensorForm, ...]

    @property
    def largest_file(self) -> int:
        """Bytes that a file may have."""
        return sum(form.nbytes for form in self.forms) + LARGEST_HEADER


def origin_of(model: SegmentationModel) -> Origin:
    """Return what tells a model's embeddings from another's; costs one encode."""
    embedding = model.embed(example_picture())
    digest = hashlib.sha256()
    for tensor in _tensors(embedding):
        digest.update(_bytes(tensor.cpu()))
    software = f"torch {torch.__version__}, OpenCV {cv2.__version__}, Pillow {PIL.__version__}"
    made_with = f"{model.numeric_path}, {software}, example {digest.hexdigest()}"
    return Origin(made_with, _forms(embedding))


def file_name(key: EmbeddingKey, origin: Origin) -> str:
    """Return the name of an embedding's file, from which nothing of the key can be read."""
    identity = f"{_text(key)}\n{origin.made_with}"
    return f"{hashlib.sha256(identity.encode()).hexdigest()}.safetensors"


def to_file(key: EmbeddingKey, embedding: ImageEmbedding, origin: Origin) -> bytes | None:
    """Return the bytes of a file; None if the embedding does not look like others of its origin.

    Args:
        key: of the embedding.
        embedding: on the CPU.
        origin: of the embedding.
    """
    if _forms(embedding) != origin.forms:
        return None
    tensors = [tensor.contiguous() for tensor in _tensors(embedding)]
    height, width = embedding.image_size
    about = {
        "key": _text(key),
        "made_with": origin.made_with,
        "height": str(height),
        "width": str(width),
    }
    about["sha256"] = _checksum(about, tensors)
    return save(dict(zip(NAMES, tensors, strict=True)), about)


def from_file(content: bytes, key: EmbeddingKey, origin: Origin) -> ImageEmbedding:
    """Return what a file holds, on the CPU.

    Raises:
        Damaged: the file is not whole, or not of this key and origin.
    """
    try:
        header = content[8 : 8 + int.from_bytes(content[:8], "little")]
        about = json.loads(header)["__metadata__"]
        stated = about.pop("sha256")
        image_size = int(about["height"]), int(about["width"])
        stored = load(content)
        tensors = [stored[name] for name in NAMES]
    except (
        SafetensorError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        raise Damaged("it cannot be read") from error
    if (about.get("key"), about.get("made_with")) != (_text(key), origin.made_with):
        raise Damaged("it is another embedding's")
    for tensor, form in zip(tensors, origin.forms, strict=True):
        if (tuple(tensor.shape), tensor.dtype) != (form.shape, form.dtype):
            raise Damaged("its tensors have other shapes or number formats")
    if _checksum(about, tensors) != stated:
        raise Damaged("its checksum is wrong")
    features, fine, middle = (
        # A copy also because torch's own memory is aligned: what a library computes from memory
        # that is not may differ in the last bits.
        torch.empty_strided(form.shape, form.strides, dtype=form.dtype).copy_(tensor)
        for tensor, form in zip(tensors, origin.forms, strict=True)
    )
    return ImageEmbedding(features, (fine, middle), image_size)


def _tensors(embedding: ImageEmbedding) -> tuple[torch.Tensor, ...]:
    return (embedding.features, *embedding.high_res)


def _forms(embedding: ImageEmbedding) -> tuple[TensorForm, ...]:
    return tuple(
        TensorForm(tuple(tensor.shape), tensor.stride(), tensor.dtype)
        for tensor in _tensors(embedding)
    )


def _text(key: EmbeddingKey) -> str:
    return json.dumps(asdict(key), sort_keys=True)


def _checksum(about: dict[str, str], tensors: list[torch.Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for tensor in tensors:
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def _bytes(tensor: torch.Tensor) -> memoryview:
    """Return a tensor's numbers in the order of its indices; numpy has no bfloat16."""
    return tensor.contiguous().flatten().view(torch.uint8).numpy().data
