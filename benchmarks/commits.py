"""Commit latency at the 1st and the 1,000th append of one dataset, and planning time over 1 and over 1,000 files."""

from __future__ import annotations

import statistics
import sys
import time

import pyarrow as pa
from pyarrow import flight

import flightsql
from harness import report, skein

APPENDS = 1000
WINDOW = 50


def append(client: flight.FlightClient, start: int) -> float:
    batch = pa.record_batch({"id": pa.array(range(start, start + 10), pa.int64()), "v": pa.array([1.5] * 10)})
    began = time.perf_counter()
    writer, reader = client.do_put(flight.FlightDescriptor.for_path("t"), batch.schema)
    with writer:
        writer.write_batch(batch)
        writer.done_writing()
        while reader.read() is not None:
            pass
    return (time.perf_counter() - began) * 1e3


def planning(client: flight.FlightClient) -> float:
    """GetFlightInfo plans and does not execute. The literal changes, so that no cache of plans can answer."""
    times = []
    for number in range(300):
        sql = f"SELECT id, v FROM t WHERE v > {number}.25 AND id = {number % 10}"
        start = time.perf_counter()
        client.get_flight_info(flightsql.statement(sql))
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times[50:])


def main() -> None:
    with skein() as server:
        client = flight.connect(server.uri)
        append(client, 0)
        planning_one = planning(client)
        times = [append(client, number * 10) for number in range(1, APPENDS)]
        first, last = statistics.median(times[:WINDOW]), statistics.median(times[-WINDOW:])
        planning_many = planning(client)
    report(f"commit latency, appends {APPENDS - WINDOW}-{APPENDS}", last, first, "ms", "<= 2.0", peer_name=f"appends 1-{WINDOW}")
    report("planning over 1,000 files", planning_many, planning_one, "ms", "<= 2.0", peer_name="over 1 file")


if __name__ == "__main__":
    sys.exit(main())
