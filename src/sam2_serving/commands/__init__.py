"""What the commands of `sam2-serving` do; `sam2_serving.cli` chooses among them.

A module for each command or concept: it adds its options to a parser, and carries them out. Raised
errors whose text is for the user are `UsageError` and those of the layers below.
"""
