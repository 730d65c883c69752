"""A join of a million rows with and without the hot cache: over buckets that answer after 50 and 100 ms, and over a local disk.

AWS names 100 to 200 ms to the first byte as what to expect of S3 ("Best practices design patterns: optimizing Amazon S3 performance"); 50 ms is a near store.
The bucket is moto's S3 server behind a gate that holds back each request.
"""

from __future__ import annotations

import contextlib
import json
import sys
import urllib.request
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.flight as fl

from harness import free_port, gate, median_seconds, note, process, report, skein

ROWS = 1_000_000
LATENCIES = [0.05, 0.1]
# How old what a server knows of a dataset may be: looking for newer versions costs a request of its own for each query, hot or cold.
REFRESH = "60s"
RUNS = 7
JOIN = "select sum(a.v + b.w) as s, count(*) as n from facts a join dims b on a.k = b.k where b.w >= 0"


def tables() -> dict[str, pa.Table]:
    keys, noise = np.arange(ROWS, dtype=np.int64), np.random.default_rng(5)
    return {
        "facts": pa.table({"k": noise.permutation(keys), "v": noise.random(ROWS)}),
        "dims": pa.table({"k": keys, "w": noise.random(ROWS)}),
    }


@contextlib.contextmanager
def far_bucket(latency: float) -> Iterator[dict[str, str]]:
    """The variables of a server whose bucket answers late."""
    port = free_port()
    with process([sys.executable, "-c", "import sys, moto.server; moto.server.main(sys.argv[1:])", "-H", "127.0.0.1", "-p", str(port)], port), gate(port, up=latency) as front:
        urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/bench", method="PUT")).read()
        prefix = "SKEIN__STORAGE__BUCKETS__FAR__"
        options = {"ENDPOINT": f"http://127.0.0.1:{front}", "PATH_STYLE": "true", "ALLOW_HTTP": "true", "REGION": "us-east-1"}
        secrets = {"ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test"}
        yield {prefix + "URL": "s3://bench/skein"} | {f"{prefix}OPTIONS__{key}": value for key, value in (options | secrets).items()}


def measure(env: dict[str, str]) -> tuple[float, float]:
    """Seconds of the join, from the bucket and from memory."""
    with skein(**env, SKEIN__CATALOG__REFRESH=REFRESH, SKEIN__QUERY__HOT_CACHE="256MiB") as server, server.connect() as connection:
        for name, table in tables().items():
            with connection.cursor() as cursor:
                cursor.adbc_ingest(name, table, mode="create")
        expected: list[object] = []

        def join() -> None:
            with connection.cursor() as cursor:
                cursor.execute(JOIN)
                expected.append(cursor.fetchone())

        # The cold figure is of a server without the cache: this one keeps what is wanted twice.
        with fl.FlightClient(server.uri) as client:
            cold = cold_seconds(env)
            for name in tables():
                (pinned,) = client.do_action(fl.Action("cache.pin", json.dumps({"dataset": name}).encode()))
                note(f"{name}: {pinned.body.to_pybytes().decode()}")
        hot = median_seconds(join, RUNS)
        assert len({(round(float(row[0]), 3), row[1]) for row in expected}) == 1
    return cold, hot


def cold_seconds(env: dict[str, str]) -> float:
    with skein(**env, SKEIN__CATALOG__REFRESH=REFRESH) as server, server.connect() as connection:
        names = set(tables())
        with connection.cursor() as cursor:
            cursor.execute("select table_name from system.datasets")
            have = {row[0] for row in cursor.fetchall()}
        for name in names - have:
            with connection.cursor() as cursor:
                cursor.adbc_ingest(name, tables()[name], mode="create")

        def join() -> None:
            with connection.cursor() as cursor:
                cursor.execute(JOIN)
                cursor.fetchone()

        return median_seconds(join, RUNS)


def main() -> None:
    for latency in LATENCIES:
        with far_bucket(latency) as env:
            cold, hot = measure(env)
        report(
            f"join of 1 M rows from a bucket {latency * 1e3:.0f} ms away, hot", hot * 1e3, cold * 1e3, "ms", ">= 9x faster",
            ratio=cold / hot, peer_name="the same without the hot cache",
        )
    cold, hot = measure({})
    report(
        "join of 1 M rows from a local disk, hot", hot * 1e3, cold * 1e3, "ms", "never slower",
        ratio=cold / hot, peer_name="the same without the hot cache",
    )


if __name__ == "__main__":
    sys.exit(main())
