"""A folder beside a dataset for what is on its way to it; those of dead writers go.

::

    data.tacozip
    .data.taco-1a2b3c4d5e6f7a8b.tmp/
        lock                            held by its writer, for as long as that lives
        part0 ...
"""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

__all__ = ["scratch_for"]

_LOCK = "lock"
_SUFFIX = ".tmp"
_MAX_STEM = 40
"""Characters of the dataset's name: at four bytes each, all still fits into a file's name."""


@contextlib.contextmanager
def scratch_for(path: Path) -> Iterator[Path]:
    """Give a folder for the files of a dataset that is being written; gone at the end.

    Parameters
    ----------
    path : Path
        Of the dataset; the folder lies beside it, and its name begins with that of the
        dataset. Folders of that kind go first whose writers were killed.
    """
    mark = f".{path.stem[:_MAX_STEM]}.taco-"
    _remove_dead(path.parent, mark)
    folder = path.parent / f"{mark}{secrets.token_hex(8)}{_SUFFIX}"
    folder.mkdir()
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        new = folder / f"{_LOCK}.new"
        handle = os.open(new, os.O_RDWR | os.O_CREAT)
        stack.callback(os.close, handle)
        # Under its name it is locked already, so that nobody takes the folder for a dead one's.
        if _locked(handle):
            new.replace(folder / _LOCK)
        yield folder


def _remove_dead(parent: Path, mark: str) -> None:
    """Remove folders whose lock nobody holds; without a lock, nothing is known of them."""
    for folder in parent.iterdir():
        if not (folder.name.startswith(mark) and folder.name.endswith(_SUFFIX)):
            continue
        with contextlib.suppress(OSError):
            handle = os.open(folder / _LOCK, os.O_RDWR)
            try:
                if _locked(handle):
                    shutil.rmtree(folder)
            finally:
                os.close(handle)


def _locked(handle: int) -> bool:
    """Lock a file until it is closed; false where another holds it, or there are no locks."""
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):  # not a POSIX system; a file system without locks
        return False
    return True
