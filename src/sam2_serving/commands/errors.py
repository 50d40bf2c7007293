"""Errors of commands."""


class UsageError(Exception):
    """The command cannot be carried out; the text says why."""
