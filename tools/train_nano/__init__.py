"""The recipe that trains nano, the embedded checkpoint, from nothing.

Run it with `PYTHONPATH=tools python -m train_nano` (or `make nano`); `--help` lists the budgets.
It needs torch, numpy, OpenCV and sam2, and nothing of this project but `scenes` and `model`.
Stages: 128-pixel windows, whole 256-pixel images, short clips. State lives in `runs/nano/`; a run
that was stopped goes on where it was.
"""
