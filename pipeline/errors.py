"""Everything that Onsight raises on purpose.

OnsightError            what the user can mend: one line that says what to do; the command ends with exit code 2
├── ConfigError         a flag, a key or a value of a configuration file
├── SourceError         a camera, a video or an image that cannot be read, or that ended before its end
├── SinkError           an output that cannot be written
├── ModelError          a file that is no usable ONNX model
│   └── ContractError   an ONNX model whose contract is missing, broken or not kept
├── StoreError          the database of events, when it cannot be opened, read or written
└── DeviceError         the device asked for is not there, or a library or driver of it is missing

StopStream              a sink was told by the user to end the run (`q` in the window); not an error

Anything else that comes out of Onsight is a fault of Onsight: traceback and exit code 1.
"""


class OnsightError(Exception):
    """An error that the user can mend; its message is one line and says how."""


class ConfigError(OnsightError):
    """A flag, a configuration key or a value that cannot be used."""


class SourceError(OnsightError):
    """A source that cannot be opened, or that failed before its end."""


class SinkError(OnsightError):
    """An output that cannot be written."""


class StoreError(OnsightError):
    """A database of events that cannot be opened, read or written."""


class ModelError(OnsightError):
    """A file that is not a usable ONNX model."""


class ContractError(ModelError):
    """An ONNX model without a contract, or with one that it does not keep."""


class DeviceError(OnsightError):
    """The device asked for cannot be used; the message names the missing library or driver."""


class StopStream(Exception):  # noqa: N818 - a request, not an error
    """Raised by a sink when the user ends the run, for example with `q` in the window."""
