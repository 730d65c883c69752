"""What a careless or hostile client sends over DoPut and ADBC. Each case: a clear error of the right code, nothing stored, and the
same connection goes on working. (Broken files are in test_files.py.)"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import adbc_driver_flightsql.dbapi
import adbc_driver_manager
import adbc_driver_manager.dbapi
import grpc
import pyarrow as pa
import pyarrow.flight as fl
import pyarrow.parquet as pq
import pytest
import skein_flight
from support import data, wire
from support.server import Server

Connection = adbc_driver_manager.dbapi.Connection
INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture
def channel(server: Server) -> Iterator[grpc.Channel]:
    """A bare gRPC channel, for frames that no library would send."""
    options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{server.port}", options) as channel:
        yield channel


def select(client: fl.FlightClient, query: str) -> list[dict]:
    info = client.get_flight_info(fl.FlightDescriptor.for_command(query))
    return pa.concat_tables(client.do_get(e.ticket).read_all() for e in info.endpoints).to_pylist()


def put(client: fl.FlightClient, name: str, rows: pa.Table) -> None:
    writer, results = client.do_put(fl.FlightDescriptor.for_path(name), rows.schema)
    with writer:
        writer.write_table(rows)
        writer.done_writing()
        while results.read() is not None:
            pass


def exists(client: fl.FlightClient, name: str) -> bool:
    literal = name.replace("'", "''")
    query = f"SELECT count(*) AS n FROM information_schema.tables WHERE table_name = '{literal}'"
    return select(client, query)[0]["n"] > 0


def refused(channel: grpc.Channel, frames: list[bytes], code: grpc.StatusCode = INVALID) -> str:
    """Sends frames, expects that code, and returns the message."""
    with pytest.raises(grpc.RpcError) as caught:
        wire.raw_do_put(channel, iter(frames))
    assert caught.value.code() == code, caught.value
    return caught.value.details()


# ---- names -----------------------------------------------------------------------------------------------------------

ODD_NAMES = [
    'with "quotes"', "with 'single'", "with.dots", "with/slashes", "..", "../../etc/passwd", ".", "back\\slash", " spaces ",
    "percent%2e%2e", "semi;colon", "DROP TABLE x; --", "select", "UPPER lower", "Ünï çødé", "🦢🦢", "a" * 255, "-", "1",
    "\u202eright-to-left", "e\u0301", "{json}", "$1", "?",
]  # fmt: skip


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_table_names_are_just_names(server: Server, flight: fl.FlightClient, adbc: Connection, name: str) -> None:
    put(flight, name, data.small(3))
    quoted = '"' + name.replace('"', '""') + '"'
    assert select(flight, f"SELECT count(*) AS n FROM {quoted}") == [{"n": 3}]
    assert flight.get_flight_info(fl.FlightDescriptor.for_path(name)).total_records == 3
    with adbc.cursor() as cursor:
        assert cursor.adbc_ingest(name, data.small(2), mode="append") == 2
    assert not list(server.folder.rglob("passwd")), "no name becomes a path"
    list(flight.do_action(fl.Action("dataset.drop", json_bytes(dataset=name))))
    assert not exists(flight, name)


BAD_NAMES = {
    "empty": [""],
    "NUL": ["a\0b"],
    "newline": ["a\nb"],
    "300 characters": ["a" * 300],
    "no part": [],
    "four parts": ["a", "b", "c", "d"],
    "another catalog": ["other", "public", "t"],
    "a reserved schema": ["system", "t"],
    "information_schema": ["information_schema", "t"],
}


@pytest.mark.parametrize("name", BAD_NAMES)
def test_impossible_table_names_are_refused(flight: fl.FlightClient, name: str) -> None:
    descriptor = fl.FlightDescriptor.for_path(*BAD_NAMES[name])
    writer, _ = flight.do_put(descriptor, data.small().schema)
    with pytest.raises((pa.ArrowInvalid, KeyError)) as caught:
        with writer:
            writer.write_table(data.small())
            writer.done_writing()
    assert "name" in str(caught.value) or "path" in str(caught.value) or "schema" in str(caught.value) or "catalog" in str(caught.value)
    assert select(flight, "SELECT 1 AS a") == [{"a": 1}]


ODD_COLUMNS = ["with \"quotes\"", "with.dots", "..", "a/b", "🦢", "x" * 300, "select", "A", "a", "$1", " "]


def test_odd_column_names(adbc: Connection, table: str) -> None:
    rows = pa.table({name: [n] for n, name in enumerate(ODD_COLUMNS)})
    with adbc.cursor() as cursor:
        cursor.adbc_ingest(table, rows, mode="create")
        cursor.execute(f"SELECT * FROM {table}")
        assert cursor.fetch_arrow_table().equals(rows)
        for n, name in enumerate(ODD_COLUMNS):
            quoted = '"' + name.replace('"', '""') + '"'
            cursor.execute(f"SELECT {quoted} FROM {table} WHERE {quoted} = ?", (n,))
            assert cursor.fetchall() == [(n,)]


BAD_COLUMNS = {
    "duplicate": (pa.table([[1], [2]], names=["a", "a"]), "'?a'?"),
    "empty": (pa.table([[1], [2]], names=["a", ""]), "(?i)empty|name"),
    "none": (pa.table({}), "(?i)column"),
    "NUL": (pa.table([[1]], names=["a\0b"]), "(?i)control|nul|character"),
}


@pytest.mark.parametrize("name", BAD_COLUMNS)
def test_bad_column_sets_are_refused(flight: fl.FlightClient, table: str, name: str) -> None:
    rows, text = BAD_COLUMNS[name]
    with pytest.raises(pa.ArrowInvalid, match=text):
        put(flight, table, rows)
    assert not exists(flight, table)


# ---- streams that break the rules ------------------------------------------------------------------------------------


def small_batch(rows: int = 5) -> pa.RecordBatch:
    return data.small(rows).to_batches()[0]


def test_another_schema_in_mid_stream(channel: grpc.Channel, flight: fl.FlightClient, table: str) -> None:
    other = pa.record_batch({"different": ["x"]})
    start = [wire.schema_frame(small_batch().schema, wire.path_descriptor(table)), wire.batch_frame(small_batch())]
    refused(channel, [*start, wire.schema_frame(other.schema, None), wire.batch_frame(other)])
    refused(channel, [*start, wire.batch_frame(other)])
    assert not exists(flight, table)


def test_batches_before_a_schema(channel: grpc.Channel, flight: fl.FlightClient, table: str) -> None:
    header, body = wire.ipc_parts(small_batch().serialize().to_pybytes())
    text = refused(channel, [wire.flight_data(header, body, wire.path_descriptor(table))])
    assert "schema" in text.lower()
    assert not exists(flight, table)


def test_no_message_at_all(channel: grpc.Channel) -> None:
    assert refused(channel, [])


def test_no_descriptor(channel: grpc.Channel) -> None:
    assert "descriptor" in refused(channel, [wire.schema_frame(small_batch().schema, None)]).lower()


def test_a_command_that_is_noise(channel: grpc.Channel) -> None:
    descriptor = wire.command_descriptor(b"\xff\xfe\x00noise")
    assert refused(channel, [wire.schema_frame(small_batch().schema, descriptor)])


HEADER, BODY = wire.ipc_parts(small_batch(1000).serialize().to_pybytes())
CORRUPT = {
    "truncated body": (HEADER, BODY[: len(BODY) // 2]),
    "no body": (HEADER, b""),
    "truncated header": (HEADER[: len(HEADER) // 2], BODY),
    "noise for a header": (bytes(range(256)), BODY),
    "flipped header": (HEADER[:20] + bytes(b ^ 0xFF for b in HEADER[20:40]) + HEADER[40:], BODY),
    "offsets beyond the data": (HEADER, BODY.replace((50).to_bytes(4, "little"), (2**30).to_bytes(4, "little"))),
    "text that is not UTF-8": (HEADER, BODY.replace(b"row ", b"\xff\xfe\xfd\xfc")),
}


@pytest.mark.parametrize("name", CORRUPT)
def test_corrupt_ipc(channel: grpc.Channel, flight: fl.FlightClient, table: str, name: str) -> None:
    header, body = CORRUPT[name]
    start = [wire.schema_frame(small_batch().schema, wire.path_descriptor(table)), wire.batch_frame(small_batch())]
    assert refused(channel, [*start, wire.flight_data(header, body)])
    assert not exists(flight, table)
    assert wire.raw_do_put(channel, iter(start)), "the same channel goes on working"
    assert select(flight, f"SELECT count(*) AS n FROM {table}") == [{"n": 5}]


@pytest.mark.parametrize("at", range(8, 200, 24))
def test_a_flipped_byte_in_the_schema_never_panics(channel: grpc.Channel, flight: fl.FlightClient, table: str, at: int) -> None:
    header, _ = wire.ipc_parts(small_batch().schema.serialize().to_pybytes())
    broken = header[:at] + bytes([header[at] ^ 0xFF]) + header[at + 1 :]
    frames = [wire.flight_data(broken, descriptor=wire.path_descriptor(table)), wire.batch_frame(small_batch())]
    try:
        wire.raw_do_put(channel, iter(frames))
    except grpc.RpcError as error:
        assert error.code() == INVALID, error
        assert not exists(flight, table)
    assert select(flight, "SELECT 1 AS a") == [{"a": 1}]


def test_null_in_a_column_without_nulls(flight: fl.FlightClient, channel: grpc.Channel, table: str) -> None:
    schema = pa.schema([pa.field("id", pa.int64(), nullable=False)])
    put(flight, table, pa.table({"id": [1, 2]}, schema=schema))
    with_null = pa.record_batch({"id": pa.array([3, None], pa.int64())})
    frames = [wire.schema_frame(schema, wire.path_descriptor(table)), wire.batch_frame(with_null)]
    text = refused(channel, frames)
    assert "id" in text and "null" in text.lower()
    assert select(flight, f"SELECT count(*) AS n FROM {table}") == [{"n": 2}]
    with pytest.raises(pa.ArrowInvalid, match="(?i)null"):
        put(flight, table, pa.table({"id": pa.array([3, None], pa.int64())}))
    assert select(flight, f"SELECT count(*) AS n FROM {table}") == [{"n": 2}]


def test_garbage_requests(channel: grpc.Channel, flight: fl.FlightClient) -> None:
    for method in ("GetFlightInfo", "GetSchema"):
        call = channel.unary_unary(wire.SERVICE + method)
        for body in (b"\xff\xff\xff", wire.command_descriptor(b""), b"", wire.command_descriptor(b"\x00")):
            with pytest.raises(grpc.RpcError) as caught:
                call(body, timeout=30)
            assert caught.value.code() in (INVALID, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNIMPLEMENTED), caught.value
    for body in (b"", wire.field(1, b"\xff" * 100), wire.field(1, b"")):
        with pytest.raises(grpc.RpcError) as caught:
            list(channel.unary_stream(wire.SERVICE + "DoGet")(body, timeout=30))
        assert caught.value.code() in (INVALID, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
    assert select(flight, "SELECT 1 AS a") == [{"a": 1}]


def test_deep_nesting_in_sql(adbc: Connection) -> None:
    for query in ("SELECT " + "(" * 5000 + "1" + ")" * 5000, "SELECT " + " + ".join(["1"] * 20_000), "SELECT " + "-" * 5001 + "1"):
        try:
            with adbc.cursor() as cursor:
                cursor.execute(query)
                cursor.fetchall()
        except adbc_driver_manager.Error as error:
            assert "Unavailable" not in str(error), "the server died"
    with adbc.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


@pytest.mark.parametrize(
    "sql",
    [
        "select 1 where " + " or ".join(f"{i} = 1" for i in range(1400)),
        "select 1 where " + " or ".join(f"{i} = 1" for i in range(10_000)),
        "select " + "(" * 10_000 + "1" + ")" * 10_000,
        "select 1" + "::int" * 1400,
        "select " + "not " * 9000 + "true",
        "select a" + "[1]" * 10_000,
        "select 1" + " union all select 1" * 900,
        "with c0 as (select 1 a), "
        + ", ".join(f"c{i} as (select a from c{i - 1} union all select a from c{i - 1})" for i in range(1, 40))
        + " select * from c39",
        "select '" + "x" * 10_000_000 + "'",
        "select array_repeat(1, 100000000000)",
    ],
    ids=["or", "more or", "parentheses", "casts", "nots", "indexes", "unions", "doubling", "10 MB", "allocation"],
)  # fmt: skip
def test_a_large_statement_does_not_end_the_server(server: Server, adbc: Connection, sql: str) -> None:
    try:
        with adbc.cursor() as cursor:
            cursor.execute(sql)
            cursor.fetchall()
    except adbc_driver_manager.Error as error:
        assert "INTERNAL" not in str(error) or "ResourceExhausted" in str(error), error
    assert server.running()
    with adbc.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


def test_text_that_is_no_statement_is_named(flight: fl.FlightClient) -> None:
    with pytest.raises(Exception, match="no statement starts with 'SELEC'"):
        flight.do_get(fl.Ticket(b"SELEC 1")).read_all()


# ---- values at the edge ----------------------------------------------------------------------------------------------

DAY_MAX, DAY_MIN = 2**31 - 1, -(2**31)
EXTREMES = pa.table(
    {
        "f64": pa.array([float("nan"), float("inf"), float("-inf"), -0.0, 5e-324, 1.7976931348623157e308]),
        "f32": pa.array([float("nan"), float("inf"), float("-inf"), -0.0, 1e-45, 3.4028235e38], pa.float32()),
        "dec": pa.array([Decimal("9" * 38), Decimal("-" + "9" * 38), Decimal(0), Decimal(1), None, None], pa.decimal128(38, 0)),
        "frac": pa.array([Decimal("0." + "9" * 38), Decimal("-0." + "9" * 38), None, None, None, None], pa.decimal128(38, 38)),
        "day": pa.array([DAY_MAX, DAY_MIN, 0, None, None, None], pa.int32()).cast(pa.date32()),
        "when": pa.array([2**63 - 1, -(2**63), 0, None, None, None], pa.int64()).cast(pa.timestamp("us")),
        "nano": pa.array([2**63 - 1, -(2**63), 0, None, None, None], pa.int64()).cast(pa.timestamp("ns")),
        "text": pa.array(["", "\0", "\U0010ffff", "x" * 70_000, "a\nb", None]),
    }
)


def raw_columns(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    """Columns in their integer form where Python has no value for them."""
    kinds = {"day": pa.int32(), "when": pa.int64(), "nano": pa.int64()}
    return {name: table[name].cast(kinds[name]) if name in kinds else table[name] for name in table.column_names}


def test_extreme_values_survive(adbc: Connection, table: str) -> None:
    with adbc.cursor() as cursor:
        cursor.adbc_ingest(table, EXTREMES, mode="create")
        cursor.execute(f"SELECT * FROM {table}")
        got = raw_columns(cursor.fetch_arrow_table())
    for name, expected in raw_columns(EXTREMES).items():
        left, right = got[name].to_pylist(), expected.to_pylist()
        assert repr(left) == repr(right), name


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("f64 = 'inf'", 1), ("f64 < 0", 1), ("f64 = 0", 1), ("f64 > 1e308 AND f64 < 'inf'", 1), ("isnan(f64)", 1), ("f32 = '-inf'", 1),
        (f"dec = CAST('{'9' * 38}' AS DECIMAL(38, 0))", 1), ("dec < 0", 1), ("day > DATE '2000-01-01'", 1), ("text = ''", 1), ("length(text) = 70000", 1),
        ("dec IS NULL", 2), ("text IS NULL", 1),
    ],
)  # fmt: skip
def test_statistics_of_extreme_values_lose_no_row(adbc: Connection, table: str, condition: str, rows: int) -> None:
    """Files are skipped by their minimum and maximum; NaN, infinities and cut-off text must not lead that astray."""
    with adbc.cursor() as cursor:
        cursor.adbc_ingest(table, EXTREMES, mode="create")
        cursor.execute(f"SELECT count(*) FROM {table} WHERE {condition}")
        assert cursor.fetchone() == (rows,)


# ---- sizes -----------------------------------------------------------------------------------------------------------


def test_ten_thousand_columns(adbc: Connection, table: str) -> None:
    rows = pa.table({f"c{n}": pa.array([n, n + 1, None], pa.int32()) for n in range(10_000)})
    with adbc.cursor() as cursor:
        assert cursor.adbc_ingest(table, rows, mode="create") == 3
        cursor.execute(f"SELECT c0, c9999 FROM {table} ORDER BY c0")
        assert cursor.fetchall() == [(0, 9999), (1, 10_000), (None, None)]
        cursor.execute(f"SELECT * FROM {table}")
        assert cursor.fetch_arrow_table().num_columns == 10_000


def test_a_string_of_200_megabytes(adbc: Connection, table: str) -> None:
    big = "x" * (200 << 20)
    with adbc.cursor() as cursor:
        cursor.adbc_ingest(table, pa.table({"s": pa.array([big], pa.large_string())}), mode="create")
        cursor.execute(f"SELECT length(s), s FROM {table}")
        got = cursor.fetch_arrow_table()
    assert got.column(0).to_pylist() == [len(big)]
    assert got.column(1)[0].as_py() == big


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes messages of 8 MiB at most."""
    env = {"SKEIN__SERVER__MAX_MESSAGE_SIZE": "8MiB"}
    with Server(tmp_path_factory.mktemp("strict"), env) as server:
        yield server


