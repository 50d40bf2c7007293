"""Read the tensor names of Hugging Face's SAM 2 into those of Meta's.

The layouts are facts about two public packages: `Sam2VideoModel` of transformers, and `SAM2Base`
of sam2. Both hold the same tensors; only the names differ, and four point embeddings that one of
them keeps as one tensor.
"""

from __future__ import annotations

import re

import torch

StateDict = dict[str, torch.Tensor]

HUGGING_FACE_ANCHOR = "vision_encoder.backbone.patch_embed.projection.weight"
"""A name that only that layout has."""

# Each rule is tried on the result of the ones before it.
_RENAMES: tuple[tuple[str, str], ...] = (
    (r"^no_memory_embedding$", "no_mem_embed"),
    (r"^no_memory_positional_encoding$", "no_mem_pos_enc"),
    (r"^memory_temporal_positional_encoding$", "maskmem_tpos_enc"),
    (r"^no_object_pointer$", "no_obj_ptr"),
    (r"^occlusion_spatial_embedding_parameter$", "no_obj_embed_spatial"),
    (r"^temporal_positional_encoding_projection_layer\.", "obj_ptr_tpos_proj."),
    (r"^object_pointer_proj\.", "obj_ptr_proj."),
    # image encoder
    (r"^vision_encoder\.neck\.convs\.(\d+)\.", r"image_encoder.neck.convs.\1.conv."),
    (r"^vision_encoder\.backbone\.", "image_encoder.trunk."),
    (r"\.patch_embed\.projection\.", ".patch_embed.proj."),
    # prompt encoder
    (
        r"^(shared_image_embedding|prompt_encoder\.shared_embedding)\.positional_embedding$",
        "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
    ),
    (r"^prompt_encoder\.mask_embed\.conv1\.", "sam_prompt_encoder.mask_downscaling.0."),
    (r"^prompt_encoder\.mask_embed\.layer_norm1\.", "sam_prompt_encoder.mask_downscaling.1."),
    (r"^prompt_encoder\.mask_embed\.conv2\.", "sam_prompt_encoder.mask_downscaling.3."),
    (r"^prompt_encoder\.mask_embed\.layer_norm2\.", "sam_prompt_encoder.mask_downscaling.4."),
    (r"^prompt_encoder\.mask_embed\.conv3\.", "sam_prompt_encoder.mask_downscaling.6."),
    (r"^prompt_encoder\.", "sam_prompt_encoder."),
    # mask decoder
    (r"^mask_decoder\.upscale_conv1\.", "sam_mask_decoder.output_upscaling.0."),
    (r"^mask_decoder\.upscale_layer_norm\.", "sam_mask_decoder.output_upscaling.1."),
    (r"^mask_decoder\.upscale_conv2\.", "sam_mask_decoder.output_upscaling.3."),
    (r"^mask_decoder\.", "sam_mask_decoder."),
    (r"\.layer_norm_final_attn\.", ".norm_final_attn."),
    # three-layer heads: in, one in the middle, out; two-layer ones (mlp): in, out
    (r"(_mlps\.\d+|_head|_ptr_proj)\.layers\.0\.", r"\1.layers.1."),
    (r"(_mlps\.\d+|_head|_ptr_proj)\.proj_in\.", r"\1.layers.0."),
    (r"(_mlps\.\d+|_head|_ptr_proj)\.proj_out\.", r"\1.layers.2."),
    (r"\.mlp\.proj_in\.", ".mlp.layers.0."),
    (r"\.mlp\.proj_out\.", ".mlp.layers.1."),
    # memory
    (r"^memory_encoder\.feature_projection\.", "memory_encoder.pix_feat_proj."),
    (r"^memory_encoder\.projection\.", "memory_encoder.out_proj."),
    (r"^memory_encoder\.memory_fuser\.", "memory_encoder.fuser."),
    (r"\.depthwise_conv\.", ".dwconv."),
    (r"\.pointwise_conv(\d)\.", r".pwconv\1."),
    (r"^(memory_encoder\.fuser\.layers\.\d+)\.scale$", r"\1.gamma"),
    # everywhere
    (r"(attn\w*)\.o_proj\.", r"\1.out_proj."),
)

_POINT_EMBEDDINGS = "sam_prompt_encoder.point_embed.weight"
_DOWNSAMPLER = re.compile(r"^memory_encoder\.mask_downsampler\.layers\.(\d+)\.(conv|layer_norm)\.")
_DOWNSAMPLER_END = "memory_encoder.mask_downsampler.final_conv."


def is_hugging_face(state: StateDict) -> bool:
    """Tell whether the tensors are named as transformers names them."""
    return HUGGING_FACE_ANCHOR in state


def from_hugging_face(state: StateDict) -> StateDict:
    """Return the same tensors under the names of `SAM2Base`."""
    depth = sum(1 for key in state if _DOWNSAMPLER.match(key) and key.endswith("conv.weight"))
    renamed: StateDict = {}
    for key, tensor in state.items():
        name = _rename(key, depth)
        if name == _POINT_EMBEDDINGS:
            for index, row in enumerate(tensor):
                renamed[f"sam_prompt_encoder.point_embeddings.{index}.weight"] = row[None]
        else:
            renamed[name] = tensor
    return renamed


def _rename(key: str, downsampler_depth: int) -> str:
    step = _DOWNSAMPLER.match(key)
    if step:
        # Meta's is one sequence of (convolution, norm, activation), with a convolution at its end
        index = 3 * int(step[1]) + (step[2] == "layer_norm")
        return f"memory_encoder.mask_downsampler.encoder.{index}.{key[step.end() :]}"
    if key.startswith(_DOWNSAMPLER_END):
        rest = key.removeprefix(_DOWNSAMPLER_END)
        return f"memory_encoder.mask_downsampler.encoder.{3 * downsampler_depth}.{rest}"
    for pattern, replacement in _RENAMES:
        key = re.sub(pattern, replacement, key)
    return re.sub(r"\.layer_norm(\d?)\.", r".norm\1.", key)
