"""Give finished datasets their names, and parts the folder that makes them one."""

import errno
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .layout import COLLECTION_NAME, Record, sorted_index
from .rows import RowSpool, import_pyarrow, write_parquet

__all__ = [
    "CAT_INDEX_NAME",
    "CAT_NAME",
    "part_paths",
    "publish_parts",
    "publish_single",
    "refuse_existing",
]

CAT_NAME = ".tacocat"
CAT_INDEX_NAME = "xvcomp.index"


def part_paths(path: Path, count: int) -> list[Path]:
    """Return the names of a dataset's parts."""
    return [path.with_name(f"{path.stem}_part{i:04d}{path.suffix}") for i in range(1, count + 1)]


def refuse_existing(path: Path, *, parts: bool) -> None:
    """Raise ``FileExistsError`` if a dataset would replace something."""
    there = [path, path.parent / CAT_NAME] if parts else [path]
    for each in [*there, *(_old_parts(path) if parts else [])]:
        if each.exists():
            raise FileExistsError(errno.EEXIST, "it exists already", str(each))


def _old_parts(path: Path) -> list[Path]:
    pattern = re.compile(re.escape(path.stem) + r"_part\d{4,}" + re.escape(path.suffix))
    return sorted(each for each in path.parent.iterdir() if pattern.fullmatch(each.name))


def publish_single(temporary: Path, path: Path, *, overwrite: bool) -> list[Path]:
    """Give a dataset of one file its name; parts that it replaces go."""
    _sync(temporary)
    if not overwrite:
        refuse_existing(path, parts=False)
    old = _whole_parts(path) if overwrite else []
    if old:
        shutil.rmtree(path.parent / CAT_NAME)
    temporary.replace(path)
    for each in old:
        each.unlink()
    _sync(path.parent)
    return [path]


def _whole_parts(path: Path) -> list[Path]:
    """Return the old parts of a dataset, if the table beside them is of these alone."""
    old = _old_parts(path)
    try:
        told = json.loads((path.parent / CAT_NAME / COLLECTION_NAME).read_bytes())
        files = set(told["taco:sources"]["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return old if files and files <= {each.name for each in old} else []


def publish_parts(
    names: Mapping[Path, Path],
    path: Path,
    levels: Sequence[RowSpool],
    schemas: Sequence[Any],
    description: Mapping[str, Any],
    records: Iterable[Record],
    *,
    scratch: Path,
    overwrite: bool,
) -> list[Path]:
    """Give parts their names, then make ``.tacocat`` of the tables of all of them.

    Parameters
    ----------
    names : Mapping[Path, Path]
        The name of each temporary file, in order of parts.
    scratch : Path
        The folder of the temporary files.
    """
    folder = scratch / CAT_NAME
    folder.mkdir()
    paths = list(names.values())
    for number, (level, schema) in enumerate(zip(levels, schemas, strict=True)):
        _write_level(folder / f"level{number}.parquet", level, schema, paths)
    (folder / CAT_INDEX_NAME).write_bytes(sorted_index(records).tobytes())
    text = json.dumps(description, ensure_ascii=False, indent=1)
    (folder / COLLECTION_NAME).write_text(text, encoding="utf-8")
    for each in [*names, *folder.iterdir()]:
        _sync(each)
    if not overwrite:
        refuse_existing(path, parts=True)
    _swap(names, folder, path)
    return paths


def _write_level(path: Path, level: RowSpool, schema: Any, paths: Sequence[Path]) -> None:
    """Write the rows of all parts, each with the name of its file."""
    arrow = import_pyarrow()
    field = arrow.field("internal:source_file", arrow.string())
    wider = schema.append(field)

    def batches() -> Iterator[Any]:
        for part, batch in level.batches(schema):
            column = arrow.array([paths[part].name] * batch.num_rows, field.type)
            yield arrow.RecordBatch.from_arrays([*batch.columns, column], schema=wider)

    with path.open("wb") as file:
        write_parquet(file, batches(), wider)


def _swap(names: Mapping[Path, Path], folder: Path, path: Path) -> None:
    """Put a dataset of parts in the place of an older one.

    Without its ``.tacocat`` a dataset counts as absent: it goes first and comes last, so
    that no reader sees new parts through an old table.
    """
    cat = path.parent / CAT_NAME
    if cat.exists():
        shutil.rmtree(cat)
    for old in {*_old_parts(path), path} - set(names.values()):
        old.unlink(missing_ok=True)
    for temporary, final in names.items():
        temporary.replace(final)
    folder.replace(cat)
    _sync(path.parent)


def _sync(path: Path) -> None:
    """Bring a file or folder to the disk, where the system knows how."""
    if os.name == "nt" and path.is_dir():
        return
    # Windows syncs only what is open for writing.
    handle = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
