"""64 clients at once against roapi: lookups per second, p50 and p99, and how evenly they are served; and lookups while others scan.

Each client is a thread with an ADBC connection of its own; the driver works outside of Python's lock.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time

import numpy as np

from harness import report, skein
from latency import roapi_server, table

CLIENTS = 64
SECONDS = 10.0
LOOKUP = "select v from lookup where k = {}"
SCAN = "select k % 10 as g, sum(v), count(*) from lookup group by k % 10"


def crowd(connect, clients: int, statement, seconds: float) -> list[np.ndarray]:
    """Milliseconds of each execution, for each client."""
    times: list[list[float]] = [[] for _ in range(clients)]
    failed: list[Exception] = []
    start = threading.Barrier(clients + 1)

    def work(number: int) -> None:
        random = np.random.default_rng(number)
        try:
            with connect() as connection, connection.cursor() as cursor:
                cursor.execute(statement(random))
                cursor.fetch_arrow_table()
                start.wait()
                end = time.monotonic() + seconds
                while time.monotonic() < end:
                    began = time.perf_counter()
                    cursor.execute(statement(random))
                    assert cursor.fetch_arrow_table().num_rows >= 1
                    times[number].append((time.perf_counter() - began) * 1e3)
        except Exception as error:  # A client that fails fails the benchmark.
            failed.append(error)
            start.abort()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    with contextlib.suppress(threading.BrokenBarrierError):
        start.wait()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return [np.array(of) for of in times]


def lookup(random: np.random.Generator) -> str:
    return LOOKUP.format(random.integers(0, 100_000))


def jain(counts: np.ndarray) -> float:
    """1 when all clients got the same, 1 / n when one got all."""
    return float(counts.sum() ** 2 / (len(counts) * (counts**2).sum()))


def figures(times: list[np.ndarray]) -> dict[str, float]:
    every = np.concatenate(times)
    counts = np.array([len(of) for of in times], dtype=float)
    return {
        "rate": len(every) / SECONDS,
        "p50": float(np.percentile(every, 50)),
        "p99": float(np.percentile(every, 99)),
        "fairness": jain(counts),
    }


def main() -> None:
    import adbc_driver_flightsql.dbapi as adbc

    with skein() as server:
        with server.connect() as connection, connection.cursor() as cursor:
            cursor.adbc_ingest("lookup", table(), mode="create")
        ours = figures(crowd(server.connect, CLIENTS, lookup, SECONDS))
        stop = threading.Event()

        def scan() -> None:
            with server.connect() as connection, connection.cursor() as cursor:
                while not stop.is_set():
                    cursor.execute(SCAN)
                    cursor.fetch_arrow_table()

        scans = [threading.Thread(target=scan) for _ in range(4)]
        for thread in scans:
            thread.start()
        beside = figures(crowd(server.connect, CLIENTS, lookup, SECONDS))
        stop.set()
        for thread in scans:
            thread.join()
    with roapi_server() as uri:
        other = figures(crowd(lambda: adbc.connect(uri, autocommit=True), CLIENTS, lookup, SECONDS))
    peer_name = "roapi over ADBC"
    report(f"{CLIENTS} clients, lookups", ours["rate"], other["rate"], "/s", ">= 1", peer_name=peer_name)
    report(f"{CLIENTS} clients, lookup p50", ours["p50"], other["p50"], "ms", "<= 1", peer_name=peer_name)
    report(f"{CLIENTS} clients, lookup p99", ours["p99"], other["p99"], "ms", "<= 1", peer_name=peer_name)
    report(f"{CLIENTS} clients, Jain's fairness", ours["fairness"], other["fairness"], "", ">= 0.95", peer_name=peer_name)
    report(
        f"{CLIENTS} clients, lookup p99 beside 4 that scan", beside["p99"], ours["p99"], "ms", "bounded",
        peer_name="Skein without the scans",
    )


if __name__ == "__main__":
    sys.exit(main())
