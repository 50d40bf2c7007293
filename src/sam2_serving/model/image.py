"""Segment one image: embed it once, then predict a mask for any prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from sam2.modeling.sam2_base import SAM2Base

from sam2_serving.model.checkpoints import fingerprint
from sam2_serving.model.compiled_encoder import CompiledEncoder
from sam2_serving.model.devices import DTYPES, DtypeName, all_cores, clicks_at_once_on, on_one_core
from sam2_serving.model.encoding import BlockwiseEncoder, Encoder, Maps
from sam2_serving.model.enlarging import MASK_THRESHOLD, enlarge_mask
from sam2_serving.model.lean_decoder import ImageSide
from sam2_serving.model.lean_network import LeanParts
from sam2_serving.model.parts import Parts, finish, within
from sam2_serving.model.prompts import Prompts, mask_to_logits

Refine = Literal["single", "two_pass"]

PIXEL_MEAN = [0.485, 0.456, 0.406]
PIXEL_STD = [0.229, 0.224, 0.225]
"""Of ImageNet's RGB values in [0, 1], as all SAM 2 networks were trained with."""
PROMPT_LOGIT_LIMIT = 32.0
"""Logits of an earlier pass are clamped to +-32 when they become a prompt, as upstream does."""
_FEW_CELLS = 512
"""Of the decoder's map; a click on so few is answered sooner, and steadily, by one core: to share
its steps of a hundredth of a millisecond takes longer than they do."""


@dataclass(frozen=True)
class PreparedImage:
    """An image in the form that the encoder takes.

    Attributes:
        pixels: 1 x 3 x S x S float32 on the CPU, normalised.
        image_size: (height, width) of the original image in pixels.
    """

    pixels: torch.Tensor
    image_size: tuple[int, int]


@dataclass(frozen=True)
class ImageEmbedding:
    """The image encoder's output: immutable, tied to no request, in the precision it is used in.

    Attributes:
        features: 1 x C x S/16 x S/16 for an input of S x S pixels.
        high_res: the maps of 1 x C/8 x S/4 x S/4 and 1 x C/4 x S/8 x S/8.
        image_size: (height, width) of the original image in pixels.
    """

    features: torch.Tensor
    high_res: tuple[torch.Tensor, torch.Tensor]
    image_size: tuple[int, int]

    @property
    def nbytes(self) -> int:
        """Bytes that the tensors hold."""
        return sum(tensor.nbytes for tensor in (self.features, *self.high_res))

    def on_cpu(self) -> ImageEmbedding:
        """Return a copy in plain host memory, to be written to a file."""
        high_res = (self.high_res[0].cpu(), self.high_res[1].cpu())
        return ImageEmbedding(self.features.cpu(), high_res, self.image_size)

    def to(self, device: torch.device) -> ImageEmbedding:
        """Return a copy on `device`; host copies are pinned where a GPU can use that."""
        pin = device.type == "cpu" and self.features.is_cuda

        def move(tensor: torch.Tensor) -> torch.Tensor:
            moved = tensor.to(device)
            return moved.pin_memory() if pin else moved

        high_res = (move(self.high_res[0]), move(self.high_res[1]))
        return ImageEmbedding(move(self.features), high_res, self.image_size)


@dataclass(frozen=True)
class Prediction:
    """One mask before the threshold.

    Attributes:
        logits: 1 x S/4 x S/4 float32.
        predicted_iou: the network's own estimate of the mask's quality, 0 to 1.
    """

    logits: torch.Tensor
    predicted_iou: float


