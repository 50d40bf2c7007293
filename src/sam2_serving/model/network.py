"""Build SAM 2 networks from packaged configs, with the unmodified classes of `sam2`."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from sam2.modeling.sam2_base import SAM2Base

CONFIG_NAMES = (
    "nano.yaml",
    "sam2.1_hiera_t.yaml",
    "sam2.1_hiera_s.yaml",
    "sam2.1_hiera_b+.yaml",
    "sam2.1_hiera_l.yaml",
    "sam2_hiera_t.yaml",
    "sam2_hiera_s.yaml",
    "sam2_hiera_b+.yaml",
    "sam2_hiera_l.yaml",
)
"""The only configs that are ever instantiated: ours and those inside the `sam2` package."""

# What sam2's own builders switch on for inference (`apply_postprocessing=True`). The decoder
# falls back to the best of three masks where the single one is unstable; the tracker remembers
# clicked masks as people saw them.
_INFERENCE_SWITCHES = {
    "sam_mask_decoder_extra_args": {
        "dynamic_multimask_via_stability": True,
        "dynamic_multimask_stability_delta": 0.05,
        "dynamic_multimask_stability_thresh": 0.98,
    },
    "binarize_mask_from_pts_for_mem_enc": True,
}


_SMALLER = (2, 3)
"""Quarters of a network's own input size that it can be given besides."""


def _config_file(name: str) -> Path:
    if name == "nano.yaml":
        return Path(str(files("sam2_serving.model"))) / "configs" / name
    return Path(str(files("sam2"))) / "configs" / name.split("_")[0] / name


@lru_cache(maxsize=len(CONFIG_NAMES))
def network_config(name: str) -> DictConfig:
    """Read a packaged config; treat it as read-only.

    Args:
        name: one of `CONFIG_NAMES`.

    Raises:
        ValueError: there is no packaged config of that name.
    """
    if name not in CONFIG_NAMES:
        raise ValueError(f"There is no packaged config {name!r}; there are {CONFIG_NAMES}.")
    config = OmegaConf.create(_config_file(name).read_text())
    assert isinstance(config, DictConfig)
    OmegaConf.resolve(config)
    return config


def build_network(name: str, **overrides: Any) -> SAM2Base:
    """Build a network with random weights, on the CPU, in evaluation mode.

    Args:
        name: one of `CONFIG_NAMES`.
        overrides: top-level keys of the config's `model` node, for example `image_size=256`.

    Raises:
        ValueError: there is no packaged config of that name.
    """
    return assemble(network_config(name), **overrides)


def assemble(config: DictConfig, **overrides: Any) -> SAM2Base:
    """Build a network from a config that is trusted: it names the classes that are called.

    Args:
        config: with a `model` node in the form of sam2's own configs.
        overrides: top-level keys of that node.
    """
    model = OmegaConf.merge(config.model, _INFERENCE_SWITCHES, overrides)
    network: SAM2Base = instantiate(model, _recursive_=True)
    return network.eval()


def input_sizes(name: str) -> tuple[int, ...]:
    """Return the sides that images may be resized to for a network, pixels, its own one last.

    Half, three quarters and the whole of what it was trained with: all of them are multiples of 32,
    the stride of the coarsest map, and of the windows that positions repeat in. Nothing in the
    weights depends on the size: positions are interpolated, or computed.

    Args:
        name: one of `CONFIG_NAMES`.

    Raises:
        ValueError: there is no packaged config of that name.
    """
    own = int(network_config(name).model.image_size)
    return (*(own * quarters // 4 for quarters in _SMALLER), own)


def feature_sizes(network: SAM2Base) -> list[tuple[int, int]]:
    """Return (height, width) of the three feature maps that the decoder reads, finest first."""
    coarsest = network.image_size // network.backbone_stride
    return [(coarsest * factor, coarsest * factor) for factor in (4, 2, 1)]
