"""pyarrow.flight without any Flight SQL library: bare text, PATH descriptors, hand-made commands, actions."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.flight as fl
import pytest
from support import data, wire
from support.server import Server
from support.wire import field


def read(client: fl.FlightClient, descriptor: fl.FlightDescriptor) -> pa.Table:
    """All endpoints of a flight, in order; the schema must be the one that was announced."""
    info = client.get_flight_info(descriptor)
    tables = []
    for endpoint in info.endpoints:
        table = client.do_get(endpoint.ticket).read_all()
        assert table.schema.equals(info.schema, check_metadata=True)
        tables.append(table)
    return pa.concat_tables(tables)


def put(client: fl.FlightClient, descriptor: fl.FlightDescriptor, table: pa.Table) -> list[dict]:
    """Sends a table; the metadata messages that came back."""
    writer, results = client.do_put(descriptor, table.schema)
    with writer:
        writer.write_table(table)
        writer.done_writing()
        messages = []
        while (message := results.read()) is not None:
            messages.append(json.loads(message.to_pybytes()))
    return messages


def put_update(client: fl.FlightClient, descriptor: fl.FlightDescriptor) -> int:
    """Runs an update command; the affected rows."""
    writer, results = client.do_put(descriptor, pa.schema([]))
    with writer:
        writer.done_writing()
        return wire.signed(wire.fields(results.read().to_pybytes()).get(1, [0])[0])


def sql(client: fl.FlightClient, text: str) -> pa.Table:
    return read(client, fl.FlightDescriptor.for_command(text))


# ---- SQL as bare text ------------------------------------------------------------------------------------------------


def test_bare_sql_as_command(flight: fl.FlightClient) -> None:
    assert sql(flight, "SELECT 1 AS one, 'x' AS letter").to_pylist() == [{"one": 1, "letter": "x"}]


def test_bare_sql_as_ticket(flight: fl.FlightClient) -> None:
    table = flight.do_get(fl.Ticket(b"SELECT 41 + 1 AS answer")).read_all()
    assert table.to_pylist() == [{"answer": 42}]


def test_a_forged_ticket_is_refused(flight: fl.FlightClient) -> None:
    info = flight.get_flight_info(fl.FlightDescriptor.for_command("SELECT 1"))
    ticket = bytearray(info.endpoints[0].ticket.ticket)
    ticket[-1] ^= 1
    with pytest.raises((pa.ArrowException, pa.ArrowInvalid)) as caught:
        flight.do_get(fl.Ticket(bytes(ticket))).read_all()
    assert "ticket" in str(caught.value).lower()
    assert sql(flight, "SELECT 1 AS a").num_rows == 1


def test_syntax_error_says_where(flight: fl.FlightClient) -> None:
    with pytest.raises(pa.ArrowInvalid, match="(?i)line: 1, column: 1[0-9]"):
        flight.get_flight_info(fl.FlightDescriptor.for_command("SELECT 1 AS , 2"))
    with pytest.raises(pa.ArrowInvalid, match="SELEC"):
        flight.get_flight_info(wire.command("CommandStatementQuery", field(1, "SELEC 1")))


def test_empty_sql(flight: fl.FlightClient) -> None:
    for text in (None, " ", "-- nothing", ";"):
        with pytest.raises(pa.ArrowInvalid, match="(?i)empty|no statement|statement"):
            flight.get_flight_info(wire.command("CommandStatementQuery", field(1, text)))


def test_a_bare_name_is_a_table(flight: fl.FlightClient, table: str) -> None:
    put(flight, fl.FlightDescriptor.for_path(table), data.small(3))
    assert flight.do_get(fl.Ticket(table.encode())).read_all().num_rows == 3


def test_a_ticket_serves_more_than_one_reader(flight: fl.FlightClient) -> None:
    info = flight.get_flight_info(fl.FlightDescriptor.for_command("SELECT * FROM generate_series(1, 10)"))
    first, second = (flight.do_get(info.endpoints[0].ticket).read_all() for _ in range(2))
    assert first.equals(second) and first.num_rows == 10


# ---- whole datasets by PATH ------------------------------------------------------------------------------------------


def test_put_reports_progress_and_version(flight: fl.FlightClient, table: str) -> None:
    path = fl.FlightDescriptor.for_path(table)
    rows = data.small(1000)
    messages = put(flight, path, rows)
    last = messages[-1]
    assert last["state"] == "committed"
    assert (last["rows"], last["dataset"]) == (1000, f"public.{table}")
    assert all(m["state"] == "progress" for m in messages[:-1])
    again = put(flight, path, rows)
    assert again[-1]["version"] == last["version"] + 1
    assert sql(flight, f"SELECT count(*) AS n FROM {table}").to_pylist() == [{"n": 2000}]


def test_put_then_get_by_path(flight: fl.FlightClient, table: str) -> None:
    rows = data.small(10_000)
    path = fl.FlightDescriptor.for_path("public", table)
    put(flight, path, rows)
    got = read(flight, path)
    assert got.equals(rows)
    assert flight.get_schema(path).schema.equals(rows.schema)
    assert sorted(sql(flight, f"SELECT id FROM {table}")["id"].to_pylist()) == list(range(10_000))


def test_flight_info_counts(flight: fl.FlightClient, table: str) -> None:
    put(flight, fl.FlightDescriptor.for_path(table), data.small(123))
    info = flight.get_flight_info(fl.FlightDescriptor.for_path(table))
    assert info.total_records == 123
    assert info.total_bytes == -1 or info.total_bytes > 0


def test_progress_arrives_while_data_is_sent(flight: fl.FlightClient, table: str) -> None:
    writer, results = flight.do_put(fl.FlightDescriptor.for_path(table), data.small().schema)
    with writer:
        for _ in range(64):
            writer.write_table(data.small(20_000))
        first = json.loads(results.read().to_pybytes())
        assert first["state"] == "progress" and first["rows"] > 0
        writer.done_writing()
        last = first
        while (message := results.read()) is not None:
            last = json.loads(message.to_pybytes())
    assert last["state"] == "committed" and last["rows"] == 64 * 20_000


def test_list_flights(flight: fl.FlightClient, table: str) -> None:
    put(flight, fl.FlightDescriptor.for_path(table), data.small(7))
    found = {tuple(p.decode() for p in info.descriptor.path): info for info in flight.list_flights()}
    info = found[(table,)]
    assert info.total_records == 7
    assert info.schema.equals(data.small().schema)
    assert flight.do_get(info.endpoints[0].ticket).read_all().num_rows == 7


def test_unknown_dataset(flight: fl.FlightClient, table: str) -> None:
    put(flight, fl.FlightDescriptor.for_path(table), data.small(1))
    with pytest.raises(KeyError, match=f"{table}x"):
        flight.get_flight_info(fl.FlightDescriptor.for_path(table + "x"))
    with pytest.raises(KeyError):
        flight.get_schema(fl.FlightDescriptor.for_path("nowhere", table))


def test_every_type_survives(flight: fl.FlightClient, table: str) -> None:
    rows = data.every_type()
    put(flight, fl.FlightDescriptor.for_path(table), rows)
    got = read(flight, fl.FlightDescriptor.for_path(table))
    # DataFusion reads these as views, and views are sent as the plain types.
    plain = {pa.large_string(): pa.string(), pa.large_binary(): pa.binary(), rows.schema.field("dictionary").type: pa.string()}
    for name in rows.column_names:
        assert got[name].to_pylist() == rows[name].to_pylist(), name
        kind = rows.schema.field(name).type
        assert got.schema.field(name).type in (kind, plain.get(kind)), name
    assert data.same_rows(sql(flight, f"SELECT * FROM {table}"), rows)


def test_view_types_are_sent_as_plain_ones(flight: fl.FlightClient, table: str) -> None:
    rows = data.view_types()
    put(flight, fl.FlightDescriptor.for_path(table), rows)
    got = read(flight, fl.FlightDescriptor.for_path(table))
    assert got.schema.types == [pa.string(), pa.binary()]
    assert data.same_rows(got, rows)


def test_an_empty_table_keeps_its_schema(flight: fl.FlightClient, table: str) -> None:
    rows = data.every_type().slice(0, 0)
    messages = put(flight, fl.FlightDescriptor.for_path(table), rows)
    assert messages[-1]["rows"] == 0
    got = read(flight, fl.FlightDescriptor.for_path(table))
    assert got.num_rows == 0 and got.column_names == rows.column_names


def test_columns_are_matched_by_name(flight: fl.FlightClient, table: str) -> None:
    path = fl.FlightDescriptor.for_path(table)
    put(flight, path, data.small(3))
    put(flight, path, pa.table({"value": pa.array([9.5]), "id": pa.array([100], pa.int32())}))
    got = sql(flight, f"SELECT * FROM {table} ORDER BY id DESC LIMIT 1").to_pylist()
    assert got == [{"id": 100, "name": None, "value": 9.5}]


def test_an_unknown_column_is_named(flight: fl.FlightClient, table: str) -> None:
    path = fl.FlightDescriptor.for_path(table)
    put(flight, path, data.small(3))
    with pytest.raises(pa.ArrowException, match="surplus"):
        put(flight, path, data.small(3).append_column("surplus", pa.array([1, 2, 3])))
    assert read(flight, path).num_rows == 3


# ---- Flight SQL messages by hand -------------------------------------------------------------------------------------


def test_statement_query(flight: fl.FlightClient) -> None:
    got = read(flight, wire.command("CommandStatementQuery", field(1, "SELECT 1 AS a UNION ALL SELECT 2 ORDER BY a")))
    assert got.to_pylist() == [{"a": 1}, {"a": 2}]


def test_get_schema_of_a_statement(flight: fl.FlightClient) -> None:
    schema = flight.get_schema(wire.command("CommandStatementQuery", field(1, "SELECT 1 AS a, 'x' AS b"))).schema
    assert schema.names == ["a", "b"] and schema.types == [pa.int64(), pa.string()]


def test_statement_update_counts(flight: fl.FlightClient, table: str) -> None:
    put_update(flight, wire.command("CommandStatementUpdate", field(1, f"CREATE TABLE {table} (a BIGINT)")))
    insert = f"INSERT INTO {table} VALUES (1), (2), (3)"
    assert put_update(flight, wire.command("CommandStatementUpdate", field(1, insert))) == 3
    assert sql(flight, f"SELECT sum(a) AS s FROM {table}").to_pylist() == [{"s": 6}]


def test_a_prepared_update_says_so(flight: fl.FlightClient, table: str) -> None:
    put(flight, fl.FlightDescriptor.for_path(table), data.small())
    body = wire.any_message("ActionCreatePreparedStatementRequest", field(1, f"INSERT INTO {table} SELECT * FROM {table}"))
    (created,) = flight.do_action(fl.Action("CreatePreparedStatement", body))
    result = wire.unpack(created.body.to_pybytes(), "ActionCreatePreparedStatementResult")
    assert result[4] == [1] and not result.get(2), "is_update, and no schema of rows"
    command = wire.command("CommandPreparedStatementUpdate", field(1, result[1][0]))
    assert put_update(flight, command) == data.small().num_rows


def test_prepared_statement(flight: fl.FlightClient) -> None:
    body = wire.any_message("ActionCreatePreparedStatementRequest", field(1, "SELECT $1 + 1 AS a, $2 AS b"))
    (created,) = flight.do_action(fl.Action("CreatePreparedStatement", body))
    result = wire.unpack(created.body.to_pybytes(), "ActionCreatePreparedStatementResult")
    assert result[4] == [0], "is_update"
    handle = result[1][0]
    parameters = pa.ipc.read_schema(pa.py_buffer(result[3][0]))
    assert len(parameters) == 2
    descriptor = wire.command("CommandPreparedStatementQuery", field(1, handle))
    writer, results = flight.do_put(descriptor, pa.schema([("1", pa.int64()), ("2", pa.string())]))
    with writer:
        writer.write_batch(pa.record_batch({"1": pa.array([41], pa.int64()), "2": pa.array(["x"])}))
        writer.done_writing()
        answer = results.read()
        if answer is not None and answer.size:
            handle = wire.fields(answer.to_pybytes())[1][0]
    got = read(flight, wire.command("CommandPreparedStatementQuery", field(1, handle)))
    assert got.to_pylist() == [{"a": 42, "b": "x"}]
    close = wire.any_message("ActionClosePreparedStatementRequest", field(1, handle))
    list(flight.do_action(fl.Action("ClosePreparedStatement", close)))


# The schemas as FlightSql.proto has them. (What may be null inside a union it does not say: a union has no nulls of its own.)
KEY_RELATIONS = """pk_catalog_name: utf8, pk_db_schema_name: utf8, pk_table_name: utf8 not null, pk_column_name: utf8 not null,
    fk_catalog_name: utf8, fk_db_schema_name: utf8, fk_table_name: utf8 not null, fk_column_name: utf8 not null,
    key_sequence: int32 not null, fk_key_name: utf8, pk_key_name: utf8, update_rule: uint8 not null, delete_rule: uint8 not null"""
METADATA = {
    "CommandGetCatalogs": (b"", "catalog_name: utf8 not null"),
    "CommandGetDbSchemas": (b"", "catalog_name: utf8, db_schema_name: utf8 not null"),
    "CommandGetTables": (b"", "catalog_name: utf8, db_schema_name: utf8, table_name: utf8 not null, table_type: utf8 not null"),
    "CommandGetTables, with schemas": (
        field(5, 1),
        """catalog_name: utf8, db_schema_name: utf8, table_name: utf8 not null, table_type: utf8 not null,
        table_schema: bytes not null""",
    ),
    "CommandGetTableTypes": (b"", "table_type: utf8 not null"),
    "CommandGetPrimaryKeys": (
        field(3, "t"),
        """catalog_name: utf8, db_schema_name: utf8, table_name: utf8 not null, column_name: utf8 not null, key_name: utf8,
        key_sequence: int32 not null""",
    ),
    "CommandGetExportedKeys": (field(3, "t"), KEY_RELATIONS),
    "CommandGetImportedKeys": (field(3, "t"), KEY_RELATIONS),
    "CommandGetCrossReference": (field(3, "t") + field(6, "t"), KEY_RELATIONS),
    "CommandGetSqlInfo": (b"", "info_name: uint32 not null, value: info not null"),
    "CommandGetXdbcTypeInfo": (
        b"",
        """type_name: utf8 not null, data_type: int32 not null, column_size: int32, literal_prefix: utf8, literal_suffix: utf8,
        create_params: words, nullable: int32 not null, case_sensitive: bool not null, searchable: int32 not null,
        unsigned_attribute: bool, fixed_prec_scale: bool not null, auto_increment: bool, local_type_name: utf8,
        minimum_scale: int32, maximum_scale: int32, sql_data_type: int32 not null, datetime_subcode: int32,
        num_prec_radix: int32, interval_precision: int32""",
    ),
}
METADATA_TYPES: dict[str, pa.DataType] = {
    "utf8": pa.string(), "bytes": pa.binary(), "bool": pa.bool_(), "int32": pa.int32(), "uint32": pa.uint32(), "uint8": pa.uint8(),
    "words": pa.list_(pa.field("item", pa.string(), nullable=False)),
    "info": pa.dense_union(
        [
            pa.field("string_value", pa.string(), nullable=False),
            pa.field("bool_value", pa.bool_(), nullable=False),
            pa.field("bigint_value", pa.int64(), nullable=False),
            pa.field("int32_bitmask", pa.int32(), nullable=False),
            pa.field("string_list", pa.list_(pa.string())),
            pa.field("int32_to_int32_list_map", pa.map_(pa.int32(), pa.list_(pa.int32()))),
        ]
    ),
}  # fmt: skip


def specified(text: str) -> pa.Schema:
    """A schema from the words of the specification."""
    fields = []
    for column in text.split(","):
        name, kind = column.strip().split(": ")
        fields.append(pa.field(name, METADATA_TYPES[kind.removesuffix(" not null")], nullable=not kind.endswith(" not null")))
    return pa.schema(fields)


@pytest.mark.parametrize("name", METADATA)
def test_metadata_command(flight: fl.FlightClient, name: str) -> None:
    """Its schema is the specification's, to the letter, wherever it is told: names, types, nullability, and no more columns."""
    body, text = METADATA[name]
    descriptor = wire.command(name.split(",")[0], body)
    info = flight.get_flight_info(descriptor)
    got = flight.do_get(info.endpoints[0].ticket).read_all()
    for told in (flight.get_schema(descriptor).schema, info.schema, got.schema):
        assert told == specified(text), told
    assert (got.num_rows == 0) == ("Keys" in name or "CrossReference" in name)


