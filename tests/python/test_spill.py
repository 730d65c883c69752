"""A server with little memory, and work over ten times as much data: it spills, or says what to do; it never takes more than it may.

`make test` runs this with a pool of 48 MiB; `make memory` with 256 MiB, where the data take 2.5 GiB.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.flight as fl
import pytest
from support.limits import memory_group
from support.server import Server

MIB = 1 << 20
POOL = int(os.environ.get("SKEIN_TEST_POOL_MIB", "48")) * MIB
INGEST = 48 * MIB
# Beside the pool: what decodes and encodes Parquet, batches on their way between operators and to the client (two cores, three open sorts each),
# HTTP/2's windows, code.
BESIDE = 384 * MIB
PAD = 256
ROWS = 10 * POOL // PAD
if ROWS % 7919 == 0:
    ROWS += 1
HELD = ("skein_queries_running", "skein_query_memory_bytes", "skein_query_spilled_bytes")


@contextmanager
def server_with_table(folder: Path, limit: int | None = None) -> Iterator[Server]:
    """A server with the pool, and one table ten times as large: `k` is a permutation of `id`. `limit` is one of the kernel's, from the start."""
    env = {
        "SKEIN__QUERY__MEMORY": str(POOL),
        "SKEIN__QUERY__TARGET_PARTITIONS": "2",
        "SKEIN__QUERY__SPILL_DIR": str(folder / "spill"),
        "SKEIN__INGEST__MEMORY": str(INGEST),
        "SKEIN__INGEST__ROW_GROUP_ROWS": "65536",
    }
    with Server(folder, env) as server, memory_group(limit, server.pid) if limit else nullcontext():
        sql(
            server,
            f"CREATE TABLE big AS SELECT value AS id, value * 7919 % {ROWS} AS k, repeat(md5(CAST(value AS VARCHAR)), {PAD // 32}) AS pad "
            f"FROM generate_series(1, {ROWS})",
        )
        yield server


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server_with_table(tmp_path_factory.mktemp("small")) as server:
        yield server


@pytest.fixture(autouse=True)
def bounded(small: Server) -> Iterator[None]:
    """Nothing takes more than it may, and nothing is left of it."""
    Path(f"/proc/{small.pid}/clear_refs").write_text("5")
    yield
    assert small.peak_bytes() < POOL + INGEST + BESIDE, f"{small.peak_bytes() // MIB} MiB"
    assert not still_held(small)
    assert not list((small.folder / "spill").rglob("*.arrow")), "spilled rows are left"


def still_held(server: Server) -> list[str]:
    """What a server says it holds, a while after the client had its answer."""
    held: list[str] = []
    for _ in range(100):
        metrics = server.http("/metrics")
        held = [name for name in HELD if f"\n{name} 0\n" not in metrics]
        if not held:
            break
        time.sleep(0.1)
    return held


def sql(server: Server, statement: str) -> pa.Table:
    with fl.FlightClient(server.url) as client:
        return client.do_get(fl.Ticket(statement.encode())).read_all()


def only_row(server: Server, statement: str) -> dict[str, object]:
    (row,) = sql(server, statement).to_pylist()
    return row


@contextmanager
def finishes_or_says_why() -> Iterator[None]:
    """With rows as wide as these, a few batches are all that the pool holds: whether an operator gets the few it needs to spill depends on what the
    others hold at that moment. What is not allowed is to end short, to take more, or to say nothing useful."""
    try:
        yield
    except pa.ArrowException as error:
        assert "resource exhausted" in str(error), error
        assert re.search(r"query\.memory|memory_limit", str(error)), error


@contextmanager
def spilling(server: Server) -> Iterator[None]:
    """At some moment meanwhile, rows are on the disk: half as much as the pool holds, or more."""
    most, ended = 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not ended.wait(0.02):
            value = re.search(r"^skein_query_spilled_bytes (\S+)$", server.http("/metrics"), re.M)
            most = max(most, int(float(value[1])) if value else 0)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
    assert most > POOL // 2, f"{most // MIB} MiB were spilled"


