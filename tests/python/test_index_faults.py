"""Indexes while others get in the way: two builds at once, a dataset or an index that goes under a build or a search, a live generation that changes under load, a
disk that takes no more."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.flight as fl
import pytest
import skein_flight
from support.server import Server

ROWS = 3_000
DIMENSION = 16


@pytest.fixture
def docs(skein: skein_flight.Connection, table: str) -> Iterator[str]:
    """Vectors of which each is nearest to itself."""
    vector = ", ".join(f"sin(i * {n + 1})" for n in range(DIMENSION))
    skein.execute(f"CREATE TABLE {table} (id BIGINT, e FLOAT[{DIMENSION}])")
    skein.execute(f"INSERT INTO {table} SELECT i, [{vector}] FROM generate_series(1, {ROWS}) g(i)")
    yield table
    skein.execute(f"DROP TABLE IF EXISTS {table}")


def like(table: str, row: int, **more: Any) -> str:
    named = "".join(f", {name} => {value}" for name, value in more.items())
    return f"SELECT id FROM vector_search({table}, (SELECT e FROM {table} WHERE id = {row}), k => 1{named})"


class Crowd:
    """Threads that repeat something until the block ends, and what went wrong in them."""

    def __init__(self, server: Server, work: Callable[[skein_flight.Connection, int], None], threads: int = 3) -> None:
        self.wrong: list[str] = []
        self.done = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(server, work, n)) for n in range(threads)]

    def _run(self, server: Server, work: Callable[[skein_flight.Connection, int], None], seed: int) -> None:
        with skein_flight.connect(server.url) as skein:
            turn = seed
            while not self._stop.is_set():
                turn = (turn * 31 + 7) % ROWS
                try:
                    work(skein, turn + 1)
                    self.done += 1
                except Exception as error:  # noqa: BLE001
                    self.wrong.append(str(error))

    def __enter__(self) -> Crowd:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def one(skein: skein_flight.Connection, query: str) -> Any:
    return skein.sql(query).scalar()


def test_two_builds_at_once_leave_one_live_generation(server: Server, skein: skein_flight.Connection, docs: str) -> None:
    skein.execute(f"CREATE INDEX {docs}_i ON {docs} USING hnsw (e)")
    problems: list[str] = []

    def build() -> None:
        with skein_flight.connect(server.url) as own:
            try:
                own.action("index.rebuild", {"name": f"{docs}_i", "wait": True})
            except Exception as error:  # noqa: BLE001
                problems.append(str(error))

    threads = [threading.Thread(target=build) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    live = f"SELECT count(*) FROM system.generations WHERE index_name = '{docs}_i' AND live"
    assert one(skein, live) == 1
    assert one(skein, like(docs, 17)) == 17


def test_the_live_generation_changes_under_load(server: Server, skein: skein_flight.Connection, docs: str) -> None:
    """No search fails, and none gives another answer than the one that is right all along."""
    skein.execute(f"CREATE INDEX {docs}_i ON {docs} USING hnsw (e)")

    def search(own: skein_flight.Connection, row: int) -> None:
        found = one(own, like(docs, row))
        assert found == row, f"looked for {row}, found {found}"

    with Crowd(server, search) as crowd:
        for turn in range(4):
            skein.action("index.rebuild", {"name": f"{docs}_i", "wait": True})
            if turn == 2:
                skein.action("index.rollback", {"name": f"{docs}_i"})
        time.sleep(0.5)
    assert crowd.wrong == [] and crowd.done > 20


def test_an_index_is_dropped_under_searches(server: Server, skein: skein_flight.Connection, docs: str) -> None:
    def search(own: skein_flight.Connection, row: int) -> None:
        assert one(own, like(docs, row)) == row

    with Crowd(server, search) as crowd:
        for _ in range(3):
            skein.execute(f"CREATE INDEX {docs}_i ON {docs} USING flat (e)")
            time.sleep(0.2)
            skein.execute(f"DROP INDEX {docs}_i")
    assert crowd.wrong == [] and crowd.done > 5


@pytest.mark.parametrize("what", ["TABLE", "INDEX"])
def test_what_is_dropped_under_its_build(skein: skein_flight.Connection, docs: str, what: str) -> None:
    """The job ends, the name is free again, and nothing of it is searched."""
    skein.execute(f"CREATE INDEX {docs}_i ON {docs} USING hnsw (e) WITH (ef_construction = 2000, m = 64, wait = false)")
    skein.execute(f"DROP {what} {docs if what == 'TABLE' else docs + '_i'}")
    state = f"SELECT state FROM system.jobs WHERE subject = 'public.{docs}_i'"
    deadline = time.monotonic() + 120
    while one(skein, state) in ("queued", "running"):
        assert time.monotonic() < deadline, "the job does not end"
        time.sleep(0.1)
    assert one(skein, state) in ("failed", "succeeded", "cancelled")
    if what == "INDEX":
        assert one(skein, f"SELECT count(*) FROM system.indexes WHERE index_name = '{docs}_i'") == 0
        skein.execute(f"CREATE INDEX {docs}_i ON {docs} USING flat (e)")
        assert one(skein, like(docs, 5)) == 5
    else:
        with pytest.raises(Exception, match="does not exist"):
            skein.sql(like(docs, 5)).arrow()


def test_a_disk_that_takes_no_more_ends_a_build_with_its_cause(tmp_path: Path) -> None:
    import resource

    server = Server(tmp_path / "server", survive_file_limit=True)
    with server, skein_flight.connect(server.url) as skein, fl.FlightClient(server.url) as client:
        wide = pa.table(
            {
                "id": pa.array(range(2_000), pa.int64()),
                "e": pa.FixedSizeListArray.from_arrays(pa.array([float(n % 97) for n in range(2_000 * 512)], pa.float32()), 512),
            }
        )
        writer, _ = client.do_put(fl.FlightDescriptor.for_path("wide"), wide.schema)
        with writer:
            writer.write_table(wide)
        unlimited = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (1 << 20, unlimited[1]))
        with pytest.raises(Exception) as caught:
            skein.execute("CREATE INDEX wide_e ON wide USING flat (e)")
        text = f"{caught.value!r} {caught.value.__cause__!r}"
        assert "wide_e" in text and "INVALID_ARGUMENT" not in text.upper().replace(" ", "_"), text
        job = skein.sql("SELECT state, error FROM system.jobs").arrow().to_pylist()
        assert job[0]["state"] == "failed" and job[0]["error"], job
        # Searches go on without it, and it is built when there is room.
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, unlimited)
        assert one(skein, like("wide", 3)) is not None
        answer = json.loads(json.dumps(skein.action("index.rebuild", {"name": "wide_e", "wait": True})))
        assert answer["job"]
        assert one(skein, "SELECT count(*) FROM system.generations WHERE live") == 1