def test_declared_keys(flight: fl.FlightClient, table: str) -> None:
    child = f"{table}_child"
    for sql in [
        f"CREATE TABLE {table} (b INT, a INT, PRIMARY KEY (a, b))",
        f"CREATE TABLE {child} (x INT, y INT, FOREIGN KEY (x, y) REFERENCES {table} ON DELETE CASCADE)",
        f"ALTER TABLE {table} RENAME COLUMN a TO id",
    ]:
        put_update(flight, wire.command("CommandStatementUpdate", field(1, sql)))
    primary = read(flight, wire.command("CommandGetPrimaryKeys", field(3, table))).to_pylist()
    assert [(row["column_name"], row["key_name"], row["key_sequence"]) for row in primary] == [
        ("id", f"{table}_pkey", 1),
        ("b", f"{table}_pkey", 2),
    ]
    exported = read(flight, wire.command("CommandGetExportedKeys", field(3, table)))
    imported = read(flight, wire.command("CommandGetImportedKeys", field(3, child)))
    cross = read(flight, wire.command("CommandGetCrossReference", field(3, table), field(6, child)))
    assert exported.equals(imported) and imported.equals(cross)
    rows = exported.select(["pk_column_name", "fk_table_name", "fk_column_name", "update_rule", "delete_rule"])
    assert [tuple(row.values()) for row in rows.to_pylist()] == [("id", child, "x", 3, 0), ("b", child, "y", 3, 0)]
    put_update(flight, wire.command("CommandStatementUpdate", field(1, f"DROP TABLE {table}")))
    assert read(flight, wire.command("CommandGetImportedKeys", field(3, child))).num_rows == 0