def sorted_rows(server: Server) -> int:
    """How many rows a sort of the table gives; each is looked at."""
    expected = 0
    with fl.FlightClient(server.url) as client:
        for chunk in client.do_get(fl.Ticket(b"SELECT k, pad FROM big ORDER BY k")):
            keys = chunk.data.column(0).to_numpy()
            assert (keys == np.arange(expected, expected + len(keys))).all()
            assert pc.min(pc.binary_length(chunk.data.column(1))).as_py() == PAD
            expected += len(keys)
    return expected


def test_a_sort_is_streamed_whole_and_in_order(small: Server) -> None:
    with spilling(small), finishes_or_says_why():
        assert sorted_rows(small) == ROWS


def test_a_join_of_large_sides(small: Server) -> None:
    with spilling(small), finishes_or_says_why():
        row = only_row(
            small, "SELECT count(*) AS n, sum(length(a.pad) + length(b.pad)) AS bytes FROM big a JOIN big b ON a.id = b.k + 1"
        )
        assert row == {"n": ROWS, "bytes": 2 * PAD * ROWS}


def test_a_join_is_written_to_a_table(small: Server) -> None:
    with spilling(small), finishes_or_says_why():
        sql(small, "CREATE TABLE joined AS SELECT a.id, a.pad AS x, b.pad AS y FROM big a JOIN big b ON a.id = b.k + 1")
        assert only_row(small, "SELECT count(*) AS n, min(length(x) + length(y)) AS least FROM joined") == {"n": ROWS, "least": 2 * PAD}
    # All of it or nothing.
    assert only_row(small, "SELECT coalesce(sum(rows), 0) AS n FROM system.datasets WHERE table_name = 'joined'")["n"] in (0, ROWS)
    sql(small, "DROP TABLE IF EXISTS joined")


def test_a_group_for_every_row(small: Server) -> None:
    with finishes_or_says_why():
        row = only_row(
            small,
            "SELECT count(*) AS groups, sum(n) AS n, sum(length(p)) AS bytes FROM (SELECT k, count(*) AS n, max(pad) AS p FROM big GROUP BY k)",
        )
        assert row == {"groups": ROWS, "n": ROWS, "bytes": PAD * ROWS}


def test_distinct_texts(small: Server) -> None:
    with finishes_or_says_why():
        assert only_row(small, "SELECT count(*) AS n FROM (SELECT DISTINCT pad FROM big)") == {"n": ROWS}


def test_what_cannot_spill_says_what_to_do(small: Server) -> None:
    with pytest.raises(pa.ArrowException, match=r"memory_limit|query\.memory") as caught:
        sql(small, "SELECT length(string_agg(pad, '')) AS n FROM big")
    assert "resource exhausted" in str(caught.value)
    assert only_row(small, "SELECT 1 AS one") == {"one": 1}


def test_an_ingest_of_ten_times_the_memory(small: Server) -> None:
    schema = pa.schema([(f"c{n}", pa.int64()) for n in range(8)])
    rows, noise = 1 << 16, np.random.default_rng(3)
    batches = 10 * POOL // (rows * 64)
    with fl.FlightClient(small.url) as client:
        writer, results = client.do_put(fl.FlightDescriptor.for_path("noise"), schema)
        with writer:
            for _ in range(batches):
                writer.write_batch(pa.record_batch([pa.array(noise.integers(0, 1 << 62, rows)) for _ in range(8)], schema=schema))
            writer.done_writing()
            while results.read() is not None:
                pass
    assert only_row(small, "SELECT count(*) AS n FROM noise") == {"n": rows * batches}


def test_under_a_hard_limit(tmp_path: Path) -> None:
    """The kernel ends the server if it takes more than the bound, whatever it says of itself."""
    with server_with_table(tmp_path, POOL + INGEST + BESIDE) as server:
        with finishes_or_says_why():
            assert sorted_rows(server) == ROWS
        for statement in [
            "SELECT count(*) AS n FROM big a JOIN big b ON a.id = b.k + 1 AND a.pad > ''",
            "SELECT count(*) AS n FROM (SELECT k, max(pad) FROM big GROUP BY k)",
        ]:
            with finishes_or_says_why():
                assert only_row(server, statement) == {"n": ROWS}, statement
        assert server.running() and not still_held(server)