def test_a_message_over_the_limit(strict: Server, table: str) -> None:
    big = pa.table({"s": ["x" * (10 << 20)]})
    with fl.FlightClient(strict.url) as client:
        with pytest.raises(pa.ArrowException, match="(?i)larg|limit|size|exceed"):
            put(client, table, big)
        assert not exists(client, table)
        put(client, table, data.small(3))
        assert select(client, f"SELECT count(*) AS n FROM {table}") == [{"n": 3}]


def test_a_result_over_the_limit_is_split_or_refused(strict: Server, table: str) -> None:
    """Rows are split over messages; what cannot be split is refused with the limit's name, not cut short."""
    with fl.FlightClient(strict.url) as client:
        rows = select(client, "SELECT repeat('x', 1048576) AS s FROM generate_series(1, 40)")
        assert [len(row["s"]) for row in rows] == [1 << 20] * 40
        try:
            (row,) = select(client, "SELECT repeat('x', 20971520) AS s")
            assert len(row["s"]) == 20 << 20
        except pa.ArrowException as error:
            assert "max_message_size" in str(error)
        assert select(client, "SELECT 1 AS a") == [{"a": 1}]


# ---- clients that go away --------------------------------------------------------------------------------------------

VANISH = """
import os, sys, pyarrow as pa, pyarrow.flight as fl
client = fl.FlightClient(sys.argv[1])
batch = pa.record_batch({"id": pa.array(range(200_000), pa.int64())})
writer, _ = client.do_put(fl.FlightDescriptor.for_path(sys.argv[2]), batch.schema)
for _ in range(20):
    writer.write_batch(batch)
print("sent", flush=True)
os._exit(1)
"""


