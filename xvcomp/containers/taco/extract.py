"""Copy samples out of a dataset, and check what arrived."""

import errno
import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

from ...errors import ContainerError
from ..source import RangeSource
from .reader import TacoReader
from .sample import check_id

__all__ = ["extract"]

_CHUNK = 1 << 22


def extract(
    reader: TacoReader,
    samples: Iterable[str],
    folder: str | os.PathLike[str],
    *,
    overwrite: bool = False,
) -> Iterator[Path]:
    """Copy samples to ``<folder>/<id>.mp4``, or ``<folder>/<id>/...`` where they are several files.

    Parameters
    ----------
    samples : iterable of str
        Ids; what is named twice is copied once.

    Yields
    ------
    Path
        Each file, once it is complete and its checksum right.

    Raises
    ------
    FileExistsError
        If a file is there and ``overwrite`` is false.
    ContainerError
        If there is no such sample, the dataset is damaged, or a file's bytes are not those
        that its checksum names.
    """
    wanted, target = list(dict.fromkeys(samples)), Path(folder)
    names = reader.files()
    sums = reader.checksums(wanted)
    for sample in wanted:
        _check(reader, sample)
        for name in names or ("",):
            source = reader.open(sample, name or None)
            try:
                path = _target(target, reader, sample, name, source)
                if path.exists() and not overwrite:
                    raise FileExistsError(errno.EEXIST, "it exists already", str(path))
                path.parent.mkdir(parents=True, exist_ok=True)
                _copy(source, path, sums.get((sample, name)))
            finally:
                source.close()
            yield path


def _check(reader: TacoReader, name: str) -> None:
    """Refuse names that would leave the folder: they come from a file that anyone made."""
    try:
        check_id(name)
    except ValueError as error:
        raise ContainerError(f"{reader.name}: {error}") from error


def _target(folder: Path, reader: TacoReader, sample: str, name: str, source: RangeSource) -> Path:
    """Choose where a file goes; samples of other tools may be no MP4, or be called so already."""
    if name:
        _check(reader, name)
        return folder / sample / name
    is_mp4 = source.read(0, min(12, source.nbytes))[4:8] == b"ftyp"
    return folder / (f"{sample}.mp4" if is_mp4 and not sample.endswith(".mp4") else sample)


def _copy(source: RangeSource, path: Path, sha256: str | None) -> None:
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}.tmp")
    digest = hashlib.sha256()
    try:
        with temporary.open("xb") as file:
            for offset in range(0, source.nbytes, _CHUNK):
                chunk = source.read(offset, min(_CHUNK, source.nbytes - offset))
                digest.update(chunk)
                file.write(chunk)
        if sha256 is not None and digest.hexdigest() != sha256:
            raise ContainerError(f"{source.name} is damaged: its sha256 is not {sha256}")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
