"""polars: read_database, read_database_uri, write_database, and Arrow streams."""

from __future__ import annotations

import adbc_driver_manager.dbapi
import polars as pl
import pytest
import skein_flight
from polars.testing import assert_frame_equal
from support import data
from support.server import Server

FRAME = pl.DataFrame(
    {
        "id": [1, 2, 3],
        "name": ["a", None, "c"],
        "value": [0.5, 1.5, None],
        "day": pl.Series(["2024-02-29", "1970-01-01", None]).str.to_date(),
        "tags": [["x", "y"], [], None],
        "color": pl.Series(["red", "red", "blue"], dtype=pl.Categorical),
    }
)


def test_read_database(adbc: adbc_driver_manager.dbapi.Connection) -> None:
    frame = pl.read_database("SELECT 1 AS a, 'x' AS b UNION ALL SELECT 2, 'y' ORDER BY a", adbc)
    assert frame.to_dict(as_series=False) == {"a": [1, 2], "b": ["x", "y"]}


def test_read_database_with_parameters(adbc: adbc_driver_manager.dbapi.Connection) -> None:
    frame = pl.read_database("SELECT ? AS a", adbc, execute_options={"parameters": [7]})
    assert frame.item() == 7


def test_read_database_in_batches(adbc: adbc_driver_manager.dbapi.Connection) -> None:
    frames = pl.read_database(
        "SELECT value FROM generate_series(1, 100000)", adbc, iter_batches=True, batch_size=10_000
    )
    assert sum(frame.height for frame in frames) == 100_000


def test_read_database_uri(server: Server) -> None:
    """polars picks the driver by the URL's scheme; `transport=tcp` tells the driver that there is no TLS."""
    uri = f"flightsql://127.0.0.1:{server.port}?transport=tcp"
    assert pl.read_database_uri("SELECT 1 AS a", uri, engine="adbc").item() == 1
    frame = pl.read_database_uri("SELECT ? AS a", uri, engine="adbc", execute_options={"parameters": [7]})
    assert frame.item() == 7


@pytest.mark.parametrize("mode", ["append", "replace", "fail"])
def test_write_database(adbc: adbc_driver_manager.dbapi.Connection, table: str, mode: str) -> None:
    assert FRAME.write_database(table, adbc, if_table_exists=mode, engine="adbc") == 3
    assert_frame_equal(pl.read_database(f"SELECT * FROM {table}", adbc), FRAME, check_dtypes=False, categorical_as_str=True)
    if mode == "fail":
        with pytest.raises(Exception, match="(?i)exists"):
            FRAME.write_database(table, adbc, if_table_exists=mode, engine="adbc")
    else:
        FRAME.write_database(table, adbc, if_table_exists=mode, engine="adbc")
        expected = 6 if mode == "append" else 3
        assert pl.read_database(f"SELECT count(*) AS n FROM {table}", adbc).item() == expected


def test_write_database_into_a_schema(adbc: adbc_driver_manager.dbapi.Connection, table: str) -> None:
    with adbc.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA s_{table}")
    FRAME.write_database(f"s_{table}.{table}", adbc, engine="adbc")
    assert pl.read_database(f"SELECT count(*) AS n FROM s_{table}.{table}", adbc).item() == 3


def test_from_arrow_stream(skein: skein_flight.Connection, table: str) -> None:
    skein.ingest(table, FRAME)
    assert_frame_equal(
        pl.DataFrame(skein.sql(f"SELECT * FROM {table}")), FRAME, check_dtypes=False, categorical_as_str=True
    )


def test_every_type(skein: skein_flight.Connection, table: str) -> None:
    rows = data.every_type().drop_columns(["decimal256"])  # polars has no such type
    skein.ingest(table, rows)
    frame = skein.sql(f"SELECT * FROM {table}").polars()
    assert frame.height == 3 and frame.columns == rows.column_names
    assert_frame_equal(frame, pl.from_arrow(rows), check_dtypes=False, categorical_as_str=True)


def test_joins_with_polars_as_the_oracle(skein: skein_flight.Connection, nyc_tables: dict) -> None:
    frames = {n: pl.scan_csv(p, null_values=["", "NA"], infer_schema_length=None) for n, p in nyc_tables.items()}
    expected = (
        frames["flights"]
        .join(frames["airlines"], on="carrier")
        .group_by("name")
        .agg(pl.len().alias("n"), pl.col("arr_delay").mean().alias("delay"))
        .sort("name")
        .collect()
    )
    got = skein.sql(
        "SELECT a.name, count(*) AS n, avg(f.arr_delay) AS delay FROM flights f JOIN airlines a USING (carrier)"
        " GROUP BY a.name ORDER BY a.name"
    ).polars()
    assert_frame_equal(got, expected, check_dtypes=False)