def test_get_tables_carries_schemas(flight: fl.FlightClient, table: str) -> None:
    put(flight, fl.FlightDescriptor.for_path(table), data.small())
    got = read(flight, wire.command("CommandGetTables", field(3, table), field(5, 1))).to_pylist()
    (row,) = got
    assert (row["catalog_name"], row["db_schema_name"], row["table_name"]) == ("skein", "public", table)
    assert pa.ipc.read_schema(pa.py_buffer(row["table_schema"])).names == ["id", "name", "value"]


def test_an_unknown_command_is_named(flight: fl.FlightClient) -> None:
    with pytest.raises((NotImplementedError, pa.ArrowException), match="CommandDoesNotExist"):
        flight.get_flight_info(wire.command("CommandDoesNotExist"))


def test_statement_ingest(flight: fl.FlightClient, table: str) -> None:
    options = field(1, 1) + field(2, 1)  # if absent: create; if there: fail
    ingest = wire.command("CommandStatementIngest", field(1, options), field(2, table))
    writer, results = flight.do_put(ingest, data.small().schema)
    with writer:
        writer.write_table(data.small(50))
        writer.done_writing()
        assert wire.signed(wire.fields(results.read().to_pybytes())[1][0]) == 50
    assert sql(flight, f"SELECT count(*) AS n FROM {table}").to_pylist() == [{"n": 50}]


