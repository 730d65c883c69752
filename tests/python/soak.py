"""Mixed load on one server for a while: what it holds must not grow. `make soak` runs it; DURATION is in seconds (default: 30 minutes).

Clients ingest, query, cancel, go away in the middle of streams, create and drop tables, delete, update and merge rows, commit transactions over two
tables, bind values to prepared statements (by ADBC), compact, expire and pin, and collect garbage, all at once. What they are answered is checked. Every few seconds the
server's resident memory and file descriptors are read, and how many files and snapshots it lists and how long that takes. The last quarter of
the time is then compared with the second one, when everything has warmed up. Caches (256 MiB of footers, 64 MiB of small files, 64 MiB of decoded columns) fill meanwhile: a run of
less than half an hour shows that, too. Files that nothing refers to stay on the disk for an hour at least, so those are shown and not compared.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import adbc_driver_flightsql.dbapi
import adbc_driver_manager
import adbc_driver_manager.dbapi
import numpy as np
import pyarrow as pa
import pyarrow.flight as fl
from support.server import Server

DURATION = float(os.environ.get("DURATION", "1800"))
EVERY = max(1.0, DURATION / 400)
TABLES = 4
# A table is replaced after so many appends, so that a server without leaks has about as much to hold at any time.
APPENDS = 40
ROWS = 20_000
HOT_CACHE_MIB = 64
ENV = {
    "SKEIN__QUERY__MEMORY": "320MiB",
    "SKEIN__QUERY__HOT_CACHE": f"{HOT_CACHE_MIB}MiB",
    "SKEIN__QUERY__STATEMENT_TIMEOUT": "60s",
    "SKEIN__INGEST__MEMORY": "64MiB",
    "SKEIN__CATALOG__GC_GRACE": "1h",
    "SKEIN__TELEMETRY__LEVEL": "warn",
}
# What is said to whoever comes second, or is cancelled.
RACES = ("does not exist", "exists already", "changed", "conflict", "cancel")
SLOW = b"SELECT a.value AS soak FROM generate_series(1, 1000000) a CROSS JOIN generate_series(1, 1000000) b"


@dataclass
class Sample:
    """What the server held at a moment."""

    seconds: float
    rss: int
    descriptors: int
    files: int
    on_disk: int
    listing: float


class Load:
    """What all clients share."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.stop = threading.Event()
        self.done: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.wrong: list[str] = []

    def client(self) -> fl.FlightClient:
        return fl.FlightClient(self.server.url)

    def run(self, name: str, work: Callable[[fl.FlightClient], None]) -> None:
        """Works until the end; what may fail in such a crowd is counted, the rest is remembered."""
        while not self.stop.is_set():
            try:
                with self.client() as client:
                    for _ in range(20):
                        work(client)
                        self.done[name] += 1
                        if self.stop.is_set():
                            return
            except (pa.ArrowException, adbc_driver_manager.Error, AssertionError, KeyError, StopIteration) as error:
                text = str(error)
                if not isinstance(error, AssertionError) and any(word in text.lower() for word in RACES):
                    self.failed[name] += 1
                elif not self.stop.is_set():
                    self.wrong.append(f"{name}: {type(error).__name__}: {text[:300]}")
                    time.sleep(0.2)


def sql(client: fl.FlightClient, text: str) -> pa.Table:
    return client.do_get(fl.Ticket(text.encode())).read_all()


def batch() -> pa.RecordBatch:
    noise = np.random.default_rng()
    return pa.record_batch({"id": noise.integers(0, 1 << 40, ROWS), "k": noise.integers(0, 100, ROWS), "x": noise.random(ROWS)})


def table() -> str:
    return f"soak_{random.randrange(TABLES)}"


def ingest(client: fl.FlightClient) -> None:
    one = batch()
    writer, results = client.do_put(fl.FlightDescriptor.for_path(table()), one.schema)
    with writer:
        for _ in range(random.randrange(1, 4)):
            writer.write_batch(one)
        writer.done_writing()
        while results.read() is not None:
            pass