def test_a_client_that_disappears_leaves_nothing(strict: Server, table: str) -> None:
    server, flight = strict, fl.FlightClient(strict.url)
    run = subprocess.run([sys.executable, "-c", VANISH, server.url, table], capture_output=True, timeout=60, check=False)
    assert run.stdout.strip() == b"sent", run.stderr
    time.sleep(0.5)
    assert not exists(flight, table)
    assert no_findings(flight), "an abandoned ingest leaves no files behind"


def test_a_client_that_disappears_leaves_what_was_there(server: Server, flight: fl.FlightClient, table: str) -> None:
    put(flight, table, pa.table({"id": [1, 2, 3]}))
    subprocess.run([sys.executable, "-c", VANISH, server.url, table], capture_output=True, timeout=60, check=False)
    time.sleep(0.5)
    assert select(flight, f"SELECT count(*) AS n FROM {table}") == [{"n": 3}]


def test_a_cancelled_put(channel: grpc.Channel, flight: fl.FlightClient, table: str) -> None:
    def frames() -> Iterator[bytes]:
        yield wire.schema_frame(small_batch().schema, wire.path_descriptor(table))
        while True:
            yield wire.batch_frame(small_batch(1000))
            time.sleep(0.01)

    call = channel.stream_stream(wire.SERVICE + "DoPut")(frames())
    time.sleep(0.5)
    call.cancel()
    time.sleep(0.5)
    assert not exists(flight, table)


