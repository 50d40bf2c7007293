"""Why the engine did not answer."""


class Busy(Exception):
    """Too much work is waiting; try again later."""

    def __init__(self, retry_after_s: float) -> None:
        self.retry_after_s = max(1.0, retry_after_s)
        super().__init__(f"Too much work is waiting; try again in {self.retry_after_s:.0f} s.")


class ClientBusy(Busy):
    """Too much work of this one client is waiting; others are served."""


class Cancelled(Exception):
    """The work was cancelled before it was done."""


class OutOfMemory(Exception):
    """The device has no memory for this, not even with nothing else in it."""

    def __init__(self) -> None:
        super().__init__("The device has not enough memory for this.")


class EngineClosed(Exception):
    """The model was stopped or replaced."""
