"""A run that can be stopped and goes on: weights, optimiser, clock, best score, log and curves."""

from __future__ import annotations

import copy
import json
import logging
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

log = logging.getLogger("train_nano")

_SAVE_EVERY_S = 600.0
_CPU = torch.device("cpu")


@dataclass
class Progress:
    """What the run has behind it, saved with the weights.

    Attributes:
        seed: of everything random.
        stage: index of the stage it is in.
        step: steps in all stages.
        stage_step: steps in this stage.
        spent: seconds spent in this stage.
        best: best validation score so far.
        history: one entry for each validation.
    """

    seed: int
    stage: int = 0
    step: int = 0
    stage_step: int = 0
    spent: float = 0.0
    best: float = -1.0
    history: list[dict[str, Any]] = field(default_factory=list)


class Run:
    """Network, averaged weights and optimiser of one training run in a folder."""

    def __init__(self, folder: Path, model: Any, seed: int) -> None:
        self.folder = folder
        self.model = model
        self.average = copy.deepcopy(model).eval().requires_grad_(False)
        self.optimiser = torch.optim.AdamW(
            parameter_groups(model), lr=1e-3, betas=(0.9, 0.98), weight_decay=0.02
        )
        self.progress = Progress(seed)
        self._saved = time.monotonic()

    def step(self, loss: Tensor, rates: dict[str, float], memory: float = 0.998) -> bool:
        """Take one optimiser step; False (and no step) if the gradient is not finite.

        Args:
            loss: to go down.
            rates: learning rate of each parameter group.
            memory: share that averaged weights keep at each step.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = rates[group["name"]]
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(
            [p for group in self.optimiser.param_groups for p in group["params"]], 1.0
        )
        self.progress.step += 1
        self.progress.stage_step += 1
        if not torch.isfinite(norm):
            log.warning("step %d: gradient is not finite, left out", self.progress.step)
            return False
        self.optimiser.step()
        self._average(memory)
        return True

    @torch.no_grad()
    def _average(self, memory: float) -> None:
        keep = min(memory, (1.0 + self.progress.step) / (10.0 + self.progress.step))
        mine = list(self.average.parameters())
        theirs = [p.detach() for p in self.model.parameters()]
        torch._foreach_lerp_(mine, theirs, 1.0 - keep)

    def move(self, device: torch.device) -> None:
        """Compute on a device from now on; only before the first step of the optimiser."""
        self.model.to(device)
        self.average.to(device)

    @torch.no_grad()
    def restart_average(self) -> None:
        """Set the averaged weights to the present ones (after an initialisation)."""
        self.average.load_state_dict(self.model.state_dict())

    def save(self, force: bool = False) -> None:
        """Write the state, at most every ten minutes unless forced."""
        if not force and time.monotonic() - self._saved < _SAVE_EVERY_S:
            return
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "progress": json.dumps(asdict(self.progress)),
        }
        path = self.folder / "state.pt"
        torch.save(state, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)
        self._saved = time.monotonic()

    def resume(self, device: torch.device = _CPU) -> bool:
        """Go on from the folder's state, on a device; False (and nothing done) if there is none."""
        path = self.folder / "state.pt"
        if not path.exists():
            return False
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.move(device)
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.progress = Progress(**json.loads(state["progress"]))
        return True

    def keep(self, name: str) -> None:
        """Write the averaged weights to `name` in the folder."""
        content = {
            "model": self.average.state_dict(),
            "step": self.progress.step,
            "seed": self.progress.seed,
        }
        torch.save(content, self.folder / name)


def parameter_groups(model: Any) -> list[dict[str, Any]]:
    """Parameters by learning rate: "image" (encoder, prompts, decoder) and "memory"."""
    memory: list[Tensor] = []
    image: list[Tensor] = []
    for name, parameter in model.named_parameters():
        remembers = name.startswith(
            ("memory_", "maskmem_", "obj_ptr_", "no_obj_", "no_mem_pos", "mask_downsample")
        )
        (memory if remembers else image).append(parameter)
    return [{"params": image, "name": "image"}, {"params": memory, "name": "memory"}]


def start_log(folder: Path) -> None:
    """Log to the folder's `train.log` and to the terminal."""
    folder.mkdir(parents=True, exist_ok=True)
    form = logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S")
    for handler in (logging.FileHandler(folder / "train.log"), logging.StreamHandler()):
        handler.setFormatter(form)
        log.addHandler(handler)
    log.setLevel(logging.INFO)
