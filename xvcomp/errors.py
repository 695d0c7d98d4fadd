"""The exceptions that xvcomp raises.

::

    XvcompError
    ├── PlanError (ValueError)             the cube or the options cannot be planned
    ├── TargetError (ValueError)           a target is out of reach; holds the best point
    ├── CodecError (RuntimeError)          an encoder or a decoder failed
    │   └── CodecUnavailable               this machine cannot run it
    ├── ContainerError (OSError)           not an xvcomp file, damaged or cut short
    │   └── ManifestError (ValueError)     its manifest is unreadable or too new
    ├── HubError (OSError)                 a hub refused, or did not answer any more
    └── ErrorBoundExceeded (RuntimeError)  verification found a broken promise
"""

__all__ = [
    "CodecError",
    "CodecUnavailable",
    "ContainerError",
    "ErrorBoundExceeded",
    "HubError",
    "ManifestError",
    "PlanError",
    "TargetError",
    "XvcompError",
]


class XvcompError(Exception):
    """Base of every error that xvcomp raises on purpose."""


class PlanError(XvcompError, ValueError):
    """The cube, or what was asked for, cannot be planned."""


class TargetError(XvcompError, ValueError):
    """No encoding reaches the target.

    Attributes
    ----------
    best : object or None
        The closest point that was measured, when there is one.
    """

    def __init__(self, message: str, best: object = None) -> None:
        super().__init__(message)
        self.best = best


class CodecError(XvcompError, RuntimeError):
    """An encoder or a decoder failed, or returned something impossible."""


class CodecUnavailable(CodecError):
    """The codec exists, but not on this machine or not with these parameters."""


class ContainerError(XvcompError, OSError):
    """The file is not an xvcomp file, or it is damaged or incomplete."""


class ManifestError(ContainerError, ValueError):
    """The manifest is unreadable, or newer than this version can read."""


class HubError(XvcompError, OSError):
    """A hub of datasets refused what was asked, or stopped answering."""


class ErrorBoundExceeded(XvcompError, RuntimeError):
    """What was written does not keep its promise; an encoder leaves nothing behind then.

    Attributes
    ----------
    report : object or None
        Everything that was measured, when all of a file was compared.
    """

    def __init__(self, message: str, report: object = None) -> None:
        super().__init__(message)
        self.report = report
