"""Mixed load on one server for a while: what it holds must not grow. `make soak` runs it; DURATION is in seconds (default: 30 minutes).

Clients ingest, query, cancel, go away in the middle of streams, create and drop tables, delete, update and merge rows, commit transactions over two
tables, bind values to prepared statements (by ADBC), compact, expire and pin, and collect garbage, all at once; the server compacts and expires on its own, too. What they are
answered is checked. Every few seconds the server's resident memory, file descriptors and sessions are read, and how many files and snapshots it lists and how long that takes. The last
quarter of the time is then compared with the second one, when everything has warmed up. Caches (256 MiB of footers, 64 MiB of small files, 64 MiB of decoded columns) fill meanwhile: a
run of less than half an hour shows that, too.

What the clients ask for is the same at any time, or nothing could be flat: each table is dropped and made anew after so many changes, since the log of one keeps an entry of every version,
also of those that are expired (decision 0011). So whatever of a dropped table stays is seen to grow. Files that nothing refers to stay on the disk for an hour at least, so those are
shown and not compared. In the end all memory for queries has to be given back but for what `system.cache` shows.
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
# A table is dropped and made anew after so many appends, or other changes (each of which makes a version).
APPENDS = 40
CHANGES = 200
ROWS = 20_000
HOT_CACHE_MIB = 64
ENV = {
    "SKEIN__QUERY__MEMORY": "320MiB",
    "SKEIN__QUERY__HOT_CACHE": f"{HOT_CACHE_MIB}MiB",
    "SKEIN__QUERY__STATEMENT_TIMEOUT": "60s",
    "SKEIN__INGEST__MEMORY": "64MiB",
    "SKEIN__CATALOG__GC_GRACE": "1h",
    # Clients that make a connection for each piece of work leave sessions behind, of about 130 kB each.
    "SKEIN__SERVER__SESSION_IDLE": "30s",
    "SKEIN__MAINTENANCE__COMPACT": "true",
    "SKEIN__MAINTENANCE__INTERVAL": "2s",
    "SKEIN__MAINTENANCE__KEEP_VERSIONS": "20",
    "SKEIN__MAINTENANCE__COLLECT": "true",
    "SKEIN__TELEMETRY__LEVEL": "warn",
}
# What is said to whoever comes second, or is cancelled.
RACES = ("does not exist", "exists already", "changed", "conflict", "cancel", "was dropped")
# What is said where others hold the memory: some may be told so, of a hundred pieces of work.
FULL = ("of the server's query memory are taken", "does not fit into the hot cache beside")
MAY_BE_REFUSED = 2
SLOW = b"SELECT a.value AS soak FROM generate_series(1, 1000000) a CROSS JOIN generate_series(1, 1000000) b"


@dataclass
class Sample:
    """What the server held at a moment."""

    seconds: float
    rss: int
    descriptors: int
    sessions: float
    memory: float
    # Of the newest versions, and the versions that can be read.
    files: int
    # The versions that the logs have, expired ones too.
    logged: int
    on_disk: int
    listing: float


class Load:
    """What all clients share."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.stop = threading.Event()
        self.done: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.holders: list[str] = []
        self.wrong: list[str] = []

    def client(self) -> fl.FlightClient:
        return fl.FlightClient(self.server.url)

    def note_refusal(self, name: str, text: str) -> None:
        """Somebody found the memory taken: who has it?"""
        self.refused[name] += 1
        if len(self.holders) >= 5:
            return
        try:
            with self.client() as client:
                running = sql(client, "SELECT memory_bytes AS m, elapsed_ms AS ms, sql AS s FROM system.queries WHERE state = 'running' ORDER BY 1 DESC LIMIT 6")
                cached = sql(client, "SELECT sum(bytes) AS b FROM system.cache").to_pylist()[0]["b"] or 0
        except pa.ArrowException:
            return
        held = [f"    {row['m'] >> 20:4d} MiB for {row['ms']} ms by {row['s'][:90]}" for row in running.to_pylist()]
        self.holders.append("\n".join([f"{name} was refused: {text[:200]}", *held, f"    {cached >> 20:4d} MiB by the hot cache"]))

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
                if not isinstance(error, AssertionError) and is_race(text):
                    self.failed[name] += 1
                elif any(word in text for word in FULL):
                    self.note_refusal(name, text)
                elif not self.stop.is_set():
                    self.wrong.append(f"{name}: {type(error).__name__}: {text[:300]}")
                    time.sleep(0.2)