class SegmentationModel:
    """A SAM 2 network on a device. Not thread-safe: one thread may use it at a time."""

    def __init__(
        self,
        network: SAM2Base,
        config_name: str,
        device: torch.device,
        dtype: DtypeName = "float32",
        weights: str | None = None,
        clicks_at_once: int | None = None,
        compiled: CompiledEncoder | None = None,
    ) -> None:
        """Take over `network` and move it to `device`.

        Args:
            network: as `build_network` or `load_checkpoint` gives it.
            config_name: its packaged config.
            device: where to run.
            dtype: number format of the computation and of the embeddings; weights stay float32.
            weights: fingerprint of the weights, if it is known already.
            clicks_at_once: batch of `sam2_serving.model.clicks`; default: what suits the device.
            compiled: the image encoder of this very model, compiled.
        """
        self.fingerprint = weights or fingerprint(network)
        self.network = network.to(device).eval()
        self.config_name = config_name
        self.device = device
        self.dtype = dtype
        self.lean = LeanParts.of(self.network) if device.type == "cpu" else None
        self.compiled = compiled
        self._encoder = self._choose_encoder()
        self.clicks_at_once = clicks_at_once or clicks_at_once_on(device)
        self._image_side: tuple[ImageEmbedding, ImageSide] | None = None
        self._place = _describe(device)
        cells = (self.input_size // self.network.backbone_stride) ** 2
        self._decodes_alone = device.type == "cpu" and cells <= _FEW_CELLS

    @property
    def input_size(self) -> int:
        """Side of the square that images are resized to, pixels."""
        return int(self.network.image_size)

    @property
    def numeric_path(self) -> str:
        """Name of everything that decides the last bits of an answer.

        Device, instruction set or GPU generation, threads (they decide the order of sums), number
        format, compiled or not, lean parts or not, clicks decoded at once, input size, weights.
        Answers of an engine with the same id are equal byte for byte.
        """
        way = "eager" if self.compiled is None else f"compiled_{self.compiled.digest[:8]}"
        if self.lean is not None:
            way += "_lean"
        if self.clicks_at_once > 1:
            way += f"_clicks{self.clicks_at_once}"
        return f"{self._place}-{self.dtype}-{way}-{self.input_size}px-{self.fingerprint[:12]}"

    def embed(self, image: npt.NDArray[np.uint8]) -> ImageEmbedding:
        """Run the image encoder: `prepare`, then `encode`.

        Args:
            image: uint8 HxWx3, RGB, of any size.

        Raises:
            ValueError: the array is not such an image, or has no pixels.
        """
        return self.encode(self.prepare(image))

    @torch.inference_mode()
    def prepare(self, image: npt.NDArray[np.uint8]) -> PreparedImage:
        """Resize an image as upstream's image predictor does, and normalise it.

        Runs on the CPU and uses nothing of the network: safe on any thread, at any time.

        Args:
            image: uint8 HxWx3, RGB, of any size.

        Raises:
            ValueError: the array is not such an image, or has no pixels.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
            raise ValueError(f"Need a uint8 HxWx3 image, got {image.dtype} {image.shape}.")
        side = self.input_size
        # one channel after the other: a float copy of a very large image is four times its size
        channels = [
            F.interpolate(
                torch.from_numpy(np.ascontiguousarray(image[None, None, ..., channel])) / 255,
                (side, side),
                mode="bilinear",
                align_corners=False,
                antialias=True,
            )
            for channel in range(3)
        ]
        mean, std = (torch.tensor(values)[:, None, None] for values in (PIXEL_MEAN, PIXEL_STD))
        normal = (torch.cat(channels, dim=1) - mean) / std
        return PreparedImage(normal, (image.shape[0], image.shape[1]))

    def encode(self, image: PreparedImage) -> ImageEmbedding:
        """Run the image encoder on what `prepare` of this model gave."""
        return finish(self.encode_in_parts(image))

    def encode_in_parts(self, image: PreparedImage) -> Parts[ImageEmbedding]:
        """As `encode`, but stop after each block of the backbone: the same bytes come out."""
        return within(self._encode(image), self.arithmetic, self.device)

    def _encode(self, image: PreparedImage) -> Parts[ImageEmbedding]:
        fine, middle, coarsest = yield from self.feature_maps(image.pixels)
        if self.network.directly_add_no_mem_embed:
            coarsest = coarsest + self.network.no_mem_embed.reshape(1, -1, 1, 1)
        fine, middle, features = (m.to(DTYPES[self.dtype]) for m in (fine, middle, coarsest))
        return ImageEmbedding(features, (fine, middle), image.image_size)

    def feature_maps(self, pixels: torch.Tensor) -> Parts[Maps]:
        """Run the image encoder in parts; run each within `arithmetic`, for inference.

        Args:
            pixels: 1 x 3 x S x S, on any device.

        Returns:
            the maps of an `ImageEmbedding`, finest first, the last without the embedding that says
            there is no memory.
        """
        return self._encoder.encode(pixels.to(self.device))

    def _choose_encoder(self) -> Encoder:
        if self.compiled is not None:
            return self.compiled
        if self.lean is not None and self.dtype == "float32":
            return self.lean.encoder
        return BlockwiseEncoder(self.network)

    @torch.inference_mode()
    def predict(
        self,
        embedding: ImageEmbedding,
        prompts: Prompts,
        previous: Prediction | None = None,
    ) -> Prediction:
        """Run the decoder once.

        One click alone gives the best of three masks by predicted IoU; anything else gives the
        single mask.

        Args:
            embedding: of this model.
            prompts: not empty; its mask is used if `previous` is None.
            previous: an earlier pass, whose logits become the mask prompt.

        Raises:
            ValueError: there is no prompt, or a mask prompt of another size than the image.
        """
        if prompts.is_empty:
            raise ValueError("There is nothing to segment: give a click, a box or a mask.")
        multimask = prompts.is_ambiguous and previous is None
        with on_one_core() if self._decodes_alone else nullcontext():
            logits, ious = self.decode(
                embedding,
                self.sparse_prompts(prompts, embedding.image_size),
                self.mask_input(prompts, embedding, previous),
                multimask,
            )
        best = int(ious[0].argmax())
        return Prediction(logits[0, best : best + 1], float(ious[0, best]))

    @torch.inference_mode()
    def decode(
        self,
        embedding: ImageEmbedding,
        points: tuple[torch.Tensor, torch.Tensor] | None,
        mask_input: torch.Tensor | None,
        multimask: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Run prompt encoder and mask decoder for B prompts of one form.

        Args:
            embedding: of this model; without lean parts it may be several, see `clicks.py`.
            points: (B x N x 2 network pixels, B x N labels), see `sparse_prompts`.
            mask_input: B x 1 x S/4 x S/4 logits, see `mask_input`.
            multimask: three masks each, and not one.

        Returns:
            (logits B x M x S/4 x S/4, predicted IoUs B x M), float32.
        """
        if self.lean is not None:
            return self._decode_lean(self.lean, embedding, points, mask_input, multimask)
        dtype = self.decoder_dtype
        fine, middle, features = (
            level.to(DTYPES[dtype]) for level in (*embedding.high_res, embedding.features)
        )
        with self.arithmetic(dtype):
            sparse, dense = self.network.sam_prompt_encoder(
                points=points, boxes=None, masks=mask_input
            )
            logits, ious, _, _ = self.network.sam_mask_decoder(
                image_embeddings=features,
                image_pe=self.network.sam_prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=multimask,
                repeat_image=sparse.shape[0] > features.shape[0],
                high_res_features=[fine, middle],
            )
        return logits.float(), ious.float()

    @property
    def decoder_dtype(self) -> DtypeName:
        """Number format of the decoder: on a CPU, casting its weights costs more than it saves."""
        return "float32" if self.device.type == "cpu" else self.dtype

    def image_side(self, lean: LeanParts, embedding: ImageEmbedding) -> ImageSide:
        """Return what all prompts of an image share; that of the last image is kept."""
        if self._image_side is None or self._image_side[0] is not embedding:
            fine, middle, features = (
                level.float() for level in (*embedding.high_res, embedding.features)
            )
            self._image_side = embedding, lean.decoder.image_side(features, fine, middle)
        return self._image_side[1]

    def _decode_lean(
        self,
        lean: LeanParts,
        embedding: ImageEmbedding,
        points: tuple[torch.Tensor, torch.Tensor] | None,
        mask_input: torch.Tensor | None,
        multimask: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        sparse, dense = lean.network.sam_prompt_encoder(points=points, boxes=None, masks=mask_input)
        side = self.image_side(lean, embedding)
        if mask_input is None:
            cells, first = side.cells, side.first
        else:
            cells, first = lean.decoder.masked_cells(embedding.features.float(), dense), None
        masks, ious, _, _ = lean.decoder.answer(cells, first, side.maps, sparse)
        return lean.decoder.choose(masks, ious, multimask)

    @staticmethod
    @torch.inference_mode()
    def to_mask(prediction: Prediction, image_size: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """Resize logits bilinearly to the image and threshold them, where the logits are.

        Uses nothing of the network: with logits on the CPU, safe on any thread, at any time.

        Args:
            prediction: of `predict`.
            image_size: (height, width).

        Returns:
            bool HxW.
        """
        if prediction.logits.device.type == "cpu":
            return enlarge_mask(prediction.logits[0].numpy(), image_size)
        logits = F.interpolate(
            prediction.logits[None], image_size, mode="bilinear", align_corners=False
        )
        mask: npt.NDArray[np.bool_] = (logits[0, 0] > MASK_THRESHOLD).cpu().numpy()
        return mask

    def sparse_prompts(
        self, prompts: Prompts, image_size: tuple[int, int]
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Return (1 x N x 2 network pixels, 1 x N labels): box corners are labelled 2 and 3."""
        coordinates: list[tuple[float, float]] = []
        labels: list[int] = []
        if prompts.box is not None:
            coordinates += [prompts.box[:2], prompts.box[2:]]
            labels += [2, 3]
        coordinates += [(point.x, point.y) for point in prompts.points]
        labels += [int(point.positive) for point in prompts.points]
        if not coordinates:
            return None
        height, width = image_size
        scaled = torch.tensor([coordinates], dtype=torch.float32, device=self.device)
        scaled[..., 0] /= width
        scaled[..., 1] /= height
        label_tensor = torch.tensor([labels], dtype=torch.int32, device=self.device)
        return scaled * self.input_size, label_tensor

    def mask_input(
        self, prompts: Prompts, embedding: ImageEmbedding, previous: Prediction | None = None
    ) -> torch.Tensor | None:
        """Return 1 x 1 x S/4 x S/4 logits: those of an earlier pass, else the prompts' own mask.

        Raises:
            ValueError: a mask prompt of another size than the image.
        """
        if previous is not None:
            return previous.logits[None].clamp(-PROMPT_LOGIT_LIMIT, PROMPT_LOGIT_LIMIT)
        if prompts.mask is None:
            return None
        if prompts.mask.shape != embedding.image_size:
            raise ValueError(
                f"The mask is {prompts.mask.shape}, the image is {embedding.image_size}."
            )
        logits = mask_to_logits(prompts.mask, self.input_size // 4)
        return torch.from_numpy(logits)[None].to(self.device)

    @contextmanager
    def arithmetic(self, dtype: DtypeName | None = None) -> Iterator[None]:
        """Compute in a number format, by default this model's, repeatably."""
        chosen = dtype or self.dtype
        with ExitStack() as stack:
            if self.device.type == "cuda":
                # else convolutions may be rounded to TF32, or differ from one run to the next
                flags = {"enabled": True, "deterministic": True, "allow_tf32": False}
                stack.enter_context(torch.backends.cudnn.flags(**flags))
            if chosen != "float32":
                stack.enter_context(torch.autocast(self.device.type, DTYPES[chosen]))
            yield


def _describe(device: torch.device) -> str:
    """Name what a device computes the last bits with."""
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        return f"cuda_sm{major}{minor}"
    instructions = torch.backends.cpu.get_cpu_capability().lower()
    return f"{device.type}_{instructions}_{all_cores()}threads"


RememberFirstPass = Callable[[Prompts, Callable[[], Prediction]], Prediction]


def segment(
    model: SegmentationModel,
    embedding: ImageEmbedding,
    prompts: Prompts,
    refine: Refine = "two_pass",
    remember: RememberFirstPass = lambda _, make: make(),
) -> Prediction:
    """Predict a mask as a pure function of image and prompts.

    `two_pass`: the box and the first positive click make a first guess, whose logits then guide
    all prompts together. `single`: all prompts at once. With a mask prompt, the mask takes the
    place of the first guess.

    Args:
        model: the network.
        embedding: the image, embedded by `model`.
        prompts: not empty.
        refine: one pass or two.
        remember: given the prompts of the first pass and how to make it, returns it; for callers
            that keep first passes from one click to the next.

    Raises:
        ValueError: there is no prompt.
    """
    if refine == "single" or prompts.mask is not None or prompts.is_empty:
        return model.predict(embedding, prompts)
    first_prompts = prompts.first_pass()
    first = remember(first_prompts, lambda: model.predict(embedding, first_prompts))
    return first if first_prompts == prompts else model.predict(embedding, prompts, first)
