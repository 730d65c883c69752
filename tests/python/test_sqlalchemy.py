"""SQLAlchemy 1.4 through the dialect of flightsql-dbapi 0.2.2, which Superset and others use."""

from __future__ import annotations

from collections.abc import Iterator

import flightsql.sqlalchemy  # noqa: F401 (registers the dialect)
import pytest
import skein_flight
import sqlalchemy as sa
from support import data
from support.server import Server


@pytest.fixture
def engine(server: Server) -> Iterator[sa.engine.Engine]:
    engine = sa.create_engine(f"datafusion+flightsql://127.0.0.1:{server.port}?insecure=True")
    yield engine
    engine.dispose()


def test_select(engine: sa.engine.Engine) -> None:
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT 1 AS a, 'x' AS b")).fetchall() == [(1, "x")]


def test_inspection(engine: sa.engine.Engine, skein: skein_flight.Connection, table: str) -> None:
    skein.ingest(table, data.small())
    inspector = sa.inspect(engine)
    assert {"public", "system", "information_schema"} <= set(inspector.get_schema_names())
    assert table in inspector.get_table_names(schema="public")
    assert [column["name"] for column in inspector.get_columns(table, schema="public")] == ["id", "name", "value"]


def test_an_expression(engine: sa.engine.Engine, skein: skein_flight.Connection, table: str) -> None:
    skein.ingest(table, data.small(10))
    t = sa.table(table, sa.column("id"), sa.column("value"))
    with engine.connect() as connection:
        query = sa.select(sa.func.count(), sa.func.sum(t.c.value)).where(t.c.id > sa.literal_column("5"))
        assert connection.execute(query).fetchall() == [(4, 7.5)]


def test_an_error(engine: sa.engine.Engine) -> None:
    with engine.connect() as connection:
        with pytest.raises(Exception, match="no_such_table"):
            connection.execute(sa.text("SELECT * FROM no_such_table")).fetchall()
        assert connection.execute(sa.text("SELECT 1")).fetchall() == [(1,)]
