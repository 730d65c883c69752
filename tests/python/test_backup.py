"""A copy of a bucket in use, made as docs/operations.md says: what is in it fits together."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import adbc_driver_flightsql.dbapi
import pyarrow as pa
import pyarrow.flight as fl
import pytest
from support import stores
from support.docs import blocks, environment
from support.server import Server

TABLES = ("first", "second", "third")
COPIES = 5
# Changes that are made while a copy is.
CHANGES = 15
S3_COPIES = 2


def recipe(kind: str, does: str) -> str:
    (code,) = [code for _, code in blocks("operations.md", kind) if does in code]
    return code


def shell(code: str, folder: Path, env: Mapping[str, str]) -> str:
    command = ["bash", "-euo", "pipefail", "-c", code]
    run = subprocess.run(command, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240, check=False)
    assert run.returncode == 0, f"{code}\n{run.stdout[-2000:]}\n{run.stderr[-2000:]}"
    return run.stdout


def sql(client: fl.FlightClient, text: str) -> pa.Table:
    return client.do_get(fl.Ticket(text.encode())).read_all()


def held(server: Server, table: str) -> list[int]:
    with fl.FlightClient(server.url) as client:
        return sql(client, f"SELECT n FROM {table} ORDER BY n").column("n").to_pylist()


class Writer(threading.Thread):
    """Commits a number to all tables at once, then to `after` alone, or does something else: deletes rows, gives up, makes a table. As
    many times as `more` says; then it rests, so that whoever copies until nothing changes comes to an end."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self.url, self.turns, self.ended = server.url, threading.Semaphore(0), False
        self.wrong: Exception | None = None

    def run(self) -> None:
        options = {"adbc.flight.sql.rpc.with_cookie_middleware": "true"}
        try:
            with adbc_driver_flightsql.dbapi.connect(self.url, db_kwargs=options, autocommit=True) as connection:
                number = 0
                while self.turns.acquire() and not self.ended:
                    number += 10
                    with connection.cursor() as cursor:
                        for statement in self.change(number):
                            cursor.execute(statement)
        except Exception as error:
            self.wrong = error

    def more(self, times: int) -> None:
        self.turns.release(times)

    def end(self) -> None:
        self.ended = True
        self.more(1)
        self.join(60)
        assert not self.is_alive() and not self.wrong, self.wrong

    def change(self, number: int) -> list[str]:
        which = random.randrange(10)
        if which == 0:
            return ["BEGIN", f"CREATE TABLE made_{number} AS SELECT 1 AS a", *everywhere(number), "COMMIT", f"DROP TABLE made_{number}"]
        if which == 1:
            return ["BEGIN", *everywhere(number), "ROLLBACK"]
        if which <= 3:
            return ["BEGIN", *(f"DELETE FROM {table} WHERE n % 10 = 5" for table in TABLES), "COMMIT"]
        return ["BEGIN", *everywhere(number), "COMMIT", f"INSERT INTO after SELECT {number} AS n"]


def everywhere(number: int) -> list[str]:
    """The number, and one that is to be deleted."""
    return [f"INSERT INTO {table} VALUES ({number}), ({number + 5})" for table in TABLES]


@contextmanager
def written(server: Server) -> Iterator[Writer]:
    """A server with tables that always hold the same numbers, and who writes to them."""
    with fl.FlightClient(server.url) as client:
        for table in (*TABLES, "after"):
            sql(client, f"CREATE TABLE {table} (n BIGINT)")
        for statement in everywhere(0):
            sql(client, statement)
    writer = Writer(server)
    writer.start()
    try:
        yield writer
    finally:
        writer.end()


def check(server: Server) -> int:
    """Every file is there, every transaction is in all tables or in none, and what came after it is not there without it; also after
    somebody has written to it. How many numbers there are."""
    shell("skein verify --deep", server.folder, environment(server))
    numbers = [held(server, table) for table in TABLES]
    assert numbers[0] and all(other == numbers[0] for other in numbers), [len(other) for other in numbers]
    assert set(held(server, "after")) <= set(numbers[0])
    with fl.FlightClient(server.url) as client:
        for table in (*TABLES, "after"):
            sql(client, f"INSERT INTO {table} VALUES (-1)")
    assert [held(server, table) for table in TABLES] == [[-1, *numbers[0]]] * len(TABLES)
    assert set(held(server, "after")) <= {-1, *numbers[0]}
    return len(numbers[0])


# Copies as on a slow disk, so that much is committed meanwhile.
SLOW_CP = """#!/usr/bin/env bash
set -eu
options=()
while [ $# -gt 0 ]; do
  case "$1" in
    -t) options+=(-t "$2"); into="$2"; shift 2;;
    -*) options+=("$1"); shift;;
    *) if [ ! -e "$into/$1" ]; then PATH="${PATH#*:}" cp "${options[@]}" "$1"; sleep 0.01; fi; shift;;
  esac
done
"""


def test_copies_of_a_folder_in_use(tmp_path: Path) -> None:
    code = recipe("bash run", "until copy _skein")
    with Server(tmp_path / "server") as server:
        env = environment(server)
        (cp := server.folder / "bin" / "cp").write_text(SLOW_CP)
        cp.chmod(0o755)
        with written(server) as writer:
            for n in range(COPIES):
                writer.more(CHANGES)
                (folder := tmp_path / f"copy_{n}").mkdir()
                shell(code, folder, env)
    for n in range(COPIES):
        (tmp_path / f"copy_{n}" / "backup").rename(tmp_path / f"copy_{n}" / "data")
        with Server(tmp_path / f"copy_{n}") as copy:
            check(copy)


def test_a_transaction_that_is_caught_undecided(tmp_path: Path) -> None:
    """The last one of a bucket at rest, without its outcome: as a copy has it that was made between its entries and its commit."""
    with Server(tmp_path / "server") as server:
        with written(server) as writer:
            writer.more(3)
        with adbc_driver_flightsql.dbapi.connect(server.url, autocommit=False) as connection, connection.cursor() as cursor:
            before = held(server, TABLES[0])
            for statement in everywhere(1_000_000):
                cursor.execute(statement)
            connection.commit()
        shell(recipe("bash run", "until copy _skein"), tmp_path, environment(server))
        assert len(held(server, TABLES[0])) == len(before) + 2
    outcomes = list((tmp_path / "backup" / "_skein" / "txn").iterdir())
    max(outcomes, key=lambda file: json.loads(file.read_text())["at"]).unlink()
    (tmp_path / "backup").rename(tmp_path / "data")
    with Server(tmp_path) as copy:
        assert held(copy, TABLES[0]) == before
        assert check(copy) == len(before)


@pytest.mark.skipif(shutil.which("aws") is None, reason="there is no aws command")
def test_copies_of_an_s3_bucket_in_use(tmp_path: Path) -> None:
    code = recipe("bash s3", "aws s3 sync")
    with stores.Moto(tmp_path / "moto", ["lake", "backup"]) as moto:
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": stores.REGION, "AWS_ENDPOINT_URL": moto.endpoint}
        with Server(tmp_path / "server", stores.configured("s3://lake", moto.options())) as server:
            with written(server) as writer:
                for n in range(S3_COPIES):
                    writer.more(CHANGES)
                    shell(code.replace("s3://backup", f"s3://backup/{n}"), tmp_path, environment(server) | keys)
        for n in range(S3_COPIES):
            with Server(tmp_path / f"copy_{n}", stores.configured(f"s3://backup/{n}", moto.options())) as copy:
                check(copy)
