"""`select 1` and a one-row lookup over ADBC against roapi, p50 and p99; and through the Rust client with a prepared statement.

A third server gives canned answers (`clients/rust/examples/canned_answers.rs`): what `select 1` costs when the server does nothing, which is
the client's share and the least that any server can reach."""

from __future__ import annotations

import contextlib
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

RUNS = 3000
TURNS = 10
CANNED = "select 1"
STATEMENTS = {CANNED: CANNED, "one-row lookup": "select v from lookup where k = 77777"}


def table() -> pa.Table:
    keys = np.arange(100_000, dtype=np.int64)
    return pa.table({"k": keys, "v": keys * 3})


def latencies(connections: dict, sql: str) -> dict[str, np.ndarray]:
    """Milliseconds per execution. The servers take turns, so that what else the machine does meets both."""
    times = {name: [] for name in connections}
    for turn in range(TURNS + 1):
        for name, connection in connections.items():
            for _ in range(RUNS // TURNS):
                start = time.perf_counter()
                with connection.cursor() as cursor:
                    cursor.execute(sql)
                    assert cursor.fetch_arrow_table().num_rows == 1
                if turn:  # the first warms up
                    times[name].append((time.perf_counter() - start) * 1e3)
    return {name: np.array(measured) for name, measured in times.items()}


@contextlib.contextmanager
def roapi_server():
    """The address of a roapi that serves the table."""
    port, http, postgres = free_port(), free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        pq.write_table(table(), f"{folder}/lookup.parquet")
        command = [
            str(pathlib.Path(sys.executable).parent / "roapi"), "--addr-flight-sql", f"127.0.0.1:{port}",
            "--addr-http", f"127.0.0.1:{http}", "--addr-postgres", f"127.0.0.1:{postgres}",
            "--table", f"lookup={folder}/lookup.parquet,format=parquet,use_memory_table=false",
        ]
        with process(command, port):
            yield f"grpc://127.0.0.1:{port}"


@contextlib.contextmanager
def roapi():
    import adbc_driver_flightsql.dbapi as adbc

    with roapi_server() as uri, adbc.connect(uri, autocommit=True) as connection:
        yield connection


@contextlib.contextmanager
def canned_answers():
    import adbc_driver_flightsql.dbapi as adbc

    port = free_port()
    binary = pathlib.Path(skein_binary()).parent / "examples" / "canned_answers"
    with process([str(binary), f"127.0.0.1:{port}"], port), adbc.connect(f"grpc://127.0.0.1:{port}", autocommit=True) as connection:
        yield connection


def rust_client(uri: str, sql: str) -> dict:
    """Milliseconds per prepared execution, from the Rust client's example program."""
    binary = pathlib.Path(skein_binary()).parent / "examples" / "prepared_latency"
    out = subprocess.run([binary, uri, sql, str(RUNS)], check=True, capture_output=True, text=True).stdout
    return json.loads(out)


def main() -> None:
    with skein() as server, server.connect() as connection:
        with connection.cursor() as cursor:
            cursor.adbc_ingest("lookup", table(), mode="create")
        with roapi() as peer, canned_answers() as canned:
            both = {"skein": connection, "roapi": peer}
            measured = {name: latencies(both | ({"canned": canned} if name == CANNED else {}), sql) for name, sql in STATEMENTS.items()}
        rust = {name: rust_client(server.uri, sql) for name, sql in STATEMENTS.items()}
    for name, times in measured.items():
        for percentile in (50, 99):
            report(
                f"{name} over ADBC, p{percentile}", float(np.percentile(times["skein"], percentile)),
                float(np.percentile(times["roapi"], percentile)), "ms", "<= 0.8", peer_name="roapi over ADBC",
            )
            if "canned" in times:
                report(
                    f"{name} over ADBC, p{percentile}", float(np.percentile(times["skein"], percentile)),
                    float(np.percentile(times["canned"], percentile)), "ms", "", peer_name="a server with canned answers",
                )
        report(
            f"{name}, Rust client, prepared, p50", rust[name]["p50"], float(np.percentile(times["skein"], 50)), "ms", "< 0.3",
            peer_name="Skein over ADBC",
        )


if __name__ == "__main__":
    assert ROOT.exists()
    sys.exit(main())
