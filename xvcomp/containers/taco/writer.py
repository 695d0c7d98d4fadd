"""Write datasets of cube files as TACO v2."""

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from ...errors import PlanError
from .collection import Collection
from .extent import Extent
from .fields import describe_field
from .part import Part, Tables
from .publish import part_paths, publish_parts, publish_single, refuse_existing
from .rows import import_pyarrow
from .sample import TacoSample
from .scratch import scratch_for

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

    Nothing appears under its name before everything is written. What a writer of the same
    dataset left that was killed is removed.

    Parameters
    ----------
    path : path
        Ends in ``.tacozip``. Parts are called ``<stem>_part0001.tacozip`` and so on, and
        ``.tacocat`` lies beside them: a folder holds one dataset of parts.
    samples : iterable of TacoSample
        In any order; taken one at a time. All have side files of the same names, or none.
        ``xvcomp:sha256`` and ``xvcomp:nbytes`` are added to their columns; a sha256 that
        is given is checked.
    collection : Collection
    part_nbytes : int or None
        Start another part rather than grow one beyond about this. What fits into one part
        is one file.
    overwrite : bool
        Replace what is there.

    Returns
    -------
    list of Path
        The file, or its parts.

    Raises
    ------
    PlanError
        If there are no samples, two have one id, their side files differ, or a column's
        values do not go together; or if pyarrow is not installed.
    ContainerError
        If a file changes while it is copied, or is not the one its sha256 names.
    FileExistsError
        If something is there and ``overwrite`` is false.
    """
    import_pyarrow()
    target = _checked_target(Path(path), part_nbytes, overwrite)
    with scratch_for(target) as scratch, closing(_Dataset(target, part_nbytes, scratch)) as made:
        for sample in samples:
            made.add(sample)
        return made.publish(collection, overwrite=overwrite)


def _checked_target(path: Path, part_nbytes: int | None, overwrite: bool) -> Path:
    if path.suffix != ".tacozip":
        raise PlanError(f"{path} must end in .tacozip: readers know datasets by that")
    if part_nbytes is not None and part_nbytes < 1:
        raise PlanError(f"a part of {part_nbytes} bytes cannot hold anything")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent}: create it first")
    if not overwrite:
        refuse_existing(path, parts=part_nbytes is not None)
    return path


class _Dataset:
    """A dataset under way: parts, and the tables of all of them."""

    def __init__(self, path: Path, part_nbytes: int | None, scratch: Path) -> None:
        self._path, self._part_nbytes, self._scratch = path, part_nbytes, scratch
        self._parts: list[Part] = []
        self._tables = Tables(nested=False)
        self._names: tuple[str, ...] = ()
        # The one thing that grows with the samples, beside 36 bytes of index for each file.
        self._ids: set[str] = set()

    def add(self, sample: TacoSample) -> None:
        self._check(sample)
        if not self._parts or self._is_full(self._parts[-1], sample):
            self._next_part()
        self._parts[-1].add(sample)

    def _check(self, sample: TacoSample) -> None:
        if sample.id in self._ids:
            raise PlanError(f"two samples have the id {sample.id!r}")
        if not self._ids:
            self._names = sample.names
            self._tables.close()
            self._tables = Tables(nested=bool(sample.side_files))
        if len(sample.names) != len(self._names) or (
            self._tables.nested and sample.names != self._names
        ):
            raise PlanError(
                f"sample {sample.id!r} has the files {', '.join(sample.names)}, others have "
                f"{', '.join(self._names)}; all samples of a dataset have the same files"
            )
        self._ids.add(sample.id)

    def _is_full(self, part: Part, sample: TacoSample) -> bool:
        limit = self._part_nbytes
        return limit is not None and part.count > 0 and part.nbytes_with(sample) > limit

    def _next_part(self) -> None:
        if self._parts:
            self._parts[-1].suspend()
        self._parts.append(Part(self._scratch, len(self._parts), self._tables))

    def publish(self, collection: Collection, *, overwrite: bool) -> list[Path]:
        if not self._parts:
            raise PlanError("there are no samples: a dataset needs one at least")
        self._parts[-1].suspend()
        schemas = [level.schema() for level in self._tables.levels]
        for part in self._parts:
            told = self._description(collection, schemas, part.count, part.extent)
            part.finish(schemas, told)
        temporary = [part.temporary for part in self._parts]
        if len(temporary) == 1:
            return publish_single(temporary[0], self._path, overwrite=overwrite)
        paths = part_paths(self._path, len(temporary))
        records = (record for part in self._parts for record in part.records())
        return publish_parts(
            dict(zip(temporary, paths, strict=True)),
            self._path,
            self._tables.levels,
            schemas,
            self._whole(collection, schemas, paths),
            records,
            scratch=self._scratch,
            overwrite=overwrite,
        )

    def _description(
        self, collection: Collection, schemas: Sequence[Any], count: int, extent: Extent
    ) -> dict[str, Any]:
        """Return ``COLLECTION.json`` for so many samples."""
        nested = self._tables.nested
        pit: dict[str, Any] = {
            "root": {"n": count, "type": "FOLDER" if nested else "FILE"},
            "shape": [count],
            "hierarchy": {},
        }
        if nested:
            names = list(self._names)
            pit["shape"].append(len(names))
            kinds = ["FILE"] * len(names)
            pit["hierarchy"]["1"] = [{"n": count * len(names), "type": kinds, "id": names}]
        columns = {
            f"level{level}": [
                [each.name, str(each.type), describe_field(each.name)] for each in schema
            ]
            for level, schema in enumerate(schemas)
        }
        own = {"extent": extent.to_dict(), "taco:pit_schema": pit, "taco:field_schema": columns}
        return collection.to_dict() | own

    def _whole(
        self, collection: Collection, schemas: Sequence[Any], paths: Sequence[Path]
    ) -> Mapping[str, Any]:
        """Return the ``COLLECTION.json`` of all parts together."""
        extent = Extent()
        for part in self._parts:
            extent.join(part.extent)
        count = sum(part.count for part in self._parts)
        sources = {
            "count": len(paths),
            "ids": [collection.id] * len(paths),
            "files": [path.name for path in paths],
            "extents": [
                {"file": path.name, "id": collection.id, **part.extent.to_dict()}
                for path, part in zip(paths, self._parts, strict=True)
            ],
        }
        told = self._description(collection, schemas, count, extent)
        return told | {"taco:sources": sources}

    def close(self) -> None:
        """Let all files go."""
        self._tables.close()
        for part in self._parts:
            part.close()
