"""The main job with the data on S3: the real server, every way in, queries, snapshots, other servers on the same bucket. The store
is moto 5.2.5, whose conditional puts are right."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import adbc_driver_flightsql.dbapi
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.flight as fl
import pyarrow.parquet
import pytest
import skein_flight
from support import data, stores
from support.server import Server, binary

BUCKET = "company-data"
SECRET = "the servers of this bucket share one secret"


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stores.Moto]:
    with stores.Moto(tmp_path_factory.mktemp("moto"), [BUCKET]) as moto:
        yield moto


def server_at(moto: stores.Moto, folder: Path, prefix: str, **env: str) -> Server:
    """A server that is not started yet, with its data under that prefix of the bucket."""
    configured = stores.configured(f"s3://{BUCKET}/{prefix}", moto.options())
    return Server(folder, configured | {"SKEIN__SERVER__TICKET_SECRET": SECRET} | env)


@pytest.fixture(scope="module")
def lake(moto: stores.Moto, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server_at(moto, tmp_path_factory.mktemp("lake"), "skein") as server:
        yield server
        assert "panicked at" not in server.log()


@pytest.fixture
def skein(lake: Server) -> Iterator[skein_flight.Connection]:
    with skein_flight.connect(lake.url) as connection:
        yield connection


def cli(server: Server, *arguments: str) -> str:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SKEIN")}
    run = subprocess.run(
        [str(binary()), *arguments], env=clean | {"SKEIN_URL": server.url}, capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def put(server: Server, name: str, rows: pa.Table) -> None:
    with fl.FlightClient(server.url) as client:
        writer, results = client.do_put(fl.FlightDescriptor.for_path(name), rows.schema)
        with writer:
            writer.write_table(rows)
            writer.done_writing()
            while results.read() is not None:
                pass


def count(connection: skein_flight.Connection, table: str) -> int:
    return connection.sql(f"SELECT count(*) FROM {table}").scalar()


def test_the_bucket_is_writable(skein: skein_flight.Connection) -> None:
    answer = skein.action("bucket.probe")
    assert (answer["bucket"], answer["readable"], answer["writable"]) == ("lake", True, True)
    assert skein.sql("SELECT name, url, writable FROM system.buckets").fetchall() == [("lake", f"s3://{BUCKET}/skein", True)]


def test_every_way_in_and_back(
    moto: stores.Moto, lake: Server, skein: skein_flight.Connection, table: str, tmp_path: Path
) -> None:
    rows = data.small(1000)
    put(lake, table, rows)
    with adbc_driver_flightsql.dbapi.connect(lake.url, autocommit=True) as adbc, adbc.cursor() as cursor:
        assert cursor.adbc_ingest(table, rows, mode="append") == 1000
    pyarrow.parquet.write_table(rows, tmp_path / "rows.parquet")
    pl.DataFrame(rows).write_csv(tmp_path / "rows.csv")
    cli(lake, "ingest", str(tmp_path / "rows.parquet"), str(tmp_path / "rows.csv"), "--into", table)
    cli(lake, "ingest", str(tmp_path / "rows.parquet"), "--into", table)
    assert count(skein, table) == 4000, "the file that came twice was stored once"
    query = f"SELECT id, name, value FROM {table} GROUP BY id, name, value HAVING count(*) = 4 ORDER BY id"
    assert data.same_rows(skein.sql(query).arrow(), rows)
    with fl.FlightClient(lake.url) as client:
        info = client.get_flight_info(fl.FlightDescriptor.for_path(table))
        assert sum(client.do_get(end.ticket).read_all().num_rows for end in info.endpoints) == 4000
    files = skein.sql(f"SELECT key FROM system.files WHERE table_name = '{table}'").fetchall()
    stored = set(moto.keys(BUCKET, "skein/"))
    assert files and all(f"skein/{key}" in stored for (key,) in files)


def test_every_type_survives(skein: skein_flight.Connection, table: str) -> None:
    rows = data.every_type()
    skein.ingest(table, rows)
    assert skein.sql(f"SELECT * FROM {table}").arrow().to_pylist() == rows.to_pylist()


def test_more_than_one_part_is_uploaded(moto: stores.Moto, skein: skein_flight.Connection, table: str) -> None:
    """Random bytes do not compress, so the data file is bigger than a part of a multipart upload."""
    noise = pa.table({"n": pa.array(range(400)), "noise": pa.array([os.urandom(100_000) for _ in range(400)], pa.binary())})
    skein.ingest(table, noise)
    got = skein.sql(f"SELECT * FROM {table} ORDER BY n").arrow()
    assert got["noise"].to_pylist() == noise["noise"].to_pylist()
    assert max(size for (size,) in skein.sql(f"SELECT bytes FROM system.files WHERE table_name = '{table}'").fetchall()) > 20 << 20
    assert "Uploads" not in moto.s3().list_multipart_uploads(Bucket=BUCKET), "no upload is left open"


def test_snapshots_replace_and_drop(skein: skein_flight.Connection, table: str) -> None:
    skein.ingest(table, data.small(3), "create")
    skein.ingest(table, data.small(4), "append")
    before = skein.sql("SELECT now()").scalar()
    skein.ingest(table, data.small(5), "replace")
    skein.execute(f"INSERT INTO {table} VALUES (99, 'ninety-nine', 0.5)")
    assert count(skein, table) == 6
    versions = skein.sql(f"SELECT version, operation FROM system.snapshots WHERE table_name = '{table}' ORDER BY version").fetchall()
    at = {version: count(skein, f"{table} VERSION AS OF {version}") for version, _ in versions}
    assert list(at.values())[-4:] == [3, 7, 5, 6], (versions, at)
    assert count(skein, f"{table} TIMESTAMP AS OF '{before.isoformat()}'") == 7
    skein.action("dataset.drop", {"dataset": table})
    assert not [t for t in skein.tables() if t.name == table]
    skein.ingest(table, data.small(2), "create")
    assert count(skein, table) == 2, "the name is free again and stands for a new table"


def test_verify_and_gc(moto: stores.Moto, skein: skein_flight.Connection, table: str) -> None:
    skein.ingest(table, data.small(100))
    report = skein.action("dataset.verify", {"dataset": table, "deep": True})
    assert report["findings"] == [] and int(report["bytes_checked"]) > 0
    ((key,),) = skein.sql(f"SELECT key FROM system.files WHERE table_name = '{table}'").fetchall()
    folder = f"skein/{key}".rsplit("/", 1)[0]
    orphan = f"{folder}/01ARZ3NDEKTSV4RRFFQ69G5FAV.parquet"
    moto.s3().put_object(Bucket=BUCKET, Key=orphan, Body=b"left by a crash")
    report = skein.action("dataset.verify", {"dataset": table})
    assert report["findings"] == [], "a write that is running may still commit it"
    assert [f"skein/{found['key']}" for found in report["pending"]] == [orphan]
    report = skein.action("dataset.gc", {"grace_seconds": 0})
    assert report["removed"] == [] and int(report["kept_files"]) > 0, "no grace is shorter than an hour"
    assert {orphan, f"skein/{key}"} <= set(moto.keys(BUCKET, folder))
    moto.s3().delete_object(Bucket=BUCKET, Key=orphan)
    body = moto.s3().get_object(Bucket=BUCKET, Key=f"skein/{key}")["Body"].read()
    moto.s3().put_object(Bucket=BUCKET, Key=f"skein/{key}", Body=body[:-9] + b"X" + body[-8:])
    (finding,) = skein.action("dataset.verify", {"dataset": table, "deep": True})["findings"]
    assert (finding["kind"], finding["bucket"], finding["key"]) == ("corrupt", "lake", key)
    moto.s3().delete_object(Bucket=BUCKET, Key=f"skein/{key}")
    (finding,) = skein.action("dataset.verify", {"dataset": table})["findings"]
    assert finding["kind"] == "missing"
    skein.action("dataset.drop", {"dataset": table})


def test_gc_removes_what_is_old_and_nobody_needs(tmp_path: Path) -> None:
    with stores.Moto(tmp_path / "moto", [BUCKET], hours_slow=2) as moto, server_at(moto, tmp_path, "old") as server:
        with skein_flight.connect(server.url) as connection:
            connection.ingest("t", data.small(10))
            connection.ingest("t", data.small(20), "replace")
            needed = {f"old/{key}" for (key,) in connection.sql("SELECT key FROM system.files").fetchall()}
            orphan = next(iter(needed)).rsplit("/", 1)[0] + "/01ARZ3NDEKTSV4RRFFQ69G5FAV.parquet"
            moto.s3().put_object(Bucket=BUCKET, Key=orphan, Body=b"left by a crash")
            would = connection.action("dataset.gc", {"grace_seconds": 3600, "dry_run": True})
            assert orphan in moto.keys(BUCKET), "a dry run removes nothing"
            removed = connection.action("dataset.gc", {"grace_seconds": 3600})["removed"]
            assert removed == would["removed"] == [orphan.removeprefix("old/")]
            stored = set(moto.keys(BUCKET, "old/tables/"))
            assert needed <= stored and orphan not in stored
            assert count(connection, "t") == 20
            assert count(connection, "t VERSION AS OF 2") == 10, "what an older version needs stays"
            assert connection.action("dataset.verify", {"deep": True})["findings"] == []


def test_a_restart_and_a_second_server_find_everything(moto: stores.Moto, tmp_path: Path) -> None:
    first = server_at(moto, tmp_path / "first", "shared").start()
    with skein_flight.connect(first.url) as one:
        one.ingest("t", data.small(10))
        one.execute("CREATE VIEW v AS SELECT id FROM t WHERE id < 5")
    first.kill()
    first.start()
    with server_at(moto, tmp_path / "second", "shared") as second:
        with skein_flight.connect(first.url) as one, skein_flight.connect(second.url) as two:
            for connection in (one, two):
                assert (count(connection, "t"), count(connection, "v")) == (10, 5)
            two.ingest("t", data.small(7), "append")
            assert (count(one, "t"), count(two, "t")) == (17, 17), "what one commits the other sees at once"
            one.ingest("t", data.small(3), "replace")
            assert count(two, "t") == 3
            two.execute("DROP VIEW v")
            with pytest.raises(skein_flight.NotFoundError):
                count(one, "v")
            # A ticket that one server gave out is served by the other.
            info = one.flight.get_flight_info(fl.FlightDescriptor.for_path("t"))
            assert sum(two.flight.do_get(end.ticket).read_all().num_rows for end in info.endpoints) == 3
    assert first.stop() == 0


def test_eight_servers_append_at_once(moto: stores.Moto, tmp_path: Path) -> None:
    """Nothing is lost and nothing is there twice."""
    servers = [server_at(moto, tmp_path / str(n), "busy") for n in range(8)]
    commits = 5

    def append(number: int) -> None:
        with skein_flight.connect(servers[number].url) as connection:
            for commit in range(commits):
                first = (number * commits + commit) * 10
                connection.ingest("log", pa.table({"id": pa.array(range(first, first + 10), pa.int64())}), "append")

    try:
        servers[0].start()
        with skein_flight.connect(servers[0].url) as connection:
            connection.execute("CREATE TABLE log (id BIGINT)")
        with ThreadPoolExecutor(len(servers)) as pool:
            list(pool.map(lambda server: server.start(), servers[1:]))
            list(pool.map(append, range(len(servers))))
        for server in servers:
            with skein_flight.connect(server.url) as connection:
                ids = [i for (i,) in connection.sql("SELECT id FROM log ORDER BY id").fetchall()]
                assert ids == list(range(len(servers) * commits * 10))
        with skein_flight.connect(servers[0].url) as connection:
            versions = connection.sql("SELECT version FROM system.snapshots WHERE table_name = 'log' ORDER BY version").fetchall()
            assert [v for (v,) in versions] == list(range(1, len(servers) * commits + 2)), "one version for each commit"
            assert connection.action("dataset.verify", {"deep": True})["findings"] == []
    finally:
        for server in servers:
            server.kill()


# ---- files left in place, and files written ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(moto: stores.Moto, lake: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Files that another program has put under `in/` of Skein's part of the bucket."""
    folder = tmp_path_factory.mktemp("files")

    def upload(rows: pa.Table, key: str) -> None:
        path = folder / "file"
        if key.endswith(".csv"):
            pyarrow.csv.write_csv(rows, path)
        else:
            pyarrow.parquet.write_table(rows, path)
        moto.s3().upload_file(str(path), BUCKET, f"skein/in/{key}")

    upload(data.small(100), "one.parquet")
    upload(data.small(50), "text/a.csv")
    for year in (2024, 2025):
        for region in ("eu", "us"):
            upload(data.small(year - 2020), f"hive/year={year}/region={region}/part.parquet")
    for month in ("01", "02", "03"):
        upload(data.small(10), f"glob/sales-{month}.parquet")
    upload(data.small(1000), "glob/other.parquet")
    return "in"


