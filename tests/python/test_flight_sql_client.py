"""The `flight_sql_client` binary that ships with arrow-flight, at the version in Cargo.lock (scripts/flight-sql-client builds it)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import skein_flight
from support import data
from support.server import Server

CLIENT = os.environ.get("SKEIN_FLIGHT_SQL_CLIENT", "")


def run(server: Server, *arguments: str, check: bool = True) -> str:
    assert Path(CLIENT).is_file(), "SKEIN_FLIGHT_SQL_CLIENT names no client; run scripts/test-clients, which builds it"
    options, command = [a for a in arguments if a.startswith("--")], [a for a in arguments if not a.startswith("--")]
    line = [CLIENT, "--host", "127.0.0.1", "--port", str(server.port), *options, *command]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    if check:
        assert done.returncode == 0, done.stderr
        return done.stdout
    assert done.returncode != 0
    return done.stderr


@pytest.fixture
def ingested(skein: skein_flight.Connection, table: str) -> Iterator[str]:
    skein.ingest(table, data.small(10))
    yield table


def test_statement_query(server: Server, ingested: str) -> None:
    out = run(server, "statement-query", f"SELECT name, value FROM {ingested} WHERE id > 7 ORDER BY id")
    assert "| row 8 | 2.0   |" in out and "| row 9 | 2.25  |" in out


def test_prepared_statement_query(server: Server, ingested: str) -> None:
    query = f"SELECT name FROM {ingested} WHERE id = $1"
    out = run(server, "prepared-statement-query", query, "-p", "$1=3")
    assert "row 3" in out and "row 4" not in out


@pytest.mark.parametrize("codec", ["gzip", "deflate", "zstd"])
def test_compressed_answers(server: Server, codec: str) -> None:
    """Whether or not the server compresses, a client that accepts it gets its rows."""
    assert "42" in run(server, f"--accept-compression={codec}", "statement-query", "SELECT 40 + 2 AS answer")


def test_metadata(server: Server, ingested: str) -> None:
    assert "| skein" in run(server, "catalogs")
    assert "| skein        | public" in run(server, "db-schemas", "skein")
    assert "TABLE" in run(server, "table-types") and "VIEW" in run(server, "table-types")
    out = run(server, "tables", "skein", "-t", ingested)
    assert ingested in out


def test_an_error(server: Server) -> None:
    assert "no_such_table" in run(server, "statement-query", "SELECT * FROM no_such_table", check=False)
