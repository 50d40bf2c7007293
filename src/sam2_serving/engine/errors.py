"""Why the engine did not answer."""


class Busy(Exception):
    """Too much work is waiting; try again later."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"Too much work is waiting; try again in {retry_after_s:.0f} s.")
        self.retry_after_s = retry_after_s


class Cancelled(Exception):
    """The work was cancelled before it was done."""


class EngineClosed(Exception):
    """The model was stopped or replaced."""
