"""Results in several endpoints, message encodings and session options, as Python clients ask for them."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import adbc_driver_flightsql
import adbc_driver_flightsql.dbapi
import adbc_driver_manager
import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.flight as fl
import pytest
from adbc_driver_manager.dbapi import Connection
from support import wire
from support.server import Server
from support.stores import Gate
from support.wire import field

ROWS = 60_000
HEADER = adbc_driver_flightsql.DatabaseOptions.RPC_CALL_HEADER_PREFIX.value

READ_ELSEWHERE = """
import base64, json, sys
import adbc_driver_flightsql.dbapi
url, partition = sys.argv[1], base64.b64decode(sys.argv[2])
with adbc_driver_flightsql.dbapi.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
    cursor.adbc_read_partition(partition)
    print(json.dumps(cursor.fetch_arrow_table().column("a").to_pylist()))
"""


@pytest.fixture(scope="module")
def parts(server: Server) -> str:
    """A table of three files."""
    with adbc_driver_flightsql.dbapi.connect(server.url, autocommit=True) as connection, connection.cursor() as cursor:
        for start in range(0, ROWS, ROWS // 3):
            numbers = range(start, start + ROWS // 3)
            rows = pa.table({"a": list(numbers), "s": [f"row {n}" for n in numbers]})
            cursor.adbc_ingest("in_parts", rows, mode="create_append")
    return "in_parts"


def connect(server: Server, **headers: str) -> Connection:
    options = {f"{HEADER}x-skein-{name}": value for name, value in headers.items()}
    return adbc_driver_flightsql.dbapi.connect(server.url, db_kwargs=options, autocommit=True)


def test_partitions_are_read_by_other_processes(server: Server, parts: str) -> None:
    with connect(server, partitions="3") as connection, connection.cursor() as cursor:
        partitions, schema = cursor.adbc_execute_partitions(f"SELECT a FROM {parts}")
        assert len(partitions) == 3 and schema.names == ["a"]
        # What comes later is in none of them.
        cursor.execute(f"INSERT INTO {parts} VALUES (-1, 'late')")

    def read(partition: bytes) -> list[int]:
        arguments = [sys.executable, "-c", READ_ELSEWHERE, server.url, base64.b64encode(partition).decode()]
        return json.loads(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout)

    with ThreadPoolExecutor(3) as pool:
        read_rows = list(pool.map(read, partitions))
    assert all(read_rows), "a partition is empty"
    assert sum(read_rows, []) == list(range(ROWS))


def test_adbc_reads_all_endpoints_in_order(server: Server, parts: str) -> None:
    with connect(server, partitions="3") as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT a FROM {parts} WHERE a >= ?", (10,))
        assert cursor.fetch_arrow_table().column("a").to_pylist() == list(range(10, ROWS))


def test_adbc_polls_a_long_query(server: Server, parts: str) -> None:
    with connect(server) as connection, connection.cursor() as cursor:
        statement = cursor.adbc_statement
        statement.set_options(**{adbc_driver_manager.StatementOptions.INCREMENTAL.value: "true"})
        sql = f"SELECT count(*) AS n FROM {parts} AS x, {parts} AS y WHERE x.a % 2000 = y.a % 2000 AND x.a >= 0 AND y.a >= 0"
        statement.set_sql_query(sql)
        found: list[bytes] = []
        while True:
            partitions, _, _ = statement.execute_partitions()
            found += partitions
            if not partitions:
                break
        assert len(found) == 1
        cursor.adbc_read_partition(found[0])
        assert cursor.fetch_arrow_table().to_pylist() == [{"n": ROWS * 30}]


def test_adbc_polls_for_one_partition_after_the_other(server: Server, table: str) -> None:
    rows, files = 1 << 17, 3
    rng = np.random.default_rng(11)
    with connect(server, partitions=str(files)) as connection, connection.cursor() as cursor:
        # Numbers that do not compress: 1 MiB each, more than is read at once.
        numbers = [rng.integers(0, 2**62, rows) for _ in range(files)]
        for some in numbers:
            cursor.adbc_ingest(table, pa.table({"n": some}), mode="create_append")
        statement = cursor.adbc_statement
        statement.set_options(**{adbc_driver_manager.StatementOptions.INCREMENTAL.value: "true"})
        # What takes time for each row.
        statement.set_sql_query(f"SELECT n FROM {table} WHERE n % 3 = 0 AND sha512(repeat(cast(n AS varchar), 9)) IS NOT NULL")
        found: list[bytes] = []
        read: list[int] = []
        while True:
            partitions, _, _ = statement.execute_partitions()
            if not partitions:
                break
            for partition in partitions:
                with connection.cursor() as reader:
                    reader.adbc_read_partition(partition)
                    read += reader.fetch_arrow_table().column("n").to_pylist()
            found += partitions
        assert len(found) == files
        whole = np.concatenate(numbers)
        assert read == whole[whole % 3 == 0].tolist()


def test_pyarrow_asks_by_header(flight: fl.FlightClient, parts: str) -> None:
    descriptor = fl.FlightDescriptor.for_path(parts)
    assert len(flight.get_flight_info(descriptor).endpoints) == 1, "one, for programs that read the first only"
    options = fl.FlightCallOptions(headers=[(b"x-skein-partitions", b"4")])
    info = flight.get_flight_info(descriptor, options)
    assert len(info.endpoints) > 1 and info.ordered and info.total_records >= ROWS
    read = [flight.do_get(endpoint.ticket).read_all() for endpoint in info.endpoints]
    table = pa.concat_tables(read)
    assert table.num_rows == info.total_records
    assert table.filter(pa.compute.greater_equal(table.column("a"), 0)).column("a").to_pylist() == list(range(ROWS))


def test_a_bad_header_says_what_would_be_right(flight: fl.FlightClient, parts: str) -> None:
    options = fl.FlightCallOptions(headers=[(b"x-skein-compression", b"gzip")])
    with pytest.raises(pa.ArrowInvalid, match="none, lz4 or zstd"):
        flight.get_flight_info(fl.FlightDescriptor.for_path(parts), options)


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
@pytest.mark.parametrize("encoding", ["default", "fast"])
def test_encodings_arrive_as_announced(server: Server, parts: str, compression: str, encoding: str) -> None:
    headers = {"compression": compression, "encoding": encoding, "message-rows": "1000"}
    with connect(server, **headers) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT s, a FROM {parts} WHERE a >= 0 ORDER BY a")
        reader = cursor.fetch_record_batch()
        assert reader.schema.field("s").type == (pa.string_view() if encoding == "fast" else pa.string())
        table = reader.read_all()
        assert max(chunk.num_rows for chunk in table.to_batches()) <= 1000
    assert table.column("a").to_pylist() == list(range(ROWS))
    assert table.column("s").to_pylist() == [f"row {n}" for n in range(ROWS)]


def test_compressed_bodies_are_smaller(server: Server, parts: str) -> None:
    ticket = fl.Ticket(f"SELECT s FROM {parts} WHERE a >= 0 ORDER BY a".encode())
    sent = {}
    for compression in ("none", "lz4", "zstd"):
        options = fl.FlightCallOptions(headers=[(b"x-skein-compression", compression.encode())])
        with Gate(server.port) as gate, fl.FlightClient(gate.endpoint.replace("http", "grpc")) as client:
            table = client.do_get(ticket, options).read_all()
            sent[compression] = gate.answered
        assert table.column("s").to_pylist() == [f"row {n}" for n in range(ROWS)]
    body = table.nbytes
    assert body < sent["none"] < 1.1 * body, "as it is in memory, and little besides"
    assert sent["zstd"] < sent["lz4"] < 0.8 * sent["none"], sent


def set_options(flight: fl.FlightClient, options: dict[str, bytes]) -> dict[str, int]:
    """SetSessionOptions with values as SessionOptionValue messages; the errors, by option."""
    body = b"".join(field(1, field(1, name) + field(2, value)) for name, value in options.items())
    (answer,) = flight.do_action(fl.Action("SetSessionOptions", body))
    errors = {}
    for entry in wire.fields(answer.body.to_pybytes()).get(1, []):
        parsed = wire.fields(entry)
        errors[parsed[1][0].decode()] = wire.fields(parsed[2][0])[1][0]
    return errors


def test_each_session_option_is_answered_for(flight: fl.FlightClient) -> None:
    invalid_name, invalid_value, error = 1, 2, 3
    errors = set_options(
        flight,
        {
            "timezone": field(1, "Europe/Berlin"),
            "partitions": field(1, "2"),
            "encoding": field(1, "quick"),
            "catalog": field(1, "elsewhere"),
            "colour": field(1, "red"),
            "datafusion.execution.batch_size": field(1, "no number"),
            "datafusion.catalog.location": field(1, "/"),
        },
    )
    assert errors == {
        "encoding": invalid_value,
        "catalog": invalid_value,
        "colour": invalid_name,
        "datafusion.execution.batch_size": invalid_value,
        "datafusion.catalog.location": error,
    }
    (answer,) = flight.do_action(fl.Action("GetSessionOptions", b""))
    assert b"Europe/Berlin" in answer.body.to_pybytes()
    # A value that is not there unsets the option.
    assert set_options(flight, {"timezone": b"", "partitions": b""}) == {}
    (answer,) = flight.do_action(fl.Action("GetSessionOptions", b""))
    assert b"Europe/Berlin" not in answer.body.to_pybytes()


def test_adbc_sets_session_options(server: Server, parts: str) -> None:
    with connect(server) as connection:
        prefix = adbc_driver_flightsql.ConnectionOptions.OPTION_SESSION_OPTION_PREFIX.value
        connection.adbc_connection.set_options(**{f"{prefix}partitions": "3"})
        with connection.cursor() as cursor:
            partitions, _ = cursor.adbc_execute_partitions(f"SELECT a FROM {parts}")
            assert len(partitions) == 3
        with pytest.raises(adbc_driver_manager.Error):
            connection.adbc_connection.set_options(**{f"{prefix}partitions": "many"})


def test_a_large_table_is_divided_for_adbc_unasked(server: Server, flight: fl.FlightClient, table: str) -> None:
    rng = np.random.default_rng(7)
    with connect(server) as connection, connection.cursor() as cursor:
        sums = []
        for _ in range(3):
            # Numbers that do not compress: 32 MiB each.
            numbers = rng.integers(-(2**62), 2**62, 1 << 22)
            sums.append(int(numbers.sum(dtype=np.int64)))
            rows = pa.table({"n": numbers})
            reader = pa.RecordBatchReader.from_batches(rows.schema, rows.to_batches(max_chunksize=1 << 18))
            cursor.adbc_ingest(table, reader, mode="create_append")
        partitions, _ = cursor.adbc_execute_partitions(f"SELECT n FROM {table}")
        assert len(partitions) == 3
        cursor.execute(f"SELECT n FROM {table}")
        whole = cursor.fetch_arrow_table().column("n")
        ends = [int(np.asarray(whole[start : start + (1 << 22)]).sum(dtype=np.int64)) for start in range(0, 3 << 22, 1 << 22)]
        assert len(whole) == 3 << 22 and ends == sums, "every row, in the order they came in"
        # A look-up is one plan.
        assert len(cursor.adbc_execute_partitions(f"SELECT n FROM {table} WHERE n = 1")[0]) == 1
    assert len(flight.get_flight_info(fl.FlightDescriptor.for_path(table)).endpoints) == 1


def test_sql_sets_how_rows_are_sent(server: Server, parts: str) -> None:
    with connect(server) as connection, connection.cursor() as cursor:
        for option, value in [("compression", "zstd"), ("message_bytes", "65536"), ("partitions", "2")]:
            cursor.execute(f"SET {option} = '{value}'")
            cursor.execute(f"SHOW {option}")
            assert cursor.fetchall() == [(option, value)]
        assert len(cursor.adbc_execute_partitions(f"SELECT s FROM {parts}")[0]) == 2
        with pytest.raises(adbc_driver_manager.Error, match="none, lz4 or zstd"):
            cursor.execute("SET compression = 'brotli'")


def test_messages_are_as_large_as_asked_for(server: Server, parts: str) -> None:
    messages = {}
    with connect(server) as connection, connection.cursor() as cursor:
        for most in (65_536, 262_144):
            cursor.execute(f"SET message_bytes = {most}")
            cursor.execute(f"SELECT a, a + 1 AS b, a + 2 AS c, a + 3 AS d FROM {parts} WHERE a >= 0 ORDER BY a")
            batches = list(cursor.fetch_record_batch())
            assert pa.Table.from_batches(batches).column("d").to_pylist() == list(range(3, ROWS + 3))
            messages[most] = [batch.num_rows * 4 * 8 for batch in batches]
            assert max(messages[most]) <= most, messages
    # The engine makes batches of 8192 rows, 256 KiB here: those are sent whole, or in four parts.
    assert len(messages[65_536]) > 3 * len(messages[262_144]), messages


def test_dictionaries_are_passed_on(server: Server) -> None:
    for encoding in ["default", "fast"]:
        with connect(server, encoding=encoding) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT arrow_cast('x', 'Dictionary(Int32, Utf8)') AS d")
            column = cursor.fetch_arrow_table().column("d")
            assert column.type == pa.dictionary(pa.int32(), pa.string()) and column.to_pylist() == ["x"]