def is_race(text: str) -> bool:
    return any(word in text.lower() for word in RACES)


def sql(client: fl.FlightClient, text: str) -> pa.Table:
    return client.do_get(fl.Ticket(text.encode())).read_all()


def batch() -> pa.RecordBatch:
    noise = np.random.default_rng()
    return pa.record_batch({"id": noise.integers(0, 1 << 40, ROWS), "k": noise.integers(0, 100, ROWS), "x": noise.random(ROWS)})


def table() -> str:
    return f"soak_{random.randrange(TABLES)}"


APPENDED: Counter[str] = Counter()
APPENDING = threading.Lock()


def ingest(client: fl.FlightClient) -> None:
    one, name = batch(), table()
    writer, results = client.do_put(fl.FlightDescriptor.for_path(name), one.schema)
    with writer:
        for _ in range(random.randrange(1, 4)):
            writer.write_batch(one)
        writer.done_writing()
        while results.read() is not None:
            pass
    with APPENDING:
        APPENDED[name] = (APPENDED[name] + 1) % APPENDS
        is_full = APPENDED[name] == 0
    if is_full:
        sql(client, f"DROP TABLE IF EXISTS {name}")


CHANGED: Counter[str] = Counter()


def renew(client: fl.FlightClient, tables: dict[str, str], changes: int = 1) -> bool:
    """Makes tables that one client works with, now and again after so many changes of them; true if it did."""
    key = " ".join(tables)
    due = CHANGED[key] % CHANGES == 0
    if due:
        for name, columns in tables.items():
            sql(client, f"DROP TABLE IF EXISTS {name}")
            sql(client, f"CREATE TABLE {name} {columns}")
    CHANGED[key] += changes
    return due


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


ACCOUNTS = "AS SELECT value AS account, CAST(0 AS BIGINT) AS amount FROM generate_series(0, 9)"
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
    if renew(client, {"kept": "(id BIGINT, v BIGINT)"}):
        KEPT.values = {}
    statement, after = KEPT.change()
    try:
        sql(client, statement)
    except pa.ArrowException as error:
        if not is_race(str(error)):
            # What became of it is not known, so what the table should hold is not either.
            CHANGED["kept"] = 0
        raise
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
    renew(client, {"debit": ACCOUNTS, "credit": ACCOUNTS}, 10)
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
    name, own = threading.current_thread().name, random.randrange(1 << 40)
    renew(client, {name: "(own BIGINT, n BIGINT)"}, 2)
    with adbc(client, True) as connection, connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {name} VALUES (?, ?)", [(own, n) for n in range(100)])
        for least in (0, 50, 99):
            cursor.execute(f"SELECT n FROM {name} WHERE own = ? AND n >= ? ORDER BY n", (own, least))
            rows = cursor.fetchall()
            assert rows == [(n,) for n in range(least, 100)], f"{len(rows)} rows, and {100 - least} were expected"
        cursor.execute(f"DELETE FROM {name} WHERE own = ?", (own,))
    time.sleep(1)


def tend(client: fl.FlightClient) -> None:
    time.sleep(1)
    name = random.choice(sql(client, "SELECT table_name AS t FROM system.datasets").column("t").to_pylist())
    # The last action is not reached where a table is dropped meanwhile: then the server has to unpin it.
    for action, more in [("dataset.expire", {"keep_versions": 10}), ("cache.pin", {}), ("dataset.compact", {}), ("cache.unpin", {})]:
        try:
            list(client.do_action(fl.Action(action, json.dumps({"dataset": name} | more).encode())))
        except pa.ArrowException as error:
            if action != "dataset.compact" or not is_race(str(error)):
                raise
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
        (row,) = sql(client, "SELECT count(*) AS n, CAST(sum(CASE WHEN expired THEN 0 ELSE 1 END) AS BIGINT) AS readable FROM system.snapshots").to_pylist()
        listing = time.perf_counter() - start
        (live,) = sql(client, "SELECT count(*) AS n FROM system.files").to_pylist()
    on_disk = sum(len(names) for _, _, names in os.walk(load.server.data))
    metrics = gauges(load.server)
    return Sample(
        seconds=time.monotonic() - began,
        rss=rss,
        descriptors=len(os.listdir(f"/proc/{pid}/fd")),
        sessions=metrics["skein_sessions"],
        memory=metrics["skein_query_memory_bytes"],
        files=row["readable"] + live["n"],
        logged=row["n"],
        on_disk=on_disk,
        listing=listing,
    )


