"""`adbc_ingest` of 10 M rows x 6 columns against `pyarrow.parquet.write_table` of the same data; server memory over 50 M rows."""

from __future__ import annotations

import os
import sys
import tempfile
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from harness import note, report, skein

ROWS = 10_000_000


def table(rows: int = ROWS, seed: int = 7) -> pa.Table:
    random = np.random.default_rng(seed)
    cities = np.array(["Oslo", "Lima", "Cairo", "Quito", "Hanoi", "Turin", "Perth", "Accra"])
    return pa.table(
        {
            "id": np.arange(rows, dtype=np.int64),
            "at": pa.array(1_700_000_000_000_000 + np.arange(rows) * 1000, pa.timestamp("us")),
            "price": random.gamma(2.0, 50.0, rows).round(2),
            "quantity": random.integers(0, 100, rows, dtype=np.int32),
            "city": pa.array(cities[random.integers(0, len(cities), rows)]),
            "code": pa.array(random.integers(0, 1_000_000, rows).astype(str)),
        }
    )


def written_compression(server) -> str:
    file = next(server.data.rglob("*.parquet"))
    return pq.ParquetFile(file).metadata.row_group(0).column(0).compression.lower()


def speed(data: pa.Table) -> None:
    ours, peers = [], []
    for attempt in range(3):
        with skein() as server:
            with server.connect() as connection, connection.cursor() as cursor:
                start = time.perf_counter()
                cursor.adbc_ingest("t", data.to_reader(65_536), mode="create")
                ours.append(time.perf_counter() - start)
            compression = written_compression(server)
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            pq.write_table(data, f"{folder}/t.parquet", compression=compression)
            descriptor = os.open(f"{folder}/t.parquet", os.O_RDONLY)
            os.fsync(descriptor)  # Skein's files are durable when it acknowledges; so are the peer's, then
            os.close(descriptor)
            peers.append(time.perf_counter() - start)
        note(f"run {attempt}: skein {ours[-1]:.2f} s, pyarrow {peers[-1]:.2f} s")
    report(
        "adbc_ingest, 10 M rows x 6 columns", ROWS / sorted(ours)[1] / 1e6, ROWS / sorted(peers)[1] / 1e6, "M rows/s", ">= 0.8",
        peer_name=f"pyarrow.parquet.write_table ({compression}), in process, then fsync",
    )


def memory(data: pa.Table) -> None:
    batches = data.to_batches(max_chunksize=65_536)
    with skein() as server:
        with server.connect() as connection, connection.cursor() as cursor:
            repeated = (batch for _ in range(5) for batch in batches)
            reader = pa.RecordBatchReader.from_batches(data.schema, repeated)
            cursor.adbc_ingest("t", reader, mode="create")
        report("server's peak memory, 50 M rows streamed in", server.peak_memory() / 2**20, None, "MiB", "bounded")


def main() -> None:
    data = table()
    speed(data)
    memory(data)


if __name__ == "__main__":
    sys.exit(main())