@pytest.mark.parametrize("prefix", ["", "skein-bucket://lake/"])
def test_external_tables(skein: skein_flight.Connection, files: str, table: str, prefix: str) -> None:
    cases = {
        "one": ("PARQUET", "in/one.parquet", 100),
        "csv": ("CSV", "in/text/a.csv", 50),
        "folder": ("CSV", "in/text/", 50),
        "hive": ("PARQUET", "in/hive/", 18),
        "glob": ("PARQUET", "in/glob/sales-*.parquet", 30),
    }
    for name, (kind, path, rows) in cases.items():
        options = " OPTIONS ('format.has_header' 'true')" if kind == "CSV" else ""
        skein.execute(f"CREATE EXTERNAL TABLE {table}_{name} STORED AS {kind} LOCATION '{prefix}{path}'{options}")
        assert count(skein, f"{table}_{name}") == rows, name
    assert skein.sql(f"SELECT sum(id) FROM {table}_one WHERE id >= 98").scalar() == 197
    partitions = skein.sql(f"SELECT year, region, count(*) FROM {table}_hive GROUP BY 1, 2 ORDER BY 1, 2").fetchall()
    assert [tuple(map(str, row)) for row in partitions] == [
        ("2024", "eu", "4"), ("2024", "us", "4"), ("2025", "eu", "5"), ("2025", "us", "5"),
    ]  # fmt: skip
    assert count(skein, f"{table}_hive WHERE year = 2025 AND region = 'eu'") == 5
    for name in cases:
        skein.execute(f"DROP TABLE {table}_{name}")


