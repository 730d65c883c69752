"""The answer to a query, in the shape the caller wants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pyarrow

from skein_flight.errors import InvalidInputError, translated

if TYPE_CHECKING:
    import pandas
    import polars


class Result:
    """Rows on their way. Read it once, in one of the shapes below; `batches` and `reader` hold one batch at a time."""

    def __init__(self, reader: pyarrow.RecordBatchReader, close: Callable[[], None]) -> None:
        self._reader: pyarrow.RecordBatchReader | None = reader
        self._close = close
        self.schema: pyarrow.Schema = reader.schema

    def _take(self) -> pyarrow.RecordBatchReader:
        if self._reader is None:
            raise InvalidInputError("this result has been read or closed; run the query again")
        reader, self._reader = self._reader, None
        return reader

    def batches(self) -> Iterator[pyarrow.RecordBatch]:
        """The batches as they arrive."""
        reader = self._take()
        try:
            with translated():
                yield from reader
        finally:
            self.close()

    def arrow(self) -> pyarrow.Table:
        """All rows as a pyarrow table."""
        return pyarrow.Table.from_batches(self.batches(), schema=self.schema)

    def polars(self) -> polars.DataFrame:
        """All rows as a polars frame."""
        import polars

        frame = polars.from_arrow(self.arrow())
        assert isinstance(frame, polars.DataFrame)
        return frame

    def pandas(self, **options: Any) -> pandas.DataFrame:
        """All rows as a pandas frame; options are those of `pyarrow.Table.to_pandas`."""
        return self.arrow().to_pandas(**options)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows as Python tuples."""
        rows: list[tuple[Any, ...]] = []
        for batch in self.batches():
            columns = [column.to_pylist() for column in batch.columns]
            rows.extend(zip(*columns, strict=True) if columns else ((),) * batch.num_rows)
        return rows

    def scalar(self) -> Any:
        """The only value of a result with one row and one column."""
        rows = self.fetchall()
        if len(rows) != 1 or len(rows[0]) != 1:
            raise InvalidInputError(f"scalar() needs one row of one column; got {len(rows)} rows of {len(self.schema)}")
        return rows[0][0]

    def reader(self) -> pyarrow.RecordBatchReader:
        """The stream itself, for a consumer that takes one: DuckDB, DataFusion, `pyarrow.dataset.write_dataset`.

        The query stays open until the reader is drained or let go.
        """
        # A reader of batches() and not the driver's own: it keeps the query alive after this object has gone.
        return pyarrow.RecordBatchReader.from_batches(self.schema, self.batches())

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The Arrow PyCapsule protocol: hand a result to any library that speaks it."""
        return self.reader().__arrow_c_stream__(requested_schema)

    def close(self) -> None:
        """Ends the query; whatever was not read is dropped, here and on the server."""
        self._reader = None
        with translated():
            self._close()

    def __enter__(self) -> Result:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
