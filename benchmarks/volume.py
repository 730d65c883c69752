"""100 GB of Arrow data through one DoPut into a dataset: the rate, and the server's peak memory. Takes minutes and several GB of disk, so
`bench.py` runs it only when it is named.

    python benchmarks/volume.py [GIGABYTES]
"""

from __future__ import annotations

import sys
import time

import numpy as np
import pyarrow as pa
from pyarrow import flight

from harness import report, skein

ROWS = 131_072
COLUMNS = 8


def batch() -> pa.RecordBatch:
    """8 MiB in Arrow, far less on disk: few different values a column."""
    random = np.random.default_rng(3)
    return pa.record_batch({f"c{n}": random.integers(0, 16, ROWS).astype(np.float64) for n in range(COLUMNS)})


def main() -> None:
    gigabytes = float(sys.argv[1]) if len(sys.argv) > 1 else 100.0
    one = batch()
    count = int(gigabytes * 1e9 / one.nbytes) + 1
    with skein() as server:
        client = flight.connect(server.uri)
        start = time.perf_counter()
        writer, reader = client.do_put(flight.FlightDescriptor.for_path("volume"), one.schema)
        for _ in range(count):
            writer.write_batch(one)
        writer.done_writing()
        while reader.read() is not None:
            pass
        writer.close()
        seconds = time.perf_counter() - start
        peak = server.peak_memory()
        with server.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM volume")
            assert cursor.fetchone()[0] == count * ROWS
    report(f"{gigabytes:,.0f} GB through one DoPut", count * one.nbytes / seconds / 1e9, None, "GB/s", "completes")
    report(f"server's peak memory, {gigabytes:,.0f} GB streamed in", peak / 2**20, None, "MiB", "bounded")


if __name__ == "__main__":
    sys.exit(main())
