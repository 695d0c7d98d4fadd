"""Many cubes at once: encode them on all cores or a Dask cluster, and go on after any stop.

>>> from xvcomp import batch
>>> done = batch.run(["cubes/*.nc"], "cubes.tacozip", preset="fast")  # doctest: +SKIP
"""

from typing import TYPE_CHECKING, Any

from .items import BatchProgress, BatchResult, CubeResult, Item

if TYPE_CHECKING:
    from .listing import list_items
    from .running import run

__all__ = ["BatchProgress", "BatchResult", "CubeResult", "Item", "list_items", "run"]


def __getattr__(name: str) -> Any:
    """Import what needs Dask only when it is asked for, and say how to get it."""
    if name == "list_items":
        from .listing import list_items

        return list_items
    if name != "run":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        from ..errors import PlanError

        raise PlanError("a batch needs Dask: pip install 'xvcomp[dask]'") from error
    from .running import run

    return run