def replace(client: fl.FlightClient) -> None:
    time.sleep(1)
    for row in sql(client, "SELECT table_name AS t, version AS v FROM system.datasets").to_pylist():
        if row["t"].startswith("soak_") and row["v"] > APPENDS:
            sql(client, f"DROP TABLE IF EXISTS {row['t']}")


def query(client: fl.FlightClient) -> None:
    name = table()
    text = random.choice(
        [
            "SELECT k, count(*), avg(x) FROM {t} GROUP BY k ORDER BY k",
            "SELECT * FROM {t} ORDER BY x LIMIT 100",
            "SELECT count(DISTINCT id) FROM {t}",
            "SELECT count(*) FROM {t} a JOIN {t} b ON a.id = b.id",
            "SELECT * FROM {t} LIMIT 50000",
            "SELECT count(*) FROM system.files",
        ]
    )
    sql(client, text.format(t=name))
    groups = f"SELECT (SELECT count(*) FROM {name}) AS n, (SELECT CAST(sum(c) AS BIGINT) FROM (SELECT k, count(*) AS c FROM {name} GROUP BY k)) AS m"
    (row,) = sql(client, groups).to_pylist()
    assert row["n"] == (row["m"] or 0), f"counts of {name} differ: {row}"


def cancel(client: fl.FlightClient) -> None:
    reader = client.do_get(fl.Ticket(SLOW))
    reader.read_chunk()
    rows = sql(client, "SELECT query_id AS q FROM system.queries WHERE state = 'running' AND sql LIKE '%AS soak%' AND sql NOT LIKE '%system.%'")
    for row in rows.to_pylist():
        list(client.do_action(fl.Action("query.cancel", json.dumps({"query_id": row["q"]}).encode())))
    try:
        while True:
            reader.read_chunk()
    except (pa.ArrowException, StopIteration):
        pass


def vanish(client: fl.FlightClient) -> None:
    with fl.FlightClient(client_url(client)) as other:
        reader = other.do_get(fl.Ticket(SLOW))
        for _ in range(random.randrange(1, 5)):
            reader.read_chunk()
        reader.cancel()
    with fl.FlightClient(client_url(client)) as other:
        one = batch()
        writer, _ = other.do_put(fl.FlightDescriptor.for_path(table()), one.schema)
        writer.write_batch(one)
        # Neither done_writing nor close: the connection just ends.
        del writer


TABLES_OF_CHANGES = [
    "CREATE TABLE kept (id BIGINT, v BIGINT)",
    "CREATE TABLE bound (own BIGINT, n BIGINT)",
    "CREATE TABLE debit AS SELECT value AS account, CAST(0 AS BIGINT) AS amount FROM generate_series(0, 9)",
    "CREATE TABLE credit AS SELECT * FROM debit",
]
URLS: dict[int, str] = {}


def client_url(_: fl.FlightClient) -> str:
    return URLS[0]


class Rows:
    """What `kept` has to hold; only one client changes it."""

    def __init__(self) -> None:
        self.values: dict[int, int] = {}
        self.next = 0

    def change(self) -> tuple[str, dict[int, int]]:
        """A statement, and what the table holds after it."""
        which, rest, first = random.randrange(4), random.randrange(7), self.next
        if which == 0 and len(self.values) < 5000:
            self.next += 500
            new = dict.fromkeys(range(first, self.next), 0)
            return f"INSERT INTO kept SELECT value AS id, CAST(0 AS BIGINT) AS v FROM generate_series({first}, {self.next - 1})", self.values | new
        if which == 1:
            return f"DELETE FROM kept WHERE id % 7 = {rest}", {k: v for k, v in self.values.items() if k % 7 != rest}
        if which == 2:
            return f"UPDATE kept SET v = v + 1 WHERE id % 7 = {rest}", {k: v + (k % 7 == rest) for k, v in self.values.items()}
        self.next += 1
        known = random.choice(list(self.values) or [first])
        merge = (
            f"MERGE INTO kept USING (VALUES ({known}, 7), ({first}, 8)) AS s(id, v) ON kept.id = s.id "
            "WHEN MATCHED THEN UPDATE SET v = s.v WHEN NOT MATCHED THEN INSERT (id, v) VALUES (s.id, s.v)"
        )
        return merge, self.values | ({known: 7, first: 8} if known != first else {first: 8})