# ---- actions ---------------------------------------------------------------------------------------------------------


def test_actions_are_listed_and_described(flight: fl.FlightClient) -> None:
    actions = {action.type: action.description for action in flight.list_actions()}
    assert {"dataset.drop", "dataset.verify", "dataset.gc", "token.create", "query.cancel"} <= set(actions)
    assert {"CreatePreparedStatement", "ClosePreparedStatement"} <= set(actions)
    assert all(actions.values())


def test_actions_take_and_give_json(flight: fl.FlightClient, table: str) -> None:
    put(flight, fl.FlightDescriptor.for_path(table), data.small())
    (answer,) = flight.do_action(fl.Action("dataset.drop", json.dumps({"dataset": table}).encode()))
    assert json.loads(answer.body.to_pybytes())["dropped"] is True
    with pytest.raises(KeyError):
        flight.get_flight_info(fl.FlightDescriptor.for_path(table))


def test_actions_name_a_wrong_key(flight: fl.FlightClient) -> None:
    with pytest.raises(pa.ArrowInvalid, match="dataste"):
        list(flight.do_action(fl.Action("dataset.drop", b'{"dataste": "x"}')))


def test_an_unknown_action_is_named(flight: fl.FlightClient) -> None:
    with pytest.raises((NotImplementedError, pa.ArrowException), match="dataset.explode"):
        list(flight.do_action(fl.Action("dataset.explode", b"")))


