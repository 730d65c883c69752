"""How long a statement's work goes on after its reader has dropped the stream: the time until the server's gauges of running statements and of workers'
tasks are back at zero, over many drops, each at a moment of its own. Alone, and with two workers on the same machine.

Two statements that would never end: one streams rows, and is dropped after it has begun; one computes and has sent nothing. The gauges are read one
after the other over HTTP, again and again, so a figure is too long by one such reading at most, which is given beside it.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import statistics
import sys
import time
from collections.abc import Iterator

import pyarrow.flight as fl
from distributed import WORKERS, worker
from harness import free_port, note, report, skein

DROPS = int(os.environ.get("SKEIN_BENCH_DROPS", "100"))
# The longest a stream is read, or left alone, before it is dropped.
LONGEST_READ = 0.1
# What does not end by then never does.
LIMIT = 60.0
GOAL = 1.0
SERIES = "generate_series(1, 1000000) a CROSS JOIN generate_series(1, 1000000) b"
LINES = "lines a JOIN lines b ON a.part = b.part JOIN lines c ON b.part = c.part JOIN lines d ON c.part = d.part"
# What is run where, by whether it sends rows before it is dropped.
ALONE = {True: f"SELECT a.value AS x, b.value AS y FROM {SERIES}", False: f"SELECT count(*) AS n FROM {SERIES} WHERE a.value * b.value % 7 = 9"}
DIVIDED = {
    True: f"SELECT a.id AS w, b.id AS x, c.id AS y, d.id AS z FROM {LINES}",
    False: f"SELECT a.part, count(*) AS n FROM {LINES} WHERE a.id + b.id * c.id + d.id > 0 GROUP BY a.part",
}


class Gauges:
    """What runs on one server, as its metrics say."""

    NAMES = ("skein_queries_running", "skein_tasks_running")

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)

    def running(self) -> float:
        self.connection.request("GET", "/metrics")
        lines = self.connection.getresponse().read().decode().splitlines()
        return sum(float(line.split()[1]) for line in lines if line.startswith(tuple(f"{name} " for name in self.NAMES)))


@contextlib.contextmanager
def servers(workers: int) -> Iterator[tuple[fl.FlightClient, list[Gauges]]]:
    """A client of a server, with workers or without, and the gauges of all of them."""
    ports = [free_port() for _ in range(workers + 1)]
    listen = [{"SKEIN__SERVER__HTTP_LISTEN": f"127.0.0.1:{port}"} for port in ports]
    own = {"SKEIN__QUERY__DISTRIBUTED": "always"} if workers else {}
    with skein(**listen[0], **own) as server, contextlib.ExitStack() as stack:
        for env in listen[1:]:
            stack.enter_context(worker(server, **env))
        client = stack.enter_context(fl.FlightClient(server.uri))
        yield client, [Gauges(port) for port in ports]


def rows(client: fl.FlightClient, sql: str) -> list[dict]:
    return client.do_get(fl.Ticket(sql.encode())).read_all().to_pylist()


def fill(client: fl.FlightClient) -> None:
    """A table of some files, so that each worker gets some, once all of them have registered."""
    rows(client, "CREATE TABLE lines AS SELECT value AS id, value % 50 AS part FROM generate_series(1, 5000)")
    for first in range(5001, 20000, 5000):
        rows(client, f"INSERT INTO lines SELECT value AS id, value % 50 AS part FROM generate_series({first}, {first + 4999})")
    until(lambda: rows(client, "SELECT count(*) AS n FROM system.workers")[0]["n"] == WORKERS, "the workers have not registered")
    for sql in DIVIDED.values():
        plan = str(rows(client, f"EXPLAIN {sql}"))
        assert "─ Stage " in plan, f"not divided: {plan}"


def until(done, otherwise: str) -> None:
    deadline = time.monotonic() + LIMIT
    while not done():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{otherwise} after {LIMIT:.0f} s")


def drop(client: fl.FlightClient, gauges: list[Gauges], sql: str, reads: bool) -> float:
    """Seconds until the work of a dropped stream has ended everywhere."""
    reader = client.do_get(fl.Ticket(sql.encode()))
    if reads:
        reader.read_chunk()
    # Where there are workers, they are at work, too.
    until(lambda: all(gauge.running() for gauge in gauges), "it does not run everywhere")
    time.sleep(random.uniform(0, LONGEST_READ))
    start = time.perf_counter()
    reader.cancel()
    until(lambda: not any(gauge.running() for gauge in gauges), "its work goes on")
    return time.perf_counter() - start


def measure(client: fl.FlightClient, gauges: list[Gauges], where: str, sqls: dict[bool, str]) -> None:
    for reads, sql in sqls.items():
        until(lambda: not any(gauge.running() for gauge in gauges), "something else runs")
        drop(client, gauges, sql, reads)
        seconds = sorted(drop(client, gauges, sql, reads) for _ in range(DROPS))
        start = time.perf_counter()
        for gauge in gauges:
            gauge.running()
        reading = time.perf_counter() - start
        # The smallest that 99 of a hundred do not exceed.
        p50, p99 = statistics.median(seconds), seconds[-(-len(seconds) * 99 // 100) - 1]
        what = "that sends rows" if reads else "that has sent none"
        note(f"{where}, {what}: p50 {p50 * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms, longest {seconds[-1] * 1e3:.1f} ms, of {len(seconds)} drops")
        for name, value in (("p50", p50), ("p99", p99)):
            report(
                f"work of a dropped statement {what} has ended, {where}, {name}", value, None, "s",
                f"below {GOAL:.0f} s" if name == "p99" else "", drops=len(seconds), longest=seconds[-1], reading=reading,
            )


def main() -> None:
    random.seed(1)
    with servers(0) as (client, gauges):
        measure(client, gauges, "one server", ALONE)
    with servers(WORKERS) as (client, gauges):
        fill(client)
        measure(client, gauges, f"{WORKERS} workers on the same machine", DIVIDED)


if __name__ == "__main__":
    sys.exit(main())
