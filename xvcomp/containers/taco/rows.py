"""Tables while they grow: rows go to disk in batches, and get one type per column at the end."""

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import IO, Any

from ...errors import PlanError

__all__ = ["RowSpool", "import_pyarrow", "write_parquet"]

_BATCH_ROWS = 4096
_SPOOL_NBYTES = 1 << 20
_GROUP_ROWS = 65536


def import_pyarrow() -> Any:
    """Import pyarrow, or say how to install it.

    Raises
    ------
    PlanError
        If it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise PlanError(
            "TACO datasets need pyarrow, which is not installed: pip install 'xvcomp[taco]'"
        ) from error
    return pyarrow


class RowSpool:
    """Rows of a table, in a temporary file.

    The type of a column is not known before its last row, such as when the first values
    are missing or happen to be whole numbers. So each batch keeps its own types until
    `batches` is told the common ones. A batch belongs to one part.
    """

    def __init__(self) -> None:
        self._pyarrow = import_pyarrow()
        # Lives as long as the spool.
        self._file = tempfile.SpooledTemporaryFile(max_size=_SPOOL_NBYTES)  # noqa: SIM115
        self._rows: list[Mapping[str, object]] = []
        self._places: list[tuple[int, int, int]] = []
        self._schemas: list[Any] = []
        self._part = 0

    def add(self, row: Mapping[str, object], part: int = 0) -> None:
        """Append a row of a part, not before the last one; what it lacks is missing."""
        if part != self._part or len(self._rows) == _BATCH_ROWS:
            self._flush()
        self._part = part
        self._rows.append(row)

    def _flush(self) -> None:
        """Move the last rows to the file."""
        if not self._rows:
            return
        arrow = self._pyarrow
        names = dict.fromkeys(name for row in self._rows for name in row)
        columns = {name: self._column(name) for name in names}
        batch = arrow.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
        sink = arrow.BufferOutputStream()
        with arrow.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)
        data = sink.getvalue()
        self._places.append((self._part, self._file.tell(), len(data)))
        self._file.write(data)
        if batch.schema not in self._schemas:
            self._schemas.append(batch.schema)
        self._rows = []

    def _column(self, name: str) -> Any:
        arrow = self._pyarrow
        values = [_plain(row.get(name)) for row in self._rows]
        try:
            return arrow.array(values)
        except (arrow.ArrowInvalid, arrow.ArrowTypeError, OverflowError) as error:
            raise PlanError(f"column {name!r} holds values of several types: {error}") from error

    def schema(self) -> Any:
        """Find the one schema that all rows fit: TACO's own columns come last.

        Raises
        ------
        PlanError
            If the values of a column do not go together.
        """
        self._flush()
        arrow = self._pyarrow
        try:
            common = arrow.unify_schemas(self._schemas, promote_options="permissive")
        except (arrow.ArrowInvalid, arrow.ArrowTypeError) as error:
            raise PlanError(f"a column differs in type between samples: {error}") from error
        # Readers have trouble with columns of no type.
        fields = [
            field.with_type(arrow.string()) if arrow.types.is_null(field.type) else field
            for field in common
        ]
        inner = [field for field in fields if field.name.startswith("internal:")]
        return arrow.schema([field for field in fields if field not in inner] + inner)

    def batches(self, schema: Any, part: int | None = None) -> Iterator[tuple[int, Any]]:
        """Return the rows, of one part or of all, as record batches of one schema.

        Yields
        ------
        part : int
        batch : pyarrow.RecordBatch
        """
        self._flush()
        for own, offset, nbytes in self._places:
            if part is None or part == own:
                self._file.seek(offset)
                with self._pyarrow.ipc.open_stream(self._file.read(nbytes)) as stream:
                    yield from ((own, self._fitted(batch, schema)) for batch in stream)
        self._file.seek(0, 2)

    def _fitted(self, batch: Any, schema: Any) -> Any:
        known = set(batch.schema.names)
        columns = [
            batch.column(field.name).cast(field.type)
            if field.name in known
            else self._pyarrow.nulls(batch.num_rows, field.type)
            for field in schema
        ]
        return self._pyarrow.RecordBatch.from_arrays(columns, schema=schema)

    def close(self) -> None:
        """Drop the rows. Safe to call twice."""
        self._file.close()


def _plain(value: Any) -> Any:
    """Return a value that pyarrow types as TACO's tools do: times are UTC, without a zone."""
    if isinstance(value, datetime):
        return value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers
        value = value.astype("datetime64[us]") if value.dtype.kind == "M" else value
        return value.tolist()
    if isinstance(value, tuple):
        return list(value)
    return value


def write_parquet(
    file: IO[bytes], batches: Iterable[Any], schema: Any, *, tiny: bool = False
) -> None:
    """Write record batches as one Parquet file, row group by row group.

    Of a ``tiny`` table, what helps large ones would be most of the file.
    """
    arrow = import_pyarrow()
    options = dict.fromkeys(("write_statistics", "use_dictionary", "store_schema"), not tiny)
    with arrow.parquet.ParquetWriter(file, schema, compression="zstd", **options) as writer:
        waiting: list[Any] = []
        for batch in batches:
            waiting.append(batch)
            if sum(each.num_rows for each in waiting) >= _GROUP_ROWS:
                writer.write_table(arrow.Table.from_batches(waiting, schema=schema))
                waiting = []
        if waiting:
            writer.write_table(arrow.Table.from_batches(waiting, schema=schema))
