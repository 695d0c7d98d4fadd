"""Write datasets of cube files as TACO v2."""

import os
from collections.abc import Iterable
from pathlib import Path

from .collection import Collection
from .sample import TacoSample

__all__ = ["write_taco"]


def write_taco(
    path: str | os.PathLike[str],
    samples: Iterable[TacoSample],
    collection: Collection,
    *,
    part_nbytes: int | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write cube files as a dataset: one ``.tacozip``, or parts and a ``.tacocat`` folder.

    Parameters
    ----------
    path : path
        Ends in ``.tacozip``. Parts are called ``<stem>_part0001.tacozip`` and so on.
    samples : iterable of TacoSample
        In any order; taken one at a time.
    part_nbytes : int or None
        Start another part rather than grow one beyond this.

    Returns
    -------
    list of Path
        The file, or its parts.
    """
    raise NotImplementedError("being written")
