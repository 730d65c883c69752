"""`make demo` to its end, and the lines that it and README give for connecting to its server."""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import adbc_driver_flightsql.dbapi
import polars
import pyarrow as pa
import pyarrow.flight
import pyarrow.parquet as pq
import pytest
from support.server import ROOT, binary
from support.stores import free_port

FLIGHTS = 336_776
# 16 of them come in, and the demo adds one to show time travel.
AIRLINES = 17


class Demo:
    """A demo that has shown everything and leaves its server running."""

    def __init__(self, process: subprocess.Popen[str], shown: str) -> None:
        self.process, self.shown = process, shown
        self.url = re.findall(r"grpc://127\.0\.0\.1:\d+", shown)[0]

    def line(self, client: str) -> Any:
        """What the line for that client gives when it is run."""
        (code,) = re.findall(rf"^{client} +(.+)$", self.shown, re.M)
        names = {"pyarrow": pa, "polars": polars, "adbc_driver_flightsql": adbc_driver_flightsql}
        return eval(code, names)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("SKEIN", "DEMO"))}
    env = clean | {
        "SKEIN_BIN": str(binary()),
        "SKEIN_VENV": sys.prefix,
        "DEMO_PORT": str(free_port()),
        "DEMO_FOLDER": str(tmp_path_factory.mktemp("demo") / "data"),
        # Without a terminal it would end its server when all is shown.
        "DEMO_EXIT": "0",
    }
    process = subprocess.Popen(
        [ROOT / "scripts" / "demo"], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        shown = ""
        assert process.stdout
        for line in process.stdout:
            shown += line
            if "The server runs until Ctrl-C" in line:
                break
        assert process.poll() is None and "All answers agree with DuckDB" in shown, shown
        yield Demo(process, shown)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def test_make_demo_is_this_script() -> None:
    # This may run below another make, which says where it goes.
    command = ["make", "-n", "--no-print-directory", "demo"]
    steps = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert steps.stdout.splitlines()[-1] == "scripts/demo"


def test_the_demo_compares_every_row_with_duckdb(demo: Demo) -> None:
    assert len(re.findall(r"DuckDB on the same CSV files gives the same \d+ rows", demo.shown)) == 5
    assert re.search(rf"flights: +{FLIGHTS:,} rows, each one equal to DuckDB's", demo.shown)
    assert len(re.findall(r"rows, each one equal to DuckDB's", demo.shown)) == 5


def test_the_line_for_pyarrow(demo: Demo) -> None:
    assert demo.line("pyarrow").num_rows == AIRLINES


def test_the_line_for_polars(demo: Demo) -> None:
    assert demo.line("polars").height == AIRLINES


def test_the_line_for_adbc(demo: Demo) -> None:
    with demo.line("ADBC") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM flights")
        assert cursor.fetchall() == [(FLIGHTS,)]


def test_the_line_for_the_shell(demo: Demo) -> None:
    (line,) = re.findall(r"^shell +(.+)$", demo.shown, re.M)
    done = subprocess.run(
        ["bash", "-c", f"{line} -F csv"], input="SELECT count(*) AS n FROM flights", capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == f"n\n{FLIGHTS}\n"


def readme(language: str) -> str:
    """The block of that language in README's part on connecting."""
    connect = (ROOT / "README.md").read_text().split("\n## Connect\n")[1].split("\n## ")[0]
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", connect, re.M | re.S)
    return str(block)


def test_readme_connects(demo: Demo) -> None:
    """Each statement is run, and what it gives is looked at."""
    address = demo.url.removeprefix("grpc://")
    imports, *statements = ast.parse(readme("python").replace("127.0.0.1:8815", address)).body
    names: dict[str, Any] = {}
    exec(ast.unparse(imports), names)
    counted, frame, table = (eval(ast.unparse(statement), names) for statement in statements)
    assert counted == [(FLIGHTS,)]
    assert frame.height == 5 and "tailnum" in frame.columns
    assert table.num_rows == AIRLINES - 1 and sum(table.column(1).to_pylist()) == FLIGHTS


def test_readme_shows_the_command_line(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "trips").mkdir()
    for n in range(2):
        pq.write_table(pa.table({"trip": [n]}), tmp_path / "trips" / f"{n}.parquet")
    (tmp_path / "skein").symlink_to(binary().resolve())
    env = os.environ | {"SKEIN_URL": demo.url, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    shown = []
    for line in readme("sh").splitlines():
        command, _, remark = line.partition("#")
        # The shell for a person has tests of its own, with a terminal.
        if "interactive" in remark:
            continue
        done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        shown.append(done.stdout)
    assert "2 of 2 files, 2 rows" in shown[0] and "2" in shown[1] and "Usage:" in shown[2], shown
