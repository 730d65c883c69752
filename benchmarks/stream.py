"""One DoGet of 20 M rows x 4 fixed-width columns to one pyarrow client: Skein against pyarrow's own (C++) Flight server.

Both serve the same batches from memory, and take turns. Then the same rows from Parquet in a local bucket, beside `pyarrow.parquet`
reading the same files in process.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import flight

import flightsql
from harness import alternating_seconds, free_port, median_seconds, note, report, skein

ROWS = 20_000_000
RUNS = 5
# A run takes a fifth of a second and varies by half.
MEMORY_RUNS = 31


def batches(rows_each: int) -> pa.Table:
    n = np.arange(ROWS, dtype=np.int64)
    table = pa.table({"a": n, "b": np.sin(n), "c": n.astype(np.int32), "d": np.cos(n)})
    return pa.Table.from_batches(table.combine_chunks().to_batches(max_chunksize=rows_each))


class Peer(flight.FlightServerBase):
    def __init__(self, location: str, table: pa.Table) -> None:
        super().__init__(location)
        self.table = table

    def do_get(self, context, ticket):
        return flight.RecordBatchStream(self.table)


def serve_peer(port: int, rows_each: int) -> None:
    Peer(f"grpc://127.0.0.1:{port}", batches(rows_each)).serve()


def drain(client: flight.FlightClient, ticket: flight.Ticket) -> None:
    rows = sum(chunk.data.num_rows for chunk in client.do_get(ticket))
    assert rows == ROWS, rows


@contextlib.contextmanager
def peer(rows_each: int) -> Iterator[Callable[[], None]]:
    """A C++ server, and what one run of its stream is."""
    port = free_port()
    server = multiprocessing.get_context("spawn").Process(target=serve_peer, args=(port, rows_each), daemon=True)
    server.start()
    try:
        client = flight.connect(f"grpc://127.0.0.1:{port}")
        client.wait_for_available(120)
        yield lambda: drain(client, flight.Ticket(b"x"))
    finally:
        server.terminate()
        server.join()


def put(client: flight.FlightClient, descriptor: flight.FlightDescriptor, table: pa.Table, rows_each: int) -> None:
    writer, _ = client.do_put(descriptor, table.schema)
    with writer:
        writer.write_table(table, max_chunksize=rows_each)


@contextlib.contextmanager
def skein_memory(rows_each: int) -> Iterator[Callable[[], None]]:
    """Skein with the batches in a temporary table, and what one run of its stream is."""
    with skein() as server:
        client = flight.connect(server.uri)
        put(client, flightsql.ingest("t", temporary=True), batches(rows_each), rows_each)

        def run() -> None:
            info = client.get_flight_info(flightsql.statement("SELECT * FROM t"))
            drain(client, info.endpoints[0].ticket)

        yield run


def from_memory(rows_each: int) -> None:
    gigabytes = batches(rows_each).nbytes / 1e9
    with skein_memory(rows_each) as ours, peer(rows_each) as theirs:
        ours_s, peer_s = alternating_seconds(ours, theirs, MEMORY_RUNS)
    report(
        f"DoGet from memory, {rows_each:,} rows a batch", gigabytes / ours_s, gigabytes / peer_s, "GB/s", ">= 1.0",
        peer_name="pyarrow (C++) Flight server",
    )


def from_parquet() -> None:
    table = batches(1_000_000)
    gigabytes = table.nbytes / 1e9
    with skein() as server:
        client = flight.connect(server.uri)
        put(client, flight.FlightDescriptor.for_path("t"), table, 1_000_000)
        del table
        files = sorted(map(str, server.data.rglob("*.parquet")))

        def ours() -> None:
            info = client.get_flight_info(flightsql.statement("SELECT * FROM t"))
            rows = sum(
                chunk.data.num_rows for endpoint in info.endpoints for chunk in client.do_get(endpoint.ticket)
            )
            assert rows == ROWS, rows

        def peers() -> None:
            assert sum(pq.read_table(file).num_rows for file in files) == ROWS

        ours_s, peers_s = median_seconds(ours, RUNS), median_seconds(peers, RUNS)
    report(
        "DoGet from Parquet in a local bucket", gigabytes / ours_s, gigabytes / peers_s, "GB/s", "beside",
        peer_name="pyarrow.parquet.read_table in process",
    )


def main() -> None:
    for rows_each in (65_536, 1_048_576):
        note(f"streaming from memory, {rows_each:,} rows a batch")
        from_memory(rows_each)
    note("streaming from Parquet")
    from_parquet()


if __name__ == "__main__":
    sys.exit(main())
