"""What streams through the server must not pile up in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.flight as fl
import pytest
from support.server import Server

ROWS, BATCHES = 1 << 18, 110
BATCH_BYTES = ROWS * 4 * 8
SCHEMA = pa.schema([(f"c{n}", pa.int64()) for n in range(4)])


@pytest.fixture(scope="module")
def frugal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that may hold 64 MiB for an ingest and 128 MiB for queries."""
    env = {
        "SKEIN__INGEST__MEMORY": "64MiB",
        "SKEIN__INGEST__TARGET_FILE_SIZE": "64MiB",
        "SKEIN__INGEST__ROW_GROUP_ROWS": "262144",
        "SKEIN__QUERY__MEMORY": "128MiB",
    }
    with Server(tmp_path_factory.mktemp("frugal"), env) as server:
        yield server


def batches() -> Iterator[pa.RecordBatch]:
    """Noise, which does not compress."""
    noise = np.random.default_rng(7)
    for _ in range(BATCHES):
        yield pa.record_batch([pa.array(noise.integers(0, 1 << 62, ROWS)) for _ in range(4)], schema=SCHEMA)


def test_memory_stays_bounded_while_a_stream_goes_in_and_out(frugal: Server) -> None:
    """Some 800 MB each way, with no more than 400 MB more than the server holds at rest."""
    at_rest = frugal.peak_bytes()
    with fl.FlightClient(frugal.url) as client:
        writer, results = client.do_put(fl.FlightDescriptor.for_path("noise"), SCHEMA)
        with writer:
            for batch in batches():
                writer.write_batch(batch)
            writer.done_writing()
            while results.read() is not None:
                pass
        assert frugal.peak_bytes() - at_rest < 400 << 20
        rows = sum(chunk.data.num_rows for chunk in client.do_get(fl.Ticket(b"SELECT * FROM noise")))
    assert rows == ROWS * BATCHES
    assert frugal.peak_bytes() - at_rest < 400 << 20
    assert BATCHES * BATCH_BYTES > 2 * (400 << 20), "the stream is much bigger than the bound"


def test_a_query_beyond_its_memory_spills_or_says_so(frugal: Server, tmp_path: Path) -> None:
    with fl.FlightClient(frugal.url) as client:
        query = "SELECT count(*) AS n FROM (SELECT value, count(*) FROM generate_series(1, 3000000) GROUP BY value)"
        try:
            table = client.do_get(fl.Ticket(query.encode())).read_all()
            assert table.to_pylist() == [{"n": 3_000_000}]
        except pa.ArrowException as error:
            assert "memory" in str(error).lower()
        assert client.do_get(fl.Ticket(b"SELECT 1 AS a")).read_all().num_rows == 1
