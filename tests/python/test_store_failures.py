"""What goes wrong between the server and its store: out of reach, silent, wrong credentials, no such bucket, a store that ignores
conditional puts. The store is moto, behind a gate that can be closed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.flight as fl
import pytest
import skein_flight
from skein_flight import UnavailableError
from support import data, stores
from support.server import Server, binary

BUCKET = "company-data"
# An error is answered within this time, whatever the store does. A request to it ends after 2 s here.
BOUND_SECONDS = 90
IMPATIENT = {"timeout": "2 seconds", "connect_timeout": "1 second"}


class Site:
    """A store, the gate in front of it, a server behind that, and a client."""

    def __init__(self, moto: stores.Moto, gate: stores.Gate, server: Server, client: skein_flight.Connection) -> None:
        self.moto, self.gate, self.server, self.client = moto, gate, server, client

    def count(self, table: str) -> int:
        return self.client.sql(f"SELECT count(*) FROM {table}").scalar()

    def healed(self, expected: dict[str, int]) -> None:
        """The connection works, the tables are as they were, and nothing half-done is left in sight."""
        assert {table: self.count(table) for table in expected} == expected
        assert {t.name for t in self.client.tables()} == set(expected)
        findings = self.client.action("dataset.verify", {"deep": True})["findings"]
        assert [f for f in findings if f["kind"] != "orphan"] == []


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with stores.Moto(tmp_path / "moto", [BUCKET]) as moto, stores.Gate(moto.port) as gate:
        options = moto.options(endpoint=gate.endpoint, **IMPATIENT)
        with Server(tmp_path, stores.configured(f"s3://{BUCKET}/skein", options)) as server:
            with skein_flight.connect(server.url) as client:
                yield Site(moto, gate, server, client)
            gate.open()
            assert "panicked at" not in server.log()


def unavailable(work: Callable[[], object]) -> str:
    """Expects UNAVAILABLE in bounded time, from an error that names the bucket."""
    start = time.monotonic()
    with pytest.raises((UnavailableError, fl.FlightUnavailableError)) as caught:
        work()
    took = time.monotonic() - start
    assert took < BOUND_SECONDS, f"the answer took {took:.0f} s"
    text = str(caught.value)
    assert "bucket 'lake'" in text, text
    return text


def close(site: Site, how: str) -> None:
    site.gate.refuse() if how == "refuse" else site.gate.hang()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["refuse", "hang"])
def test_a_store_that_is_out_of_reach_for_a_while(site: Site, tmp_path: Path, how: str) -> None:
    site.client.ingest("t", data.small(100))
    close(site, how)
    unavailable(lambda: site.count("t"))
    unavailable(lambda: site.client.ingest("t", data.small(10), "append"))
    if how == "refuse":  # the other takes long each time
        unavailable(lambda: site.client.ingest("other", data.small(10), "create"))
        path = tmp_path / "rows.csv"
        path.write_text("id,name,value\n1,a,0.5\n")
        unavailable(lambda: site.client.ingest_file(path, "t", "append"))
    assert site.client.sql("SELECT 1").scalar() == 1, "what needs no bucket works all the time"
    assert site.client.sql("SELECT count(*) FROM system.bucket_errors WHERE bucket = 'lake'").scalar() > 0
    site.gate.open()
    site.healed({"t": 100})
    site.client.ingest("t", data.small(10), "append")
    site.healed({"t": 110})


def test_the_store_goes_away_in_the_middle_of_an_upload(site: Site) -> None:
    site.client.ingest("t", data.small(100))
    batch = pa.record_batch({"id": range(100_000), "name": ["x" * 50] * 100_000, "value": [0.5] * 100_000})

    def upload() -> None:
        writer, results = site.client.flight.do_put(fl.FlightDescriptor.for_path("t"), batch.schema)
        with writer:
            writer.write_batch(batch)
            results.read()
            site.gate.refuse()
            for _ in range(20):
                writer.write_batch(batch)
            writer.done_writing()
            while results.read() is not None:
                pass

    unavailable(upload)
    site.gate.open()
    site.healed({"t": 100})


def test_the_store_goes_away_between_planning_and_reading(site: Site) -> None:
    rows = pa.table({"noise": pa.array([bytes([n % 251]) * 1000 for n in range(2000)], pa.binary())})
    site.client.ingest("t", rows)
    info = site.client.flight.get_flight_info(fl.FlightDescriptor.for_command(b"SELECT noise FROM t"))
    site.gate.refuse()
    unavailable(lambda: [site.client.flight.do_get(end.ticket).read_all() for end in info.endpoints])
    site.gate.open()
    got = pa.concat_tables(site.client.flight.do_get(end.ticket).read_all() for end in info.endpoints)
    assert got.num_rows == 2000, "the same ticket works again"
    site.healed({"t": 2000})


def test_external_tables_and_copies_name_the_bucket_too(site: Site) -> None:
    site.client.ingest("t", data.small(10))
    site.client.execute("COPY t TO 'out/rows.parquet' STORED AS PARQUET")
    site.client.execute("CREATE EXTERNAL TABLE x STORED AS PARQUET LOCATION 'out/'")
    site.gate.refuse()
    unavailable(lambda: site.count("x"))
    unavailable(lambda: site.client.execute("COPY (SELECT 1 AS a) TO 'out/one.csv' STORED AS CSV"))
    site.gate.open()
    assert site.count("x") == 10
    assert site.moto.keys(BUCKET, "skein/out/") == ["skein/out/rows.parquet"]


def test_a_second_bucket_that_is_out_of_reach_at_the_start_comes_back(tmp_path: Path) -> None:
    """The server starts without it, and writes to it as soon as it can."""
    with stores.Moto(tmp_path / "moto", [BUCKET]) as moto, stores.Gate(moto.port) as gate:
        gate.refuse()
        options = moto.options(endpoint=gate.endpoint, **IMPATIENT)
        near = stores.configured((tmp_path / "near").as_uri(), name="a_near")
        far = stores.configured(f"s3://{BUCKET}", options, name="b_far")
        with Server(tmp_path, near | far) as server, skein_flight.connect(server.url) as client:
            client.ingest("t", data.small(3))
            assert client.sql("SELECT name FROM system.buckets WHERE NOT writable").fetchall() == [("b_far",)]
            gate.open()
            deadline = time.monotonic() + 60
            while client.sql("SELECT count(*) FROM system.buckets WHERE writable").scalar() != 2:
                assert time.monotonic() < deadline, server.log()[-3000:]
                time.sleep(0.5)


# ---- at the start ------------------------------------------------------------------------------------------------------


def refused_start(tmp_path: Path, url: str, options: dict[str, str]) -> str:
    """A server that must not come up; its last words."""
    server = Server(tmp_path / "refused", stores.configured(url, options))
    with pytest.raises(RuntimeError, match="ended with 1"):
        server.start()
    return [line for line in server.log().splitlines() if line.startswith("error:")][-1]


def test_wrong_credentials_and_wrong_names_are_said_at_the_start(tmp_path: Path) -> None:
    with stores.Moto(tmp_path / "moto", [BUCKET], login=True) as moto:
        with Server(tmp_path / "right", stores.configured(f"s3://{BUCKET}/a", moto.options())) as server:
            with skein_flight.connect(server.url) as client:
                client.ingest("t", data.small(3))
            assert moto.secret not in server.log()
        error = refused_start(tmp_path, f"s3://{BUCKET}/a", moto.options(secret_access_key="wrong"))
        assert "bucket 'lake'" in error and "SignatureDoesNotMatch" in error and "check them in the bucket's options" in error
        assert "<?xml" not in error, "in words, not in XML"
        error = refused_start(tmp_path, f"s3://{BUCKET}/a", moto.options(access_key_id="AKIANOBODY"))
        assert "InvalidAccessKeyId" in error and "credentials" in error
        error = refused_start(tmp_path, "s3://no-such-bucket/a", moto.options())
        assert "bucket 'lake'" in error and "NoSuchBucket" in error and "create that bucket at the store" in error
    start = time.monotonic()
    error = refused_start(tmp_path, f"s3://{BUCKET}/a", moto.options())
    assert "bucket 'lake'" in error and time.monotonic() - start < 50, error


def test_a_url_is_no_data_folder(tmp_path: Path) -> None:
    import subprocess

    run = subprocess.run(
        [str(binary()), "serve", "--data", "s3://company-data"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode != 0 and "storage.buckets" in run.stderr, run.stderr
    assert list(tmp_path.iterdir()) == []


# ---- a store that is not safe ------------------------------------------------------------------------------------------


def test_a_store_that_ignores_conditional_puts_is_read_but_not_written(tmp_path: Path) -> None:
    with stores.Moto(tmp_path / "moto", [BUCKET]) as moto:
        with Server(tmp_path / "safe", stores.configured(f"s3://{BUCKET}/a", moto.options())) as server:
            with skein_flight.connect(server.url) as client:
                client.ingest("t", data.small(10))
        before = moto.keys(BUCKET)
        with stores.Gate(moto.port, {"If-None-Match": ""}) as gate:
            options = moto.options(endpoint=gate.endpoint)
            with Server(tmp_path / "unsafe", stores.configured(f"s3://{BUCKET}/a", options)) as server:
                assert "loses acknowledged writes" in server.log()
                with skein_flight.connect(server.url) as client:
                    assert client.sql("SELECT count(*) FROM t").scalar() == 10
                    probed = client.action("bucket.probe")
                    assert probed["readable"] and not probed["writable"] and "racing creators" in probed["reason"]
                    writes: list[Callable[[], object]] = [
                        lambda: client.ingest("t", data.small(1), "append"),
                        lambda: client.ingest("new", data.small(1), "create"),
                        lambda: client.execute("INSERT INTO t VALUES (1, 'a', 0.5)"),
                        lambda: client.execute("CREATE VIEW v AS SELECT 1 AS a"),
                        lambda: client.execute("COPY t TO 'out/t.csv' STORED AS CSV"),
                        lambda: client.action("dataset.drop", {"dataset": "t"}),
                    ]
                    for write in writes:
                        with pytest.raises(skein_flight.PermissionDeniedError, match="'lake' is read-only.*conditional put"):
                            write()
                    assert client.sql("SELECT count(*) FROM t").scalar() == 10
        assert moto.keys(BUCKET) == before
