"""Read a dataset's Parquet tables by range, some columns and some rows at a time."""

import contextlib
import io
from collections.abc import Iterator, Sequence
from typing import Any

from ...errors import ContainerError
from ..source import RangeSource
from .filters import Condition, to_expression
from .rows import import_pyarrow

__all__ = ["Table"]


class Table:
    """One table of a dataset.

    Parameters
    ----------
    source : RangeSource
        Stays the caller's to close.
    name : str
        Of the dataset, for messages.

    Raises
    ------
    ContainerError
        If it is no Parquet table.
    """

    def __init__(self, source: RangeSource, name: str) -> None:
        self._name = name
        arrow = import_pyarrow()
        with _damage(name):
            self._file = arrow.parquet.ParquetFile(
                arrow.PythonFile(_RangeFile(source), mode="r"), pre_buffer=source.is_remote
            )
            self.schema: Any = self._file.schema_arrow
        self.count = int(self._file.metadata.num_rows)

    def groups(self, columns: Sequence[str], where: Sequence[Condition] = ()) -> Iterator[Any]:
        """Read row group by row group: a million rows need not fit into memory.

        Yields
        ------
        pyarrow.Table
            The rows of a group that meet all conditions.
        """
        tests = [to_expression(each, self.schema) for each in where]
        needed = list(dict.fromkeys([*columns, *(each.column for each in where)]))
        for number in range(self._file.metadata.num_row_groups):
            with _damage(self._name):
                table = self._file.read_row_group(number, columns=needed)
                for test in tests:
                    table = table.filter(test)
                table = table.select(list(columns))
            yield table


class _RangeFile(io.RawIOBase):
    """A source as the file that pyarrow wants."""

    def __init__(self, source: RangeSource) -> None:
        super().__init__()
        self._source, self._position = source, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._source.nbytes}
        self._position = base[whence] + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, nbytes: int = -1) -> bytes:
        left = max(0, self._source.nbytes - self._position)
        data = self._source.read(self._position, left if nbytes < 0 else min(nbytes, left))
        self._position += len(data)
        return data


@contextlib.contextmanager
def _damage(name: str) -> Iterator[None]:
    """Say of which dataset the table is that pyarrow cannot read."""
    arrow = import_pyarrow()
    try:
        yield
    except ContainerError:
        raise
    except (arrow.ArrowException, OSError, ValueError, KeyError) as error:
        raise ContainerError(f"{name} is damaged: its table: {error}") from error