KEPT = Rows()


def change(client: fl.FlightClient) -> None:
    statement, after = KEPT.change()
    sql(client, statement)
    KEPT.values = after
    rows = sql(client, "SELECT id, v FROM kept ORDER BY id")
    found = dict(zip(rows["id"].to_pylist(), rows["v"].to_pylist(), strict=True))
    assert rows.num_rows == len(found) and found == after, f"{statement} left {rows.num_rows} rows, and {len(after)} were expected"
    time.sleep(0.3)


def adbc(client: fl.FlightClient, autocommit: bool) -> adbc_driver_manager.dbapi.Connection:
    options = {"adbc.flight.sql.rpc.with_cookie_middleware": "true"}
    return adbc_driver_flightsql.dbapi.connect(client_url(client), db_kwargs=options, autocommit=autocommit)


def transact(client: fl.FlightClient) -> None:
    """Amounts go from one table to the other: together they are always nothing."""
    with adbc(client, False) as writer, adbc(client, False) as reader, writer.cursor() as write, reader.cursor() as read:
        for _ in range(10):
            account, amount = random.randrange(10), random.randrange(100)
            write.execute(f"UPDATE debit SET amount = amount - {amount} WHERE account = {account}")
            write.execute(f"UPDATE credit SET amount = amount + {amount} WHERE account = {account}")
            if random.random() < 0.3:
                writer.rollback()
            else:
                writer.commit()
            sums = []
            for name in ("debit", "credit"):
                read.execute(f"SELECT sum(amount) AS s, count(*) AS n FROM {name}")
                sums.append(read.fetchone())
            reader.rollback()
            assert sums[0][0] + sums[1][0] == 0 and sums[0][1] == sums[1][1] == 10, f"half of a transaction is seen: {sums}"
            time.sleep(0.2)


def bind(client: fl.FlightClient) -> None:
    own = random.randrange(1 << 40)
    with adbc(client, True) as connection, connection.cursor() as cursor:
        cursor.executemany("INSERT INTO bound VALUES (?, ?)", [(own, n) for n in range(100)])
        for least in (0, 50, 99):
            cursor.execute("SELECT n FROM bound WHERE own = ? AND n >= ? ORDER BY n", (own, least))
            rows = cursor.fetchall()
            assert rows == [(n,) for n in range(least, 100)], f"{len(rows)} rows, and {100 - least} were expected"
        cursor.execute("DELETE FROM bound WHERE own = ?", (own,))
    time.sleep(1)


def tend(client: fl.FlightClient) -> None:
    time.sleep(2)
    name = random.choice(["kept", "debit", "credit", "bound", table()])
    for action, more in [("dataset.compact", {}), ("dataset.expire", {"keep_versions": 10}), ("cache.pin", {}), ("cache.unpin", {})]:
        list(client.do_action(fl.Action(action, json.dumps({"dataset": name} | more).encode())))
        if action == "cache.pin":
            sql(client, f"SELECT * FROM {name} LIMIT 1000")


def collect(client: fl.FlightClient) -> None:
    time.sleep(5)
    list(client.do_action(fl.Action("dataset.gc", b"{}")))


def sample(load: Load, began: float) -> Sample:
    pid = load.server.pid
    status = Path(f"/proc/{pid}/status").read_text()
    rss = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) * 1024
    with load.client() as client:
        start = time.perf_counter()
        (row,) = sql(client, "SELECT count(*) AS n FROM system.snapshots").to_pylist()
        listing = time.perf_counter() - start
        (live,) = sql(client, "SELECT count(*) AS n FROM system.files").to_pylist()
    on_disk = sum(len(names) for _, _, names in os.walk(load.server.data))
    return Sample(time.monotonic() - began, rss, len(os.listdir(f"/proc/{pid}/fd")), row["n"] + live["n"], on_disk, listing)


