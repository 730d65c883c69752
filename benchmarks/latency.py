"""`select 1` and a one-row lookup over ADBC against roapi, p50 and p99; and through the Rust client with a prepared statement."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from harness import ROOT, free_port, process, report, skein, skein_binary

RUNS = 1500
STATEMENTS = {"select 1": "select 1", "one-row lookup": "select v from lookup where k = 77777"}


def table() -> pa.Table:
    keys = np.arange(100_000, dtype=np.int64)
    return pa.table({"k": keys, "v": keys * 3})


def latencies(connection, sql: str) -> np.ndarray:
    times = []
    for attempt in range(RUNS + 100):
        start = time.perf_counter()
        with connection.cursor() as cursor:
            cursor.execute(sql)
            assert cursor.fetch_arrow_table().num_rows == 1
        if attempt >= 100:
            times.append(time.perf_counter() - start)
    return np.array(times) * 1e3


def peer_latencies() -> dict[str, np.ndarray]:
    import adbc_driver_flightsql.dbapi as adbc

    port, http, postgres = free_port(), free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        pq.write_table(table(), f"{folder}/lookup.parquet")
        command = [
            str(pathlib.Path(sys.executable).parent / "roapi"), "--addr-flight-sql", f"127.0.0.1:{port}",
            "--addr-http", f"127.0.0.1:{http}", "--addr-postgres", f"127.0.0.1:{postgres}",
            "--table", f"lookup={folder}/lookup.parquet,format=parquet,use_memory_table=false",
        ]
        with process(command, port), adbc.connect(f"grpc://127.0.0.1:{port}", autocommit=True) as connection:
            return {name: latencies(connection, sql) for name, sql in STATEMENTS.items()}


def rust_client(uri: str, sql: str) -> dict:
    """Milliseconds per prepared execution, from the Rust client's example program."""
    binary = pathlib.Path(skein_binary()).parent / "examples" / "prepared_latency"
    out = subprocess.run([binary, uri, sql, str(RUNS)], check=True, capture_output=True, text=True).stdout
    return json.loads(out)


def main() -> None:
    with skein() as server, server.connect() as connection:
        with connection.cursor() as cursor:
            cursor.adbc_ingest("lookup", table(), mode="create")
        ours = {name: latencies(connection, sql) for name, sql in STATEMENTS.items()}
        rust = {name: rust_client(server.uri, sql) for name, sql in STATEMENTS.items()}
    peers = peer_latencies()
    for name in STATEMENTS:
        for percentile in (50, 99):
            report(
                f"{name} over ADBC, p{percentile}", float(np.percentile(ours[name], percentile)),
                float(np.percentile(peers[name], percentile)), "ms", "<= 0.8", peer_name="roapi over ADBC",
            )
        report(
            f"{name}, Rust client, prepared, p50", rust[name]["p50"], float(np.percentile(ours[name], 50)), "ms", "< 0.3",
            peer_name="Skein over ADBC",
        )


if __name__ == "__main__":
    assert ROOT.exists()
    sys.exit(main())
