"""Measures nano on objects that training never drew, and writes the figures into its card.

`PYTHONPATH=tools:tests python -m evaluate_nano --card checkpoints/nano/README.md`
"""