def quarter(samples: list[Sample], which: int, value: Callable[[Sample], float]) -> float:
    part = [value(s) for s in samples if which * DURATION / 4 <= s.seconds < (which + 1) * DURATION / 4]
    return statistics.median(part)


def gauge(server: Server, name: str) -> float:
    return next(float(line.split()[1]) for line in server.http("/metrics").splitlines() if line.startswith(name + " "))


def settled(server: Server) -> list[str]:
    """What still runs some seconds after the last client has gone. The hot cache keeps what it has."""
    names = ["skein_queries_running", "skein_queries_queued", "skein_ingests_running", "skein_query_memory_bytes", "skein_query_spilled_bytes"]
    for _ in range(100):
        left = [name for name in names if gauge(server, name) > (HOT_CACHE_MIB << 20 if name == "skein_query_memory_bytes" else 0)]
        if not left:
            return []
        time.sleep(0.1)
    return left


def main() -> int:
    crowd = [ingest] * 3 + [query] * 4 + [cancel] * 2 + [vanish] * 2 + [replace, collect, change, transact, bind, bind, tend]
    samples: list[Sample] = []
    with tempfile.TemporaryDirectory(prefix="skein-soak-") as folder, Server(Path(folder), ENV) as server:
        URLS[0] = server.url
        load = Load(server)
        with load.client() as client:
            for n in range(TABLES):
                sql(client, f"CREATE TABLE soak_{n} AS SELECT value AS id, value % 100 AS k, value * 0.5 AS x FROM generate_series(1, 1000)")
            for text in TABLES_OF_CHANGES:
                sql(client, text)
        threads = [threading.Thread(target=load.run, args=(work.__name__, work), daemon=True) for work in crowd]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        while time.monotonic() - began < DURATION and server.running():
            time.sleep(EVERY)
            samples.append(sample(load, began))
            if len(samples) % 20 == 0:
                last = samples[-1]
                print(
                    f"{last.seconds:6.0f} s  {last.rss >> 20:5d} MiB  {last.descriptors:4d} fds  {last.files:6d} files and snapshots ({last.on_disk} on disk)  listing {last.listing * 1e3:6.1f} ms",
                    flush=True,
                )
        load.stop.set()
        for thread in threads:
            thread.join(90)
        alive = server.running()
        left = settled(server) if alive else ["the server"]
    print("done:", dict(load.done), "lost races:", dict(load.failed))
    problems = [f"unexpected: {wrong}" for wrong in sorted(set(load.wrong))[:10]]
    problems += [] if alive else ["the server ended"]
    problems += [f"still running: {name}" for name in left]
    checks: list[tuple[str, Callable[[Sample], float], float, float]] = [
        # name, value, factor allowed, and beyond it
        ("resident memory, MiB", lambda s: s.rss / 2**20, 1.15, 48),
        ("file descriptors", lambda s: s.descriptors, 1.1, 20),
        ("files and snapshots listed", lambda s: s.files, 1.5, 200),
        ("listing of snapshots, ms", lambda s: s.listing * 1e3, 1.5, 200),
    ]
    for name, value, factor, beyond in checks:
        early, late = quarter(samples, 1, value), quarter(samples, 3, value)
        print(f"{name}: {early:.1f} in the second quarter, {late:.1f} in the last")
        if late > early * factor + beyond:
            problems.append(f"{name} grew from {early:.1f} to {late:.1f}")
    for name in ("ingest", "query", "cancel", "vanish", "collect", "change", "transact", "bind", "tend"):
        if not load.done[name]:
            problems.append(f"nobody got through with {name}")
    print("\n".join(problems) or "flat")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
