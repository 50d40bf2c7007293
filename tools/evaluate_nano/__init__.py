"""Measures nano on objects that training never drew, and writes the figures into its card.

`PYTHONPATH=tools:tests:benchmarks python -m evaluate_nano --card checkpoints/nano/README.md`

Everything is asked through `sam2_serving.model`, because that is what a user of this repository
gets: both ways of combining prompts ("refine": `single` and `two_pass`), automatic masks and the
tracker. The parity tests hold each of them against sam2's own predictors, so the figures are those
of sam2 too. Everything is seeded and runs on one thread: the same weights give the same figures.
"""
