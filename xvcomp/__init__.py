"""Store Earth-system datacubes as video, and get them back as xarray with promises kept.

>>> import xvcomp
>>> report = xvcomp.encode(dataset, "cube.mp4", target=xvcomp.Psnr(45))  # doctest: +SKIP
>>> cube = xvcomp.open("cube.mp4")  # doctest: +SKIP
"""

from typing import TYPE_CHECKING, Any

from ._after_import import after_import as _after_import
from .errors import (
    CodecError,
    CodecUnavailable,
    ContainerError,
    ErrorBoundExceeded,
    HubError,
    ManifestError,
    PlanError,
    TargetError,
    XvcompError,
)
from .spec import (
    Bpppb,
    Lossless,
    Manifest,
    MaxError,
    Plan,
    Psnr,
    Quality,
    Ratio,
    Ssim,
    Target,
)
from .version import __version__

if TYPE_CHECKING:
    from .api import Info, encode, info, open, plan, verify
    from .containers.taco import Collection, TacoReader, TacoSample, open_taco, write_taco
    from .evaluation import Evaluation, evaluate
    from .previews import Preview, preview
    from .report import Sweep, sweep
    from .results import Options, Override, Progress, Report
    from .sampling import samples
    from .viewer import View, view
    from .zarr_serializer import zarr_codec

__all__ = [
    "Bpppb",
    "CodecError",
    "CodecUnavailable",
    "Collection",
    "ContainerError",
    "ErrorBoundExceeded",
    "Evaluation",
    "HubError",
    "Info",
    "Lossless",
    "Manifest",
    "ManifestError",
    "MaxError",
    "Options",
    "Override",
    "Plan",
    "PlanError",
    "Preview",
    "Progress",
    "Psnr",
    "Quality",
    "Ratio",
    "Report",
    "Ssim",
    "Sweep",
    "TacoReader",
    "TacoSample",
    "Target",
    "TargetError",
    "View",
    "XvcompError",
    "__version__",
    "encode",
    "evaluate",
    "info",
    "open",
    "open_taco",
    "plan",
    "preview",
    "samples",
    "sweep",
    "verify",
    "view",
    "write_taco",
    "zarr_codec",
]

_LAZY = {
    **dict.fromkeys(("Info", "encode", "info", "open", "plan", "verify"), "api"),
    **dict.fromkeys(("Evaluation", "evaluate"), "evaluation"),
    **dict.fromkeys(("Preview", "preview"), "previews"),
    **dict.fromkeys(("Sweep", "sweep"), "report"),
    **dict.fromkeys(("Options", "Override", "Progress", "Report"), "results"),
    **dict.fromkeys(
        ("Collection", "TacoReader", "TacoSample", "open_taco", "write_taco"), "containers.taco"
    ),
    **dict.fromkeys(("View", "view"), "viewer"),
    "samples": "sampling",
    "zarr_codec": "zarr_serializer",
}


def __getattr__(name: str) -> Any:
    """Import what is heavy (xarray and more) only when it is asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_LAZY[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)


def _register_accessors() -> None:
    from .accessor import register

    register()


_after_import("xarray", _register_accessors)