def quarter(samples: list[Sample], which: int, value: Callable[[Sample], float]) -> float:
    part = [value(s) for s in samples if which * DURATION / 4 <= s.seconds < (which + 1) * DURATION / 4]
    return statistics.median(part)


def gauges(server: Server) -> dict[str, float]:
    lines = [line.split() for line in server.http("/metrics").splitlines() if not line.startswith("#")]
    return {line[0]: float(line[1]) for line in lines if len(line) == 2}


def settled(load: Load) -> list[str]:
    """What is still held a while after the last client has gone, and should not be. The hot cache keeps what it shows."""
    names = ["skein_queries_running", "skein_queries_queued", "skein_ingests_running", "skein_compactions_running", "skein_query_spilled_bytes"]
    left: list[str] = []
    for _ in range(120):
        with load.client() as client:
            cached = sql(client, "SELECT sum(bytes) AS b FROM system.cache").to_pylist()[0]["b"] or 0
        found = gauges(load.server)
        left = [f"{name} is {found[name]:.0f}" for name in names if found[name] > 0]
        held = found["skein_query_memory_bytes"]
        if held != cached:
            left.append(f"skein_query_memory_bytes is {held:.0f}, and the hot cache shows {cached}")
        if not left:
            return []
        time.sleep(0.5)
    return left


def main() -> int:
    crowd = [ingest] * 3 + [query] * 4 + [cancel] * 2 + [vanish] * 2 + [collect, change, transact, bind, bind, tend]
    samples: list[Sample] = []
    with tempfile.TemporaryDirectory(prefix="skein-soak-") as folder, Server(Path(folder), ENV) as server:
        URLS[0] = server.url
        load = Load(server)
        with load.client() as client:
            for n in range(TABLES):
                sql(client, f"CREATE TABLE soak_{n} AS SELECT value AS id, value % 100 AS k, value * 0.5 AS x FROM generate_series(1, 1000)")
        threads = [
            threading.Thread(target=load.run, args=(work.__name__, work), name=f"{work.__name__}_{number}", daemon=True)
            for number, work in enumerate(crowd)
        ]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        while time.monotonic() - began < DURATION and server.running():
            time.sleep(EVERY)
            samples.append(sample(load, began))
            if len(samples) % 20 == 0:
                last = samples[-1]
                print(
                    f"{last.seconds:6.0f} s  {last.rss >> 20:5d} MiB  {last.memory / 2**20:4.0f} MiB for queries  {last.descriptors:4d} fds  {last.sessions:4.0f} sessions  "
                    f"{last.files:6d} files and snapshots, {last.logged} with expired ones ({last.on_disk} on disk)  listing {last.listing * 1e3:6.1f} ms",
                    flush=True,
                )
        load.stop.set()
        for thread in threads:
            thread.join(90)
        alive = server.running()
        left = settled(load) if alive else ["the server ended"]
    print("done:", dict(load.done), "lost races:", dict(load.failed), "refused for want of memory:", dict(load.refused))
    for holders in load.holders:
        print(holders)
    problems = [f"unexpected: {wrong}" for wrong in sorted(set(load.wrong))[:10]]
    problems += left
    if load.refused.total() * 100 > load.done.total() * MAY_BE_REFUSED:
        problems.append(f"{load.refused.total()} pieces of work were refused for want of memory, and {load.done.total()} were done")
    checks: list[tuple[str, Callable[[Sample], float], float, float]] = [
        # name, value, factor allowed, and beyond it
        ("resident memory, MiB", lambda s: s.rss / 2**20, 1.15, 48),
        ("file descriptors", lambda s: s.descriptors, 1.1, 20),
        ("sessions", lambda s: s.sessions, 1.5, 50),
        ("files and snapshots listed", lambda s: s.files, 1.5, 200),
        ("versions in the logs", lambda s: s.logged, 1.5, 200),
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
