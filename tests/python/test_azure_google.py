"""The main job, small, on the other two clouds. Azure is Azurite 3.37.0, Microsoft's own emulator of Blob storage, run by node. Google's
XML interface is S3's but for names of headers, so moto stands in for it behind a gate that translates the two that matter."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.flight as fl
import pytest
import skein_flight
from support import data, stores
from support.server import Server

@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stores.Azurite]:
    with stores.Azurite(tmp_path_factory.mktemp("azurite")) as azurite:
        azurite.create_container("lake")
        yield azurite


@pytest.fixture(scope="module")
def google(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The options of a bucket on a store that speaks like Google's."""
    folder = tmp_path_factory.mktemp("google")
    signed = "Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
    translated = {"x-goog-if-generation-match": "If-None-Match: *", "Authorization": ""}
    with stores.Moto(folder, ["lake"]) as moto, stores.Gate(moto.port, translated, [signed]) as gate:
        account = {"gcs_base_url": gate.endpoint, "disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
        yield {"service_account_key": json.dumps(account), "allow_http": "true"}


def the_main_job(env: dict[str, str], tmp_path: Path) -> None:
    rows = data.small(1000)
    with Server(tmp_path, env) as server:
        with skein_flight.connect(server.url) as client:
            probed = client.action("bucket.probe")
            assert probed["readable"] and probed["writable"], probed
            client.ingest("t", rows, "create")
            client.ingest("t", rows, "append")
            path = tmp_path / "rows.csv"
            path.write_text("id,name,value\n-1,minus one,0.5\n")
            assert client.ingest_file(path, "t", "append").rows == 1
            assert client.sql("SELECT count(*), min(id) FROM t").fetchall() == [(2001, -1)]
            ((version,),) = client.sql("SELECT min(version) FROM system.snapshots WHERE rows_added > 0").fetchall()
            assert client.sql(f"SELECT count(*) FROM t VERSION AS OF {version}").scalar() == 1000
            client.execute("COPY (SELECT * FROM t ORDER BY id) TO 'out/t.parquet' STORED AS PARQUET")
            client.execute("CREATE EXTERNAL TABLE x STORED AS PARQUET LOCATION 'out/t.parquet'")
            assert client.sql("SELECT count(*) FROM x").scalar() == 2001
            assert client.action("dataset.verify", {"deep": True})["findings"] == []
            assert client.sql("SELECT * FROM system.bucket_errors").fetchall() == []
    with Server(tmp_path / "second", env) as server, fl.FlightClient(server.url) as client:
        info = client.get_flight_info(fl.FlightDescriptor.for_path("t"))
        assert sum(client.do_get(end.ticket).read_all().num_rows for end in info.endpoints) == 2001


def a_big_file_goes_up_in_parts(env: dict[str, str], tmp_path: Path) -> None:
    noise = pa.table({"n": pa.array(range(300)), "noise": pa.array([os.urandom(100_000) for _ in range(300)], pa.binary())})
    with Server(tmp_path, env) as server, skein_flight.connect(server.url) as client:
        client.ingest("t", noise)
        assert client.sql("SELECT * FROM t ORDER BY n").arrow()["noise"].to_pylist() == noise["noise"].to_pylist()
        assert client.action("dataset.verify", {"deep": True})["findings"] == []


def test_azure(azurite: stores.Azurite, tmp_path: Path) -> None:
    the_main_job(stores.configured("az://lake/some/prefix", azurite.options()), tmp_path / "a")
    a_big_file_goes_up_in_parts(stores.configured("az://lake/big", azurite.options()), tmp_path / "b")


def test_google(google: dict[str, str], tmp_path: Path) -> None:
    the_main_job(stores.configured("gs://lake/some/prefix", google), tmp_path / "a")
    a_big_file_goes_up_in_parts(stores.configured("gs://lake/big", google), tmp_path / "b")


def test_a_container_that_is_not_there_and_a_wrong_key(azurite: stores.Azurite, tmp_path: Path) -> None:
    wrong_key = azurite.options() | {"access_key": "d3Jvbmc="}
    for name, url, options, text in (
        ("missing", "az://nothing/x", azurite.options(), "ContainerNotFound"),
        ("wrong", "az://lake/x", wrong_key, "AuthorizationFailure"),
    ):
        server = Server(tmp_path / name, stores.configured(url, options))
        with pytest.raises(RuntimeError, match="ended with 1"):
            server.start()
        (last,) = [line for line in server.log().splitlines() if line.startswith("error:")]
        assert "bucket 'lake'" in last and text in last, last
