"""Buckets that former versions have written (fixtures/make_bucket.py says how) are opened, read, checked, and written to."""

from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
import skein_flight
from fixtures.make_bucket import NESTED, PASSWORD
from support.server import Server, binary

FIXTURES = Path(__file__).parent / "fixtures"
BEFORE, WITH = "bucket-before-alter", "bucket-with-alter"


@pytest.fixture(scope="module", params=[BEFORE, WITH])
def upgraded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp(request.param)
    with tarfile.open(FIXTURES / f"{request.param}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    with Server(folder) as server:
        yield server
    assert "panicked at" not in server.log()


@pytest.fixture
def skein(upgraded: Server) -> Iterator[skein_flight.Connection]:
    with skein_flight.connect(upgraded.url, user="ada", password=PASSWORD) as connection:
        yield connection


def verify(server: Server) -> str:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SKEIN")}
    login = {"SKEIN_URL": server.url, "SKEIN_USER": "ada", "SKEIN_PASSWORD": PASSWORD}
    run = subprocess.run([str(binary()), "verify", "--deep"], env=clean | login, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def history(skein: skein_flight.Connection, table: str) -> list[tuple[str, int, int]]:
    query = f"SELECT operation, rows_added, rows_removed FROM system.snapshots WHERE table_name = '{table}' ORDER BY version"
    return skein.sql(query).fetchall()


# In the order they stand here: what was written is looked at before anything is added to it.


def test_it_is_whole(upgraded: Server) -> None:
    assert "nothing is wrong" in verify(upgraded)


def test_what_was_written_is_read(skein: skein_flight.Connection) -> None:
    (orders,) = skein.sql("SELECT count(*), count(region), sum(id), sum(price), count(placed) FROM orders").fetchall()
    assert orders == (99, 90, 5445, Decimal("5625.00"), 90)
    regions = skein.sql("SELECT region, n FROM regions ORDER BY region").fetchall()
    assert regions == [("moved", 5), ("region 0", 29), ("region 1", 28), ("region 2", 28), (None, 9)]
    assert skein.sql("SELECT n FROM compacted ORDER BY n").fetchall() == [(n,) for n in range(1, 91)]
    assert skein.sql("SELECT account, amount FROM sales.debit ORDER BY account").fetchall() == [(1, 75), (2, 30)]
    assert skein.sql("SELECT account, amount FROM sales.credit").fetchall() == [(3, 105)]
    assert skein.sql("SELECT * FROM nested").arrow().to_pylist() == NESTED.to_pylist()
    assert skein.sql("SELECT count(*) FROM system.datasets WHERE table_name = 'dropped'").scalar() == 0


def test_so_is_what_was_before(skein: skein_flight.Connection) -> None:
    made = ("create", 0, 0)
    assert history(skein, "orders") == [made, ("append", 100, 0), ("append", 10, 0), ("delete", 0, 11), ("update", 5, 5)]
    assert history(skein, "compacted") == [made, ("append", 50, 0), ("append", 50, 0), ("delete", 0, 10), ("compact", 90, 90)]
    assert history(skein, "credit") == [made, ("append", 1, 0), ("update", 1, 1)]
    counts = [skein.sql(f"SELECT count(*) FROM orders VERSION AS OF {version}").scalar() for version in range(1, 6)]
    assert counts == [0, 100, 110, 99, 99]
    assert skein.sql("SELECT max(n) FROM compacted VERSION AS OF 3").scalar() == 100
    assert skein.sql("SELECT amount FROM sales.credit VERSION AS OF 2").scalar() == 100


@pytest.mark.parametrize("upgraded", [WITH], indirect=True)
def test_columns_that_were_changed(skein: skein_flight.Connection) -> None:
    rows = skein.sql("SELECT id, new, note FROM altered ORDER BY id").fetchall()
    assert rows == [(1, "one", None), (2, "two", None), (3, "three", "noted")]
    assert skein.sql("SELECT old, gone FROM altered VERSION AS OF 2 ORDER BY gone").fetchall() == [("one", 10), ("two", 20)]
    skein.execute("INSERT INTO altered VALUES (4, 'four', 'now')")
    skein.execute("DELETE FROM altered WHERE id = 1")
    skein.action("dataset.compact", {"dataset": "altered"})
    assert skein.sql("SELECT id, note FROM altered ORDER BY id").fetchall() == [(2, None), (3, "noted"), (4, "now")]


def test_it_is_written_to(upgraded: Server, skein: skein_flight.Connection) -> None:
    skein.execute("INSERT INTO orders VALUES (300, 'now', 1.00, TIMESTAMP '2026-03-01')")
    assert skein.execute("DELETE FROM orders WHERE id <= 5") == 5
    assert skein.execute("UPDATE orders SET price = 0 WHERE region = 'region 1'") == 28
    with skein.dbapi(autocommit=False) as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO sales.debit VALUES (4, 1)")
        cursor.execute("UPDATE sales.credit SET amount = amount + 1")
        connection.commit()
    skein.ingest("nested", NESTED, mode="append")
    skein.execute("ALTER TABLE orders ADD COLUMN note VARCHAR")
    skein.action("dataset.compact", {"dataset": "orders"})
    skein.action("dataset.expire", {"dataset": "orders", "keep_versions": 1})
    skein.execute("DROP TABLE compacted")
    skein.execute("CREATE TABLE compacted AS SELECT 1 AS other")

    assert skein.sql("SELECT count(*), count(note), sum(price) FROM orders WHERE region <> 'region 1'").fetchall()[0][:2] == (58, 0)
    assert skein.sql("SELECT sum(price) FROM orders WHERE region = 'region 1'").scalar() == 0
    assert skein.sql("SELECT (SELECT sum(amount) FROM sales.debit), (SELECT sum(amount) FROM sales.credit)").fetchall() == [(106, 106)]
    assert skein.sql("SELECT count(*) FROM nested").scalar() == 6
    assert "nothing is wrong" in verify(upgraded)