def test_an_action_without_a_body(flight: fl.FlightClient) -> None:
    (answer,) = flight.do_action("dataset.verify")
    assert json.loads(answer.body.to_pybytes())["files_checked"] >= 0


# ---- sessions --------------------------------------------------------------------------------------------------------


def test_a_temporary_table_belongs_to_its_connection(server: Server, flight: fl.FlightClient, table: str) -> None:
    put_update(flight, wire.command("CommandStatementUpdate", field(1, f"CREATE TEMP TABLE {table} AS SELECT 1 AS a")))
    assert sql(flight, f"SELECT * FROM {table}").num_rows == 1
    with fl.FlightClient(server.url) as other:
        with pytest.raises(pa.ArrowException):
            sql(other, f"SELECT * FROM {table}")


def test_session_options(flight: fl.FlightClient) -> None:
    # SetSessionOptionsRequest { map<string, SessionOptionValue> }, value 1 = string
    entry = field(1, "timezone") + field(2, field(1, "Europe/Berlin"))
    (answer,) = flight.do_action(fl.Action("SetSessionOptions", field(1, entry)))
    assert 1 not in wire.fields(answer.body.to_pybytes()), "no errors"
    (answer,) = flight.do_action(fl.Action("GetSessionOptions", b""))
    assert b"Europe/Berlin" in answer.body.to_pybytes()


def test_a_cancelled_stream_leaves_the_connection_usable(flight: fl.FlightClient) -> None:
    info = flight.get_flight_info(fl.FlightDescriptor.for_command("SELECT * FROM generate_series(1, 50000000)"))
    reader = flight.do_get(info.endpoints[0].ticket)
    reader.read_chunk()
    reader.cancel()
    assert sql(flight, "SELECT 1 AS a").num_rows == 1
