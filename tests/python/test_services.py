"""What is there besides Flight: health, reflection, metrics, and a stop that waits."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import threading
import time
import tomllib
import urllib.request
from pathlib import Path

import grpc
import pyarrow.flight as fl
import pytest
import skein_flight
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from support import data
from support.server import Server, binary


def test_grpc_health(server: Server) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", "arrow.flight.protocol.FlightService"):
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as caught:
            stub.Check(health_pb2.HealthCheckRequest(service="no.such.Service"), timeout=10)
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def test_grpc_reflection(server: Server) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert "arrow.flight.protocol.FlightService" in database.get_services()
        service = DescriptorPool(database).FindServiceByName("arrow.flight.protocol.FlightService")
        assert {"DoGet", "DoPut", "GetFlightInfo"} <= set(service.methods_by_name)


def test_metrics(server: Server, skein: skein_flight.Connection, table: str) -> None:
    skein.ingest(table, data.small(10))
    skein.sql(f"SELECT * FROM {table}").arrow()
    text = server.http("/metrics")
    assert "skein" in text and "# TYPE" in text
    assert table not in text, "no names of tables in labels"


def test_health_over_http(server: Server) -> None:
    assert server.http_status("/healthz") == 200
    assert server.http_status("/readyz") == 200
    assert server.http_status("/nothing-here") == 404


def test_queries_are_on_record(skein: skein_flight.Connection, table: str) -> None:
    skein.ingest(table, data.small(10))
    query = f"SELECT id, value FROM {table} WHERE id < 4"
    skein.sql(query).arrow()
    (row,) = skein.sql("SELECT * FROM system.queries WHERE sql = ?", [query]).arrow().to_pylist()
    # Four rows of two numbers of eight bytes.
    assert (row["state"], row["principal"], row["rows"], row["bytes"], row["error"]) == ("finished", "anonymous", 4, 64, None)
    assert row["elapsed_ms"] == (row["finished_at"] - row["started_at"]) // MILLISECOND


MILLISECOND = dt.timedelta(milliseconds=1)
PASSWORD = "a long enough password"


def test_json_lines_say_who_asked_what_it_cost_and_how_it_ended(tmp_path: Path) -> None:
    server = Server(tmp_path, {"SKEIN__TELEMETRY__LOG": "json"})
    good, bad = "SELECT value FROM generate_series(1, 20000000)", "SELECT 1 / (value - 1) FROM generate_series(1, 1)"
    with server:
        command = [str(binary()), "user", "create", "ada", "--admin", "--password-stdin", "--url", server.url]
        subprocess.run(command, input=PASSWORD + "\n", text=True, check=True, capture_output=True, timeout=60)
        with skein_flight.connect(server.url, user="ada", password=PASSWORD) as connection:
            # It lasts until its rows are fetched: there are more than fit into buffers on the way.
            batches = connection.sql(good).batches()
            next(batches)
            time.sleep(0.5)
            for _ in batches:
                pass
            with pytest.raises(skein_flight.errors.InvalidInputError):
                connection.sql(bad).arrow()
            shown = connection.sql("SELECT * FROM system.queries WHERE sql LIKE '%generate_series%'").arrow().to_pylist()
    rows = {row["sql"]: row for row in shown}
    lines = [json.loads(line) for line in server.log().splitlines()]
    ended = {line["query"]: line for line in lines if line["message"] == "query ended"}
    for sql, outcome, count in ((good, "finished", 20_000_000), (bad, "failed", 0)):
        row = rows[sql]
        line = ended[row["query_id"]]
        assert (row["state"], row["principal"], row["rows"], row["bytes"]) == (outcome, "ada", count, 8 * count)
        assert (line["outcome"], line["principal"], line["rows"], line["bytes"]) == (outcome, "ada", count, 8 * count)
        assert line["session"] == row["session_id"] and line["level"] == "INFO" and line["timestamp"]
        assert line["elapsed_ms"] - row["elapsed_ms"] in (0, 1), "the line is written right after the end is taken down"
    assert rows[good]["elapsed_ms"] >= 500
    assert "Divide by zero" in rows[bad]["error"]
    (serving,) = (line for line in lines if line["message"] == "serving")
    assert (serving["url"], serving["http"]) == (server.url, f"127.0.0.1:{server.http_port}")
    # Every line is an object of its own, and none holds the password.
    assert all({"timestamp", "level", "message", "target"} <= set(line) for line in lines)
    assert PASSWORD not in server.log()


def test_serve_without_any_flag(tmp_path: Path) -> None:
    """What it then is: on 127.0.0.1:8815, with data in ./skein-data and no login. A port that is taken skips the test."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SKEIN")}

    def skein(*arguments: str) -> str:
        return subprocess.run([str(binary()), *arguments], cwd=tmp_path, env=clean, capture_output=True, text=True, check=True, timeout=60).stdout

    assert list(tmp_path.iterdir()) == []
    server = subprocess.Popen(
        [str(binary()), "serve"], cwd=tmp_path, env=clean, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        shown = ""
        assert server.stdout
        for line in server.stdout:
            shown += line
            if "polars" in line:
                break
        else:
            if server.wait(60) and "in use" in shown:
                pytest.skip("something else listens on port 8815 or 8816")
        assert "listening on grpc://127.0.0.1:8815" in shown, shown
        assert f"(file://{tmp_path}/skein-data/)" in shown, shown
        assert "http://127.0.0.1:8816/metrics" in shown and "login    none" in shown, shown
        # Nor does the command line need to be told where it is.
        assert skein("sql", "-F", "csv", "CREATE TABLE t AS SELECT 42 AS a; SELECT a FROM t").endswith("a\n42\n")
        assert skein("ls", "-F", "csv").count("\n") == 2
        with fl.FlightClient("grpc://127.0.0.1:8815") as client:
            assert client.do_get(fl.Ticket(b"SELECT a FROM t")).read_all().to_pylist() == [{"a": 42}]
        with urllib.request.urlopen("http://127.0.0.1:8816/readyz", timeout=10) as answer:
            assert answer.status == 200
        assert {path.name for path in tmp_path.iterdir()} == {"skein-data", "skein-data.key"}
    finally:
        server.terminate()
        code = server.wait(60)
    assert code == 0
    # The configuration that is shown says the same.
    printed = tomllib.loads(skein("config", "print"))
    assert (printed["server"]["listen"], printed["server"]["http_listen"]) == ("127.0.0.1:8815", "127.0.0.1:8816")
    assert (printed["storage"]["data"], printed["auth"]["mode"]) == ("./skein-data", "auto")


def test_sigterm_lets_streams_finish(tmp_path: Path) -> None:
    """Readiness goes off, the running stream comes to its end, the server ends with 0."""
    server = Server(tmp_path).start()
    with fl.FlightClient(server.url) as client:
        # More than fits into buffers on the way, so the stream lasts until it is read.
        reader = client.do_get(fl.Ticket(b"SELECT value FROM generate_series(1, 20000000)"))
        rows = reader.read_chunk().data.num_rows
        codes: list[int] = []
        stopper = threading.Thread(target=lambda: codes.append(server.stop()))
        stopper.start()
        deadline = time.monotonic() + 20
        while (status := server.http_status("/readyz")) != 503:
            assert status == 200 and time.monotonic() < deadline, "a server that drains says that it is not ready"
            time.sleep(0.02)
        try:
            while True:
                rows += reader.read_chunk().data.num_rows
        except StopIteration:
            pass
        stopper.join(60)
    assert rows == 20_000_000
    assert codes == [0]


def test_a_restart_keeps_everything(tmp_path: Path) -> None:
    server = Server(tmp_path)
    with server, skein_flight.connect(server.url) as connection:
        connection.ingest("t", data.every_type())
        connection.execute("CREATE VIEW v AS SELECT count(*) AS n FROM t")
    with server, skein_flight.connect(server.url) as connection:
        assert connection.sql("SELECT n FROM v").scalar() == 3
        assert data.same_rows(connection.sql("SELECT * FROM t").arrow(), data.every_type())