def test_a_reader_that_disappears_ends_its_query(server: Server, flight: fl.FlightClient) -> None:
    code = """
import os, sys, pyarrow.flight as fl
client = fl.FlightClient(sys.argv[1])
query = "SELECT a.value AS gone FROM generate_series(1, 100000) a, generate_series(1, 100000) b"
info = client.get_flight_info(fl.FlightDescriptor.for_command(query))
client.do_get(info.endpoints[0].ticket).read_chunk()
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", code, server.url], timeout=60, check=True)
    deadline = time.monotonic() + 20
    query = "SELECT count(*) AS n FROM system.queries WHERE sql LIKE '%AS gone FROM%' AND state = 'running' AND sql NOT LIKE '%system.queries%'"
    while select(flight, query) != [{"n": 0}]:
        assert time.monotonic() < deadline, "the query still runs"
        time.sleep(0.2)


def no_findings(client: fl.FlightClient) -> bool:
    import json

    deadline = time.monotonic() + 10
    while True:
        (answer,) = client.do_action("dataset.verify")
        if json.loads(answer.body.to_pybytes())["findings"] == []:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)


def json_bytes(**values: object) -> bytes:
    import json

    return json.dumps(values).encode()


# ---- a server in trouble ---------------------------------------------------------------------------------------------


def test_a_crash_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    server = Server(tmp_path).start()
    try:
        with adbc_driver_flightsql.dbapi.connect(server.url, autocommit=True) as connection:
            with connection.cursor() as cursor:
                cursor.adbc_ingest("kept", data.small(100), mode="create")
    finally:
        server.kill()
    with server, adbc_driver_flightsql.dbapi.connect(server.url, autocommit=True) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM kept")
            assert cursor.fetchone() == (100,)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with 24 MB of room."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk(tiny_disk: Path, tmp_path: Path) -> None:
    import random

    noise = pa.table({"b": [random.Random(n).randbytes(1 << 20) for n in range(40)]})
    server = Server(tmp_path / "server")
    server.data = tiny_disk
    with server, fl.FlightClient(server.url) as client:
        put(client, "before", data.small(10))
        with pytest.raises(pa.ArrowException, match="(?i)space|full|storage"):
            put(client, "too_big", noise)
        assert not exists(client, "too_big")
        put(client, "after", data.small(10))
        assert select(client, "SELECT count(*) AS n FROM after") == [{"n": 10}]


def test_a_disk_that_takes_no_more(tmp_path: Path) -> None:
    """As a full disk, without the right to mount one: no file of the server's may grow beyond 4 MB."""
    import random
    import resource

    noise = pa.table({"n": range(20), "b": [random.Random(n).randbytes(1 << 20) for n in range(20)]})
    file = tmp_path / "noise.parquet"
    pq.write_table(noise, file)
    full = "(?s)ResourceExhausted|RESOURCE_EXHAUSTED|resource exhausted"
    server = Server(tmp_path / "server", survive_file_limit=True)
    with server, skein_flight.connect(server.url) as skein:
        skein.ingest("kept", noise)
        def data_files() -> set[Path]:
            return {path for path in server.data.glob("tables/*/data/*") if path.is_file()}

        before = data_files()
        unlimited = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (4 << 20, unlimited[1]))
        attempts = {
            "by_adbc": lambda: skein.ingest("by_adbc", noise),
            "by_put": lambda: put(skein.flight, "by_put", noise),
            "by_file": lambda: skein.ingest_file(file, "by_file"),
            "by_ctas": lambda: skein.execute("CREATE TABLE by_ctas AS SELECT * FROM kept"),
            "copied": lambda: skein.execute("COPY (SELECT * FROM kept) TO 'copies/a.parquet' STORED AS PARQUET"),
        }
        for name, attempt in attempts.items():
            with pytest.raises(Exception, match="(?i)too large|used up|limit|full") as caught:
                attempt()
            cause = caught.value.__cause__ or caught.value
            assert re.search(full, repr(cause)), f"{name}: {cause!r}"
            assert not exists(skein.flight, name)
        # Nor is there any of their data left. (What was begun of a table that nothing names is for dataset.gc.)
        findings = skein.action("dataset.verify", {"deep": True})["findings"]
        assert {finding["kind"] for finding in findings} <= {"orphan"}, findings
        assert data_files() == before
        assert not [path for path in (server.data / "copies").rglob("*") if path.is_file()]
        # Reading goes on, and so does writing what fits.
        assert skein.sql("SELECT count(*) FROM kept").scalar() == 20
        assert skein.ingest("small", data.small(10)) == 10
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, unlimited)
        for name in ("by_adbc", "by_put", "by_file", "by_ctas"):
            attempts[name]()
            assert skein.sql(f"SELECT count(*) FROM {name}").scalar() == 20
    assert "panicked at" not in server.log()


def test_a_bucket_out_of_reach(tmp_path: Path) -> None:
    config = tmp_path / "skein.toml"
    config.write_text(f"""
[storage.buckets.here]
url = "file://{tmp_path}/here"

[storage.buckets.far]
url = "s3://nowhere/skein"
[storage.buckets.far.options]
endpoint = "http://127.0.0.1:1"
allow_http = true
access_key_id = "x"
secret_access_key = "y"
region = "us-east-1"
""")
    with Server(tmp_path, args=["--config", str(config)]) as server, fl.FlightClient(server.url) as client:
        put(client, "here", data.small(10))
        assert select(client, "SELECT count(*) AS n FROM here") == [{"n": 10}]
        (far,) = select(client, "SELECT * FROM system.buckets WHERE name = 'far'")
        assert far["writable"] is False
