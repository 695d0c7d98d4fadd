"""Read datasets in place: list samples, find where each lies, open it by byte range."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from ...errors import ContainerError
from ..abc import ByteRange
from ..source import RangeSource, SliceSource, Source, open_source
from .address import from_vsi, split_member, to_vsi
from .filters import Condition, to_expression
from .sample import CUBE_STEM
from .store import Store, open_store
from .table import Table

__all__ = ["Payload", "TacoReader", "open_member", "open_taco"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Payload:
    """Where a file of a sample lies: ``nbytes`` from ``offset`` of ``part``, a path or URL."""

    part: str
    offset: int
    nbytes: int

    @property
    def vsi_path(self) -> str:
        """The place as GDAL writes it; `xvcomp.open` takes it, too."""
        return to_vsi(self.part, ByteRange(self.offset, self.nbytes))


class TacoReader:
    """An open dataset. Reads its tables only as far as they are asked for.

    Parameters
    ----------
    store : Store
        See ``open_taco``.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tables: dict[int, Table] = {}

    @property
    def name(self) -> str:
        """The path or URL."""
        return self._store.name

    @property
    def collection(self) -> Mapping[str, Any]:
        """What ``COLLECTION.json`` says of the dataset."""
        return self._store.collection

    @property
    def columns(self) -> dict[str, str]:
        """The columns of the samples and their types, TACO's own left out."""
        schema = self._table(0).schema
        return {each.name: str(each.type) for each in schema if not _is_inner(each.name)}

    def __len__(self) -> int:
        return self._table(0).count

    def rows(
        self,
        *,
        columns: Sequence[str] | None = None,
        where: Sequence[Condition] = (),
        limit: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Return the samples that meet all conditions, in the order of the table.

        Parameters
        ----------
        columns : sequence of str, optional
            All but TACO's own by default; only these are read.
        limit : int, optional
            At most so many.

        Raises
        ------
        PlanError
            If a column is not there, or cannot be compared.
        ContainerError
            If the table is damaged.
        """
        schema = self._table(0).schema
        chosen = list(self.columns if columns is None else columns)
        for name in chosen:
            to_expression(Condition(column=name, operator="==", value=""), schema)
        left = limit
        for table in self._table(0).groups(chosen, where):
            part = table if left is None else table.slice(0, left)
            yield from part.to_pylist()
            left = None if left is None else left - part.num_rows
            if left == 0:
                return

    def _table(self, level: int) -> Table:
        if level not in self._tables:
            source = self._store.table(level)
            if source is None:
                raise ContainerError(
                    f"{self.name} has no table of level {level}: it is no TACO dataset, or an "
                    "incomplete one"
                )
            self._tables[level] = Table(source, self.name)
        return self._tables[level]

    def files(self) -> tuple[str, ...]:
        """Return the names of the files in each sample; none where a sample is its cube."""
        try:
            shape = self.collection["taco:pit_schema"]
            if shape["root"]["type"] == "FILE":
                return ()
            (inner,) = shape["hierarchy"]["1"]
            found = tuple(str(name) for name in inner["id"])
            if set(inner["type"]) != {"FILE"}:
                raise ContainerError(f"{self.name} has folders in its samples: not supported")
        except (KeyError, TypeError, ValueError) as error:
            raise ContainerError(f"{self.name} is damaged: its pit_schema: {error!r}") from error
        return found

    def locate(self, sample: str, file: str | None = None) -> Payload:
        """Find a file of a sample.

        Parameters
        ----------
        sample : str
            Its id.
        file : str, optional
            The name of a file beside the cube; by default the cube.

        Raises
        ------
        ContainerError
            If there is no such sample or file.
        """
        found = self._store.find(sample if file is None else f"{sample}/{file}")
        if found is not None:
            place, part = found
            return Payload(part=part, offset=place.offset, nbytes=place.nbytes)
        row = self._row(0, [Condition(column="id", operator="==", value=sample)])
        if row is None:
            raise ContainerError(f"{self.name} has no sample {sample!r}")
        if row["type"] == "FILE" and file is None:
            return self._payload(row)
        return self._payload(self._inner(sample, row, file))

    def _inner(self, sample: str, row: Mapping[str, Any], file: str | None) -> Mapping[str, Any]:
        """Find a file in a sample of several, by the tables."""
        names = self.files()
        wanted = file if file is not None else _cube_of(names)
        if wanted not in names:
            known = ", ".join(names) or "none beside the cube"
            raise ContainerError(f"{self.name}: {sample!r} has no file {wanted!r}; it has {known}")
        number = str(row["internal:current_id"])
        where = [
            Condition(column="internal:parent_id", operator="==", value=number),
            Condition(column="id", operator="==", value=wanted),
        ]
        if "internal:source_file" in row:
            part = row["internal:source_file"]
            where.append(Condition(column="internal:source_file", operator="==", value=part))
        found = self._row(1, where)
        if found is None:
            raise ContainerError(f"{self.name} is damaged: the table lacks {sample}/{wanted}")
        return found

    def _row(self, level: int, where: Sequence[Condition]) -> dict[str, Any] | None:
        known = self._table(level).schema.names
        missing = {"id", "type", "internal:offset", "internal:size"} - set(known)
        if missing:
            raise ContainerError(f"{self.name} is damaged: its table lacks {sorted(missing)[0]!r}")
        inner = [name for name in known if _is_inner(name)]
        for table in self._table(level).groups(["id", "type", *inner], where):
            if table.num_rows:
                return dict(table.slice(0, 1).to_pylist()[0])
        return None

    def _payload(self, row: Mapping[str, Any]) -> Payload:
        offset, nbytes = row["internal:offset"], row["internal:size"]
        if not isinstance(offset, int) or not isinstance(nbytes, int) or min(offset, nbytes) < 0:
            raise ContainerError(f"{self.name} is damaged: {row['id']!r} has no place in it")
        part = self._store.part(row.get("internal:source_file"))
        return Payload(part=part, offset=offset, nbytes=nbytes)

    def checksums(self, samples: Collection[str] | None = None) -> dict[tuple[str, str], str]:
        """Return the sha256 of files, as far as the tables tell, by sample and name.

        Parameters
        ----------
        samples : collection of str, optional
            Ids; all by default. The name of a sample's only file is empty.
        """
        wanted = None if samples is None else frozenset(samples)
        found: dict[tuple[str, str], str] = {}
        names: dict[Any, str] = {}
        for row in self._told(0):
            if wanted is None or row["id"] in wanted:
                names[row["internal:current_id"], row.get("internal:source_file")] = row["id"]
                if row["type"] == "FILE":
                    found[row["id"], ""] = row["xvcomp:sha256"]
        for row in self._told(1) if self.files() else ():
            parent = row["internal:parent_id"], row.get("internal:source_file")
            if parent in names:
                found[names[parent], row["id"]] = row["xvcomp:sha256"]
        return found

    def _told(self, level: int) -> Iterator[dict[str, Any]]:
        """Read what joins the tables and the checksums; nothing where they lack these."""
        known = self._table(level).schema.names
        if "xvcomp:sha256" in known:
            inner = [name for name in known if _is_inner(name)]
            for table in self._table(level).groups(["id", "type", "xvcomp:sha256", *inner]):
                yield from table.to_pylist()

    def open(self, sample: str, file: str | None = None) -> RangeSource:
        """Open a file of a sample for reading by range; the caller closes it.

        Raises
        ------
        ContainerError
            If there is no such sample or file, or its part is cut short.
        """
        place = self.locate(sample, file)
        name = f"{self.name}::{sample}" + ("" if file is None else f"/{file}")
        return _slice(self._store.open_part(place.part), place.offset, place.nbytes, name)

    def close(self) -> None:
        """Give the files back. Safe to call twice."""
        self._tables = {}
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _slice(part: RangeSource, offset: int, nbytes: int, name: str) -> SliceSource:
    """Make a file of its own of a range of a part, which it closes."""
    try:
        found = SliceSource(part, offset, nbytes)
    except BaseException:
        part.close()
        raise
    found.name = name
    return found


def _is_inner(name: str) -> bool:
    return name.startswith("internal:")


def _cube_of(names: Sequence[str]) -> str | None:
    """Pick the cube among the files of a sample, also where other tools named them."""
    named = [name for name in names if name.startswith(f"{CUBE_STEM}.")]
    videos = [name for name in names if name.endswith((".mp4", ".m4v"))]
    return next(iter(named or videos or names), None)


def open_taco(source: Source, storage_options: Mapping[str, Any] | None = None) -> TacoReader:
    """Open a dataset: a ``.tacozip``, a ``.tacocat``, or the folder of parts around one.

    Parameters
    ----------
    source : path, URL, bytes, binary file or RangeSource
    storage_options : Mapping, optional
        Handed to fsspec; for URLs only.

    Raises
    ------
    FileNotFoundError
        If there is nothing.
    ContainerError
        If it is no TACO v2 dataset, or is damaged or cut short.
    """
    return TacoReader(open_store(source, storage_options))


def open_member(text: str, storage_options: Mapping[str, Any] | None = None) -> RangeSource | None:
    """Open ``<dataset>::<id>``, ``<dataset>::<id>/<file>`` or GDAL's ``/vsisubfile/...``.

    Returns
    -------
    RangeSource or None
        ``None`` if the text is not of these forms.
    """
    direct = from_vsi(text)
    if direct is not None:
        part, place = direct
        opened = open_source(part, storage_options)
        return _slice(opened, place.offset, place.nbytes, text)
    split = split_member(text)
    if split is None:
        return None
    dataset, member = split
    sample, _, file = member.partition("/")
    with open_taco(dataset, storage_options) as reader:
        return reader.open(sample, file or None)
