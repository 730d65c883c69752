"""The 22 TPC-H queries at scale factor 1, over ADBC, against DataFusion and DuckDB in process on the very same Parquet files, and roapi."""

from __future__ import annotations

import decimal
import os
import pathlib
import statistics
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq

from harness import CACHE, free_port, note, process, report, skein

TABLES = ["region", "nation", "supplier", "customer", "part", "partsupp", "orders", "lineitem"]
QUERIES = sorted((pathlib.Path(__file__).parent / "tpch").glob("q*.sql"))
RUNS = 3


def generate() -> pathlib.Path:
    folder = CACHE / "tpch-sf1"
    if not all((folder / f"{table}.parquet").exists() for table in TABLES):
        note("generating TPC-H at scale factor 1")
        command = str(pathlib.Path(sys.executable).parent / "tpchgen-cli")
        subprocess.run([command, "parquet", "-s", "1", f"--output-dir={folder}"], check=True)
    return folder


def load(server, folder: pathlib.Path) -> dict[str, list[str]]:
    """Ingests each table over Flight; gives the data files that Skein made of it."""
    files = {}
    with server.connect() as connection, connection.cursor() as cursor:
        for table in TABLES:
            before = set(map(str, server.data.rglob("*.parquet")))
            with pq.ParquetFile(folder / f"{table}.parquet") as source:
                reader = pa.RecordBatchReader.from_batches(source.schema_arrow, source.iter_batches(65_536))
                cursor.adbc_ingest(table, reader, mode="create")
            files[table] = sorted(set(map(str, server.data.rglob("*.parquet"))) - before)
    return files


def timed(run, sql: str) -> tuple[float, pa.Table]:
    start = time.perf_counter()
    table = run(sql)
    return time.perf_counter() - start, table


def adbc_runner(connection):
    def run(sql: str) -> pa.Table:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetch_arrow_table()

    return run


def same(ours: pa.Table, theirs: pa.Table) -> bool:
    """Equal up to rounding and the choice of types for numbers and strings."""

    def rows(table: pa.Table):
        return [
            tuple(round(float(v), 1) if isinstance(v, int | float | decimal.Decimal) else v for v in row.values())
            for row in table.to_pylist()
        ]

    return sorted(map(repr, rows(ours))) == sorted(map(repr, rows(theirs)))


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def in_process(files: dict[str, list[str]]):
    import datafusion

    context = datafusion.SessionContext()
    for table, paths in files.items():
        folder = str(pathlib.Path(paths[0]).parent)
        context.register_parquet(table, folder)
    return lambda sql: pa.Table.from_batches(context.sql(sql).collect())


def duckdb_in_process(files: dict[str, list[str]]):
    import duckdb

    connection = duckdb.connect(config={"threads": os.cpu_count()})
    for table, paths in files.items():
        connection.read_parquet(paths).create_view(table)
    return lambda sql: connection.sql(sql).to_arrow_table()


def against_roapi(files: dict[str, list[str]]) -> dict[str, float] | None:
    import adbc_driver_flightsql.dbapi as adbc

    port, http, postgres = free_port(), free_port(), free_port()
    command = [
        str(pathlib.Path(sys.executable).parent / "roapi"), "--addr-flight-sql", f"127.0.0.1:{port}",
        "--addr-http", f"127.0.0.1:{http}", "--addr-postgres", f"127.0.0.1:{postgres}",
    ]
    for table, paths in files.items():
        command += ["--table", f"{table}={pathlib.Path(paths[0]).parent}/,format=parquet,use_memory_table=false"]
    # Its answers come in messages beyond the 16 MiB that the driver takes unless told otherwise.
    options = {"adbc.flight.sql.client_option.with_max_msg_size": str(1 << 30)}
    with (
        process(command, port),
        adbc.connect(f"grpc://127.0.0.1:{port}", db_kwargs=options, autocommit=True) as connection,
    ):
        run = adbc_runner(connection)
        try:
            return medians([{path.stem: timed(run, path.read_text())[0] for path in QUERIES} for _ in range(RUNS)])
        except Exception as error:  # a peer that cannot run the suite is reported, not hidden
            note(f"roapi could not run the suite: {error}")
            return None


def main() -> None:
    folder = generate()
    with skein() as server:
        files = load(server, folder)
        peers = {"datafusion": in_process(files), "duckdb": duckdb_in_process(files)}
        runs = {name: [] for name in ("skein", *peers)}
        with server.connect() as connection:
            run = adbc_runner(connection)
            for attempt in range(RUNS + 1):
                times = {name: {} for name in runs}
                for path in QUERIES:
                    sql = path.read_text()
                    times["skein"][path.stem], answer = timed(run, sql)
                    for name, peer in peers.items():
                        times[name][path.stem], expected = timed(peer, sql)
                        assert same(answer, expected), f"{path.stem} differs from {name}'s"
                if attempt:  # the first is a warm-up
                    for name, of in times.items():
                        runs[name].append(of)
        seconds = {name: medians(of) for name, of in runs.items()}
        ours = seconds["skein"]
        for query, own in ours.items():
            beside = "   ".join(f"{name} {seconds[name][query] * 1e3:8.1f} ms {own / seconds[name][query]:5.2f}x" for name in peers)
            note(f"{query}  skein {own * 1e3:8.1f} ms   {beside}")
        for name, goal, peer_name in [("datafusion", "<= 1.0", "DataFusion 54 in process"), ("duckdb", "", "DuckDB in process")]:
            report("TPC-H SF 1 total over ADBC", sum(ours.values()), sum(seconds[name].values()), "s", goal, peer_name=peer_name)
        roapi = against_roapi(files)
        if roapi:
            report("TPC-H SF 1 total over ADBC", sum(ours.values()), sum(roapi.values()), "s", "<= 1.0", peer_name="roapi over ADBC")


if __name__ == "__main__":
    sys.exit(main())
