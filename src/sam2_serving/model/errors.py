"""What can go wrong while a model is made ready; each text is a sentence for a person."""


class ModelError(Exception):
    """Base of the errors of this package."""


class CheckpointError(ModelError):
    """A checkpoint cannot be used."""


class DeviceError(ModelError):
    """The device asked for is not here."""


class CompileError(ModelError):
    """A network cannot be compiled here."""


class InputSizeError(ModelError):
    """The network does not take images of the size asked for."""
