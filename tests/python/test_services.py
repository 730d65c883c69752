"""What is there besides Flight: health, reflection, metrics, and a stop that waits."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import grpc
import pyarrow.flight as fl
import pytest
import skein_flight
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from support import data
from support.server import Server


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
    query = f"SELECT * FROM {table} WHERE id < 4"
    skein.sql(query).arrow()
    (row,) = skein.sql("SELECT * FROM system.queries WHERE sql = ?", [query]).arrow().to_pylist()
    assert row["rows"] == 4 and row["principal"]
    assert row["state"] in ("done", "finished", "succeeded", "ok")


def test_sigterm_lets_streams_finish(tmp_path: Path) -> None:
    """Readiness goes off, the running stream comes to its end, the server ends with 0."""
    server = Server(tmp_path).start()
    with fl.FlightClient(server.url) as client:
        reader = client.do_get(fl.Ticket(b"SELECT value FROM generate_series(1, 3000000)"))
        rows = reader.read_chunk().data.num_rows
        codes: list[int] = []
        stopper = threading.Thread(target=lambda: codes.append(server.stop()))
        stopper.start()
        time.sleep(0.5)
        assert server.http_status("/readyz") in (0, 503)
        try:
            while True:
                rows += reader.read_chunk().data.num_rows
        except StopIteration:
            pass
        stopper.join(60)
    assert rows == 3_000_000
    assert codes == [0]


def test_a_restart_keeps_everything(tmp_path: Path) -> None:
    server = Server(tmp_path)
    with server, skein_flight.connect(server.url) as connection:
        connection.ingest("t", data.every_type())
        connection.execute("CREATE VIEW v AS SELECT count(*) AS n FROM t")
    with server, skein_flight.connect(server.url) as connection:
        assert connection.sql("SELECT n FROM v").scalar() == 3
        assert data.same_rows(connection.sql("SELECT * FROM t").arrow(), data.every_type())
