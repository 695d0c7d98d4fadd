"""What the table of a dataset says of a cube: STAC columns, and how it is coded."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .results import Report

__all__ = ["cube_columns", "load_columns"]


def cube_columns(path: str | Path, report: "Report | None" = None) -> dict[str, object]:
    """Describe a cube file in the columns of a dataset's table.

    Parameters
    ----------
    path : str or Path
        A cube file; only its header is read, and all its bytes once for the checksum.
    report : Report, optional
        Of its encoding, for measured quality.

    Returns
    -------
    dict
        ``stac:*`` where the cube has what they need, and ``xvcomp:*``.
    """
    raise NotImplementedError("being written")


def load_columns(path: Path) -> dict[str, Mapping[str, object]]:
    """Read a user's columns from a CSV or Parquet file, by sample id.

    Raises
    ------
    PlanError
        If the file has no column ``id``, or an id twice.
    """
    raise NotImplementedError("being written")
