"""JavaScript: the npm package @lakehouse-rs/flight-sql-client 0.0.10 (an old arrow-flight) with apache-arrow 14."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import skein_flight
from support import data
from support.server import Server

MODULES = Path(sys.prefix) / "node" / "node_modules"
SCRIPT = Path(__file__).parent / "node" / "query.mjs"


def ask(server: Server, call: str, argument: object, **options: object) -> dict:
    assert MODULES.exists(), f"the Node client is not in {MODULES}; run scripts/setup"
    request = {"options": {"host": "127.0.0.1", "port": server.port, **options}, "call": call, "argument": argument}
    run = subprocess.run(
        ["node", str(SCRIPT), json.dumps(request)],
        env={"PATH": "/usr/bin:/bin:" + str(Path(shutil.which("node") or "").parent), "SKEIN_NODE_MODULES": str(MODULES.parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_query(server: Server, skein: skein_flight.Connection, table: str) -> None:
    skein.ingest(table, data.small(10))
    answer = ask(server, "query", f"SELECT name, value FROM {table} WHERE id > 6 ORDER BY id")
    assert answer["columns"] == ["name", "value"]
    assert answer["rows"] == [{"name": f"row {n}", "value": n / 4} for n in (7, 8, 9)]


def test_metadata(server: Server, skein: skein_flight.Connection, table: str) -> None:
    skein.ingest(table, data.small())
    assert ask(server, "getCatalogs", None)["rows"] == [{"catalog_name": "skein"}]
    schemas = {row["db_schema_name"] for row in ask(server, "getDbSchemas", {})["rows"]}
    assert {"public", "system"} <= schemas
    tables = ask(server, "getTables", {"tableNameFilterPattern": table})["rows"]
    assert [row["table_name"] for row in tables] == [table]


def test_an_error(server: Server) -> None:
    """This client keeps the server's message to itself."""
    assert "failed" in ask(server, "query", "SELECT * FROM no_such_table")["error"]
    assert ask(server, "query", "SELECT 1 AS a")["rows"] == [{"a": 1}]
