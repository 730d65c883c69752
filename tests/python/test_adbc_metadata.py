"""ADBC's catalog functions, which check the server's metadata schemas to the letter."""

from __future__ import annotations

from collections.abc import Callable

import adbc_driver_manager
import adbc_driver_manager.dbapi
import pyarrow as pa
import pytest
from support import data

Connection = adbc_driver_manager.dbapi.Connection


@pytest.fixture
def ingested(adbc: Connection, table: str) -> str:
    with adbc.cursor() as cursor:
        cursor.adbc_ingest(table, data.small(3), mode="create")
    return table


def objects(connection: Connection, **filters: object) -> list[dict]:
    return connection.adbc_get_objects(**filters).read_all().to_pylist()


def test_depth_catalogs(adbc: Connection) -> None:
    found = objects(adbc, depth="catalogs")
    assert [row["catalog_name"] for row in found] == ["skein"]
    assert not found[0]["catalog_db_schemas"]


def test_depth_schemas(adbc: Connection) -> None:
    (catalog,) = objects(adbc, depth="db_schemas")
    schemas = [row["db_schema_name"] for row in catalog["catalog_db_schemas"]]
    assert {"public", "system", "information_schema"} <= set(schemas)


def test_depth_tables(adbc: Connection, ingested: str) -> None:
    (catalog,) = objects(adbc, depth="tables", db_schema_filter="public", table_name_filter=ingested)
    (schema,) = catalog["catalog_db_schemas"]
    (row,) = schema["db_schema_tables"]
    assert row["table_name"] == ingested and row["table_type"] in ("TABLE", "BASE TABLE")


@pytest.mark.parametrize("depth", ["all", "columns"])
def test_depth_columns(adbc: Connection, ingested: str, depth: str) -> None:
    (catalog,) = objects(adbc, depth=depth, db_schema_filter="public", table_name_filter=ingested)
    (row,) = catalog["catalog_db_schemas"][0]["db_schema_tables"]
    columns = [(c["column_name"], c["ordinal_position"]) for c in row["table_columns"]]
    assert columns == [("id", 1), ("name", 2), ("value", 3)]


def test_column_filter(adbc: Connection, ingested: str) -> None:
    (catalog,) = objects(
        adbc, depth="all", db_schema_filter="public", table_name_filter=ingested, column_name_filter="na%"
    )
    (row,) = catalog["catalog_db_schemas"][0]["db_schema_tables"]
    assert [c["column_name"] for c in row["table_columns"]] == ["name"]


def test_type_filter(adbc: Connection, ingested: str, names: Callable[[], str]) -> None:
    view = names()
    with adbc.cursor() as cursor:
        cursor.execute(f"CREATE VIEW {view} AS SELECT * FROM {ingested}")
    (catalog,) = objects(adbc, depth="tables", db_schema_filter="public", table_types_filter=["VIEW"])
    (schema,) = catalog["catalog_db_schemas"]
    found = [row["table_name"] for row in schema["db_schema_tables"]]
    assert view in found and ingested not in found


def test_everything_at_once(adbc: Connection, ingested: str) -> None:
    (catalog,) = objects(adbc, depth="all")
    by_schema = {s["db_schema_name"]: s["db_schema_tables"] for s in catalog["catalog_db_schemas"]}
    assert ingested in [t["table_name"] for t in by_schema["public"]]
    assert {"datasets", "snapshots", "files", "queries", "sessions"} <= {t["table_name"] for t in by_schema["system"]}


def test_table_schema(adbc: Connection, ingested: str) -> None:
    assert adbc.adbc_get_table_schema(ingested).equals(data.small().schema)
    assert adbc.adbc_get_table_schema(ingested, db_schema_filter="public").equals(data.small().schema)
    with pytest.raises(adbc_driver_manager.Error):
        adbc.adbc_get_table_schema(ingested + "_not_there")


def test_table_schema_is_what_is_sent(adbc: Connection, table: str) -> None:
    """Also for types that are read as others."""
    rows = pa.table(
        {
            "text": pa.array(["a"], pa.large_string()),
            "bytes": pa.array([b"a"], pa.large_binary()),
            "codes": pa.array(["a"]).dictionary_encode(),
            "lists": pa.array([["a"]], pa.large_list(pa.large_string())),
            "view": pa.array(["a"], pa.string_view()),
        }
    )
    with adbc.cursor() as cursor:
        cursor.adbc_ingest(table, rows, mode="create")
        cursor.execute(f"SELECT * FROM {table}")
        sent = cursor.fetch_arrow_table().schema
        assert adbc.adbc_get_table_schema(table).equals(sent)
        assert cursor.adbc_execute_schema(f"SELECT * FROM {table}").equals(sent)
        cursor.execute(f"DESCRIBE {table}")
        assert [row[1] for row in cursor.fetchall()] == ["Utf8", "Binary", "Utf8", "LargeList(LargeUtf8)", "Utf8"]


def test_table_types(adbc: Connection) -> None:
    assert {"TABLE", "VIEW"} <= set(adbc.adbc_get_table_types())


def test_info(adbc: Connection) -> None:
    info = adbc.adbc_get_info()
    assert info["vendor_name"].lower().startswith("skein")
    assert info["vendor_version"]
    assert info.get("vendor_sql", True)


def test_info_has_every_type_of_value(adbc: Connection) -> None:
    """The whole SqlInfo table, through the driver's own reader, is well-formed."""
    table = adbc.adbc_connection.get_info()
    got = pa.RecordBatchReader._import_from_c(table.address).read_all()
    assert got.num_rows > 3


def test_altered_columns(adbc: Connection, ingested: str) -> None:
    with adbc.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {ingested} RENAME COLUMN name TO label, ADD COLUMN extra INT DEFAULT 3")
        cursor.execute(f"SELECT extra, label FROM {ingested}")
        assert cursor.fetch_arrow_table().to_pylist() == [
            {"extra": 3, "label": row["name"]} for row in data.small(3).to_pylist()
        ]
    assert adbc.adbc_get_table_schema(ingested).names == ["id", "label", "value", "extra"]
