"""The recipe that trains nano, the embedded checkpoint, from nothing.

Run it with `PYTHONPATH=tools python -m train_nano` (or `make nano`); `--help` lists the budgets.
It needs torch, numpy, OpenCV and sam2 (with what sam2 needs), and nothing of this project but
`scenes`: `PYTHONPATH=tools:src` is enough where the package is not installed. `--device cuda`
trains on a GPU; pictures are drawn on the CPU, between the steps.

Stages: 128-pixel windows, whole 256-pixel images, short clips, all three by turns, and at last only
what predicts IoU. State lives in `runs/nano/`; a run that was stopped goes on where it was, on any
device.
"""
