"""A table in several endpoints, each read over a connection of its own, against the same table in one stream: over a network that lets 1 MiB of each
connection through every 20 ms, and over loopback."""

from __future__ import annotations

import concurrent.futures
import sys

import adbc_driver_flightsql.dbapi as adbc
import numpy as np
import pyarrow as pa

from harness import gate, median_seconds, report, skein

ROWS = 10_000_000
LATENCY = 0.02
ENDPOINTS = 4
RUNS = 3
HEADER = "adbc.flight.sql.rpc.call_header.x-skein-partitions"
QUERY = "select * from wide"


def table() -> pa.Table:
    noise = np.random.default_rng(3)
    return pa.table({"k": np.arange(ROWS, dtype=np.int64), "v": noise.random(ROWS)})


def one_stream(uri: str) -> int:
    with adbc.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.adbc_statement.set_options(**{HEADER: "1"})
        cursor.execute(QUERY)
        return sum(batch.num_rows for batch in cursor.fetch_record_batch())


def several(uri: str) -> int:
    def read(partition: bytes) -> int:
        with adbc.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
            cursor.adbc_read_partition(partition)
            return sum(batch.num_rows for batch in cursor.fetch_record_batch())

    with adbc.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.adbc_statement.set_options(**{HEADER: str(ENDPOINTS)})
        partitions, _ = cursor.adbc_execute_partitions(QUERY)
        assert len(partitions) == ENDPOINTS
    with concurrent.futures.ThreadPoolExecutor(ENDPOINTS) as readers:
        return sum(readers.map(read, partitions))


def compare(uri: str, where: str, goal: str) -> None:
    assert one_stream(uri) == several(uri) == ROWS
    one, many = median_seconds(lambda: one_stream(uri), RUNS, 0), median_seconds(lambda: several(uri), RUNS, 0)
    report(f"{ROWS / 1e6:.0f} M rows in {ENDPOINTS} endpoints {where}", many, one, "s", goal, peer_name="Skein, one stream")


def main() -> None:
    with skein() as server:
        with server.connect() as connection, connection.cursor() as cursor:
            cursor.adbc_ingest("wide", table().to_reader(max_chunksize=65_536), mode="create")
        with gate(server.port, down=LATENCY) as port:
            compare(f"grpc://127.0.0.1:{port}", f"over a network of {LATENCY * 1e3:.0f} ms", "< 1")
        compare(server.uri, "over loopback", "")


if __name__ == "__main__":
    sys.exit(main())