def test_dropping_an_external_table_leaves_its_files(moto: stores.Moto, skein: skein_flight.Connection, files: str, table: str) -> None:
    skein.execute(f"CREATE EXTERNAL TABLE {table} STORED AS PARQUET LOCATION 'in/one.parquet'")
    skein.execute(f"DROP TABLE {table}")
    skein.action("dataset.gc", {"grace_seconds": 0})
    assert "skein/in/one.parquet" in moto.keys(BUCKET, "skein/in/")


def test_what_is_not_there_is_said(skein: skein_flight.Connection, table: str) -> None:
    with pytest.raises(skein_flight.NotFoundError, match="no parquet files in .*lake/in/nothing"):
        skein.execute(f"CREATE EXTERNAL TABLE {table} STORED AS PARQUET LOCATION 'in/nothing/'")
    with pytest.raises(skein_flight.InvalidInputError, match="configured as a bucket first"):
        skein.execute(f"CREATE EXTERNAL TABLE {table} STORED AS PARQUET LOCATION 's3://elsewhere/x.parquet'")
    with pytest.raises(skein_flight.PermissionDeniedError, match="keeps for itself"):
        skein.execute(f"CREATE EXTERNAL TABLE {table} STORED AS JSON LOCATION '_skein/docs/'")


@pytest.mark.parametrize("kind", ["parquet", "csv", "json", "arrow"])
def test_copy_to(moto: stores.Moto, skein: skein_flight.Connection, table: str, tmp_path: Path, kind: str) -> None:
    skein.ingest(table, data.small(500))
    target = f"out/{table}.{kind}"
    assert skein.execute(f"COPY (SELECT * FROM {table} ORDER BY id) TO '{target}' STORED AS {kind.upper()}") == 500
    moto.s3().download_file(BUCKET, f"skein/{target}", str(tmp_path / "back"))
    readers = {
        "parquet": lambda: pl.read_parquet(tmp_path / "back"),
        "csv": lambda: pl.read_csv(tmp_path / "back"),
        "json": lambda: pl.read_ndjson(tmp_path / "back"),
        "arrow": lambda: pl.read_ipc(tmp_path / "back"),
    }
    assert data.same_rows(readers[kind]().to_arrow(), data.small(500))
    assert "Uploads" not in moto.s3().list_multipart_uploads(Bucket=BUCKET)


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_a_copy_that_breaks_off_leaves_no_file(moto: stores.Moto, skein: skein_flight.Connection, table: str, kind: str) -> None:
    """The engine completes what it has begun, so half a file would look like a whole one."""
    skein.ingest(table, data.small(200_000))
    with pytest.raises(skein_flight.SkeinError, match="(?i)divide by zero"):
        skein.execute(
            f"COPY (SELECT id, 1 / (id - 150000) AS x FROM {table}) TO 'out/{table}.{kind}' STORED AS {kind.upper()}"
        )
    assert f"skein/out/{table}.{kind}" not in moto.keys(BUCKET, "skein/out/")


def test_a_new_server_in_an_old_bucket(moto: stores.Moto, tmp_path: Path) -> None:
    """Two prefixes of one bucket are two buckets; what else lies there is left alone."""
    moto.s3().put_object(Bucket=BUCKET, Key="mine/notes.txt", Body=b"not Skein's")
    with server_at(moto, tmp_path, "mine") as server, skein_flight.connect(server.url) as connection:
        assert connection.tables() == []
        connection.ingest("t", data.small(3))
        connection.action("dataset.gc", {"grace_seconds": 0})
        assert count(connection, "t") == 3
        assert connection.sql("SELECT count(*) FROM system.bucket_errors").scalar() == 0
    assert "mine/notes.txt" in moto.keys(BUCKET, "mine/")
