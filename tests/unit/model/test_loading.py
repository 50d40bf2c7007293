"""What `load_model` checks before it says that a model is ready."""

import pytest
import torch

from sam2_serving.model import CheckpointError, build_network, load_model


def test_weights_that_compute_nothing_of_use_are_found_before_the_first_click(tmp_path):
    state = build_network("nano.yaml").state_dict()
    for key in state:
        if key.startswith("image_encoder.neck"):
            state[key] = torch.full_like(state[key], 3e38)
    torch.save(state, tmp_path / "overflowing.pt")
    with pytest.raises(CheckpointError, match="no finite numbers"):
        load_model(tmp_path / "overflowing.pt", "cpu", "float32")
