"""The same bad input at every entry point: plain DoPut, CommandStatementIngest, IngestFile, SQL and the command line. Each time a clear error of the
right code, none of its rows on the disk, the connection usable. And in the end the server holds no more than at first."""

from __future__ import annotations

import io
import itertools
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pyarrow as pa
import pyarrow.flight as fl
import pyarrow.parquet as pq
import pytest
from support import data, wire
from support.server import Server, binary
from support.wire import field
from test_bad_input import CORRUPT, exists, refused, select
from test_files import BROKEN

Frames = list[bytes]
ROWS = data.small(5).to_batches()[0]
FILE = b"id,name\n1,x\n2,y\n"


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of this file's own, whose folder nobody else changes. It has the table `there`, so that all its folders exist."""
    with Server(tmp_path_factory.mktemp("victim")) as server:
        with channel_to(server) as channel:
            wire.raw_do_put(channel, iter(by_path("there")))
        yield server
        assert server.stop() == 0
        assert "panicked at" not in server.log()


def channel_to(server: Server) -> grpc.Channel:
    return grpc.insecure_channel(f"127.0.0.1:{server.port}")


@pytest.fixture
def channel(victim: Server) -> Iterator[grpc.Channel]:
    with channel_to(victim) as channel:
        yield channel


@pytest.fixture
def client(victim: Server) -> Iterator[fl.FlightClient]:
    with fl.FlightClient(victim.url) as client:
        yield client


def stored(server: Server) -> set[Path]:
    """Every file there is, but for the server's own log."""
    return {path for path in server.folder.rglob("*") if path.is_file()} - {server.log_path}


# ---- the ways in -----------------------------------------------------------------------------------------------------


def path_descriptor(name: str) -> bytes:
    return wire.path_descriptor(name)


def ingest_descriptor(name: str) -> bytes:
    options = field(1, 1) + field(2, 1)  # if absent: create; if there: fail
    return wire.command_descriptor(wire.any_message("CommandStatementIngest", field(1, options), field(2, name)))


def file_descriptor(name: str, **options: object) -> bytes:
    command = {"ingest_file": {"path": [name], "mode": "create", "options": {"force": True, **options}}}
    return wire.command_descriptor(json.dumps(command).encode())


def chunk(content: bytes) -> pa.RecordBatch:
    return pa.record_batch({"chunk": pa.array([content], pa.binary())})


# Each with its descriptor and what is sent under it.
UPLOADS: dict[str, tuple[Callable[[str], bytes], pa.RecordBatch]] = {
    "a path": (path_descriptor, ROWS),
    "CommandStatementIngest": (ingest_descriptor, ROWS),
    "IngestFile": (file_descriptor, chunk(FILE)),
}


def upload(way: str, name: str) -> Frames:
    describe, batch = UPLOADS[way]
    return [wire.schema_frame(batch.schema, describe(name)), wire.batch_frame(batch)]


def by_path(name: str) -> Frames:
    return upload("a path", name)


def statement(sql: str) -> Frames:
    return [wire.flight_data(b"", descriptor=wire.command_descriptor(wire.any_message("CommandStatementUpdate", field(1, sql))))]


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


NAMING: dict[str, Callable[[str], Frames]] = {
    **{way: lambda name, way=way: upload(way, name) for way in UPLOADS},  # type: ignore[misc]
    "CREATE TABLE": lambda name: statement(f"CREATE TABLE {quoted(name)} (id INT)"),
    "CREATE TABLE AS": lambda name: statement(f"CREATE TABLE {quoted(name)} AS SELECT 1 AS id"),
    "CREATE VIEW": lambda name: statement(f"CREATE VIEW {quoted(name)} AS SELECT 1 AS id"),
    "CREATE EXTERNAL TABLE": lambda name: statement(f"CREATE EXTERNAL TABLE {quoted(name)} STORED AS CSV LOCATION 'in.csv'"),
    "RENAME": lambda name: statement(f"ALTER TABLE there RENAME TO {quoted(name)}"),
}

# ---- names -----------------------------------------------------------------------------------------------------------

IMPOSSIBLE = {
    "empty": ("", "name"),
    "NUL": ("a\0b", "control character"),
    "a line's end": ("a\nb", "control character"),
    "300 characters": ("a" * 300, "limit is 255"),
    "75 emoji, of 300 bytes": ("🦢" * 75, "limit is 255"),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
@pytest.mark.parametrize("way", NAMING)
def test_an_impossible_name(victim: Server, channel: grpc.Channel, client: fl.FlightClient, way: str, name: str) -> None:
    hostile, text = IMPOSSIBLE[name]
    (victim.data / "in.csv").write_bytes(FILE)
    before = stored(victim)
    said = refused(channel, NAMING[way](hostile))
    assert text in said and "\0" not in said and len(said) < 1000, said
    assert stored(victim) == before
    assert select(client, "SELECT count(*) AS n FROM there") == [{"n": 5}]


PLAIN = {
    "a way up": "../x",
    "a path": "/etc/passwd",
    "quotes": "\"both\" 'kinds'",
    "emoji": "🦢🦢",
    "dots": "a.b.c",
    "the end of a statement": "x; DROP TABLE there",
}


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("way", NAMING)
def test_a_name_that_only_looks_dangerous(victim: Server, channel: grpc.Channel, client: fl.FlightClient, way: str, name: str) -> None:
    """It is just a name: what is made has exactly it, answers to it, and no file is called by it."""
    plain = PLAIN[name]
    (victim.data / "in.csv").write_bytes(FILE)
    wire.raw_do_put(channel, iter(NAMING[way](plain)))
    assert exists(client, plain)
    assert select(client, f"SELECT count(id) AS n FROM {quoted(plain)}")[0]["n"] == {"CREATE TABLE": 0, "CREATE TABLE AS": 1, "CREATE VIEW": 1}.get(
        way, 2 if way in ("IngestFile", "CREATE EXTERNAL TABLE") else 5
    )
    inside = victim.folder.resolve()
    assert all(path.resolve().is_relative_to(inside) for path in stored(victim))
    assert not [path for path in inside.parent.rglob("*") if path.name in (plain, "x", "passwd")]
    undo = {"CREATE VIEW": "DROP VIEW {}", "RENAME": "ALTER TABLE {} RENAME TO there", "CREATE EXTERNAL TABLE": "DROP TABLE {}"}
    wire.raw_do_put(channel, iter(statement(undo.get(way, "DROP TABLE {}").format(quoted(plain)))))
    assert not exists(client, plain) and exists(client, "there")


# What the command line takes for a name is a name as in SQL; a NUL cannot be given to a command at all.
ON_THE_COMMAND_LINE = {
    "empty": ("", 2, "empty"),
    "an empty part": ("a..b", 2, "empty"),
    "300 characters": ("a" * 300, 1, "limit is 255"),
    "a way up": ("../x", 2, "empty"),
    "a quote that does not end": ('"x', 2, "quote"),
}
PLAIN_ON_THE_COMMAND_LINE = {'"../x"': "../x", '"a ""b"""': 'a "b"', "🦢🦢": "🦢🦢", "'a'": "'a'", "a/b": "a/b"}


def ingest(server: Server, folder: Path, into: str) -> subprocess.CompletedProcess[str]:
    (folder / "in.csv").write_bytes(FILE)
    command = [str(binary()), "ingest", str(folder / "in.csv"), "--into", into, "--force", "--url", server.url]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SKEIN")}
    return subprocess.run(command, env=clean, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("name", ON_THE_COMMAND_LINE)
def test_an_impossible_name_on_the_command_line(victim: Server, tmp_path: Path, name: str) -> None:
    given, code, text = ON_THE_COMMAND_LINE[name]
    before = stored(victim)
    done = ingest(victim, tmp_path, given)
    assert done.returncode == code and text in done.stderr, done.stderr
    assert stored(victim) == before


@pytest.mark.parametrize("given", PLAIN_ON_THE_COMMAND_LINE)
def test_an_odd_name_on_the_command_line(victim: Server, client: fl.FlightClient, tmp_path: Path, given: str) -> None:
    name = PLAIN_ON_THE_COMMAND_LINE[given]
    done = ingest(victim, tmp_path, given)
    assert done.returncode == 0, done.stderr
    assert select(client, f"SELECT count(*) AS n FROM {quoted(name)}") == [{"n": 2}]
    drop(client, name)


def drop(client: fl.FlightClient, name: str) -> None:
    list(client.do_action(fl.Action("dataset.drop", json.dumps({"dataset": name}).encode())))


# ---- columns ---------------------------------------------------------------------------------------------------------

COLUMNS = {
    "duplicate": (["a", "a"], "more than once|twice|unique"),
    "without a name": (["a", ""], "empty name|no name"),
    "NUL": (["a\0b"], "NUL"),
    "none": ([], "column|nothing to read|expression"),
}


def csv(names: list[str]) -> bytes:
    return (",".join(map(quoted, names)) + "\n" + ",".join("1" for _ in names) + "\n").encode()


def parquet(names: list[str]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_batches([numbers(names)]), out)
    return out.getvalue()


def numbers(names: list[str]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([1]) for _ in names], names=names)


def sent(describe: Callable[[str], bytes], batch: pa.RecordBatch) -> Frames:
    return [wire.schema_frame(batch.schema, describe("columns")), wire.batch_frame(batch)]


WITH_COLUMNS: dict[str, Callable[[list[str]], Frames]] = {
    "a path": lambda names: sent(path_descriptor, numbers(names)),
    "CommandStatementIngest": lambda names: sent(ingest_descriptor, numbers(names)),
    "IngestFile of CSV": lambda names: sent(file_descriptor, chunk(csv(names))),
    "IngestFile of Parquet": lambda names: sent(file_descriptor, chunk(parquet(names))),
    "CREATE TABLE": lambda names: statement(f"CREATE TABLE columns ({', '.join(f'{quoted(name)} INT' for name in names)})"),
    "CREATE TABLE AS": lambda names: statement(f"CREATE TABLE columns AS SELECT {', '.join(f'1 AS {quoted(name)}' for name in names)}"),
}


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("way", WITH_COLUMNS)
def test_impossible_columns(victim: Server, channel: grpc.Channel, client: fl.FlightClient, way: str, columns: str) -> None:
    names, text = COLUMNS[columns]
    before = stored(victim)
    said = refused(channel, WITH_COLUMNS[way](names))
    assert any(word in said for word in text.split("|")) and "\0" not in said, said
    assert stored(victim) == before
    assert select(client, "SELECT count(*) AS n FROM there") == [{"n": 5}]


# ---- streams that break the rules, or off ----------------------------------------------------------------------------


def broken_stream(way: str, fault: str) -> Frames:
    """An upload that goes wrong after its first batch."""
    header, body = wire.ipc_parts(UPLOADS[way][1].serialize().to_pybytes())
    other = pa.record_batch({"different": ["x"]})
    faults = {
        "another schema": [wire.schema_frame(other.schema, None), wire.batch_frame(other)],
        "rows of another schema": [wire.batch_frame(pa.record_batch({c: [1] for c in "abcd"}))],
        "half a body": [wire.flight_data(header, body[: len(body) // 2])],
        "half a header": [wire.flight_data(header[: len(header) // 2], body)],
    }
    return [*upload(way, "broken"), *faults[fault]]


FAULTS = ["another schema", "rows of another schema", "half a body", "half a header"]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("way", UPLOADS)
def test_a_stream_that_goes_wrong(victim: Server, channel: grpc.Channel, client: fl.FlightClient, way: str, fault: str) -> None:
    before = stored(victim)
    said = refused(channel, broken_stream(way, fault))
    assert "message 3 of the stream" in said, said
    assert not exists(client, "broken")
    assert stored(victim) == before
    assert wire.raw_do_put(channel, iter(upload(way, "broken"))), "the same channel goes on working"
    drop(client, "broken")


# More of what each way in takes, about a megabyte.
MORE = {way: data.small(30_000).to_batches()[0] for way in UPLOADS} | {"IngestFile": chunk(b"3,some text\n" * 100_000)}


def cut_off(channel: grpc.Channel, way: str, megabytes: int) -> None:
    """Begins an upload and breaks it off when the server has taken so much that it works on it: what is on the way is far less."""
    frames, more = upload(way, "cut"), wire.batch_frame(MORE[way])
    taken = threading.Event()

    def endless() -> Iterator[bytes]:
        yield from frames
        for n in itertools.count():
            if n == megabytes:
                taken.set()
            yield more

    call = channel.stream_stream(wire.SERVICE + "DoPut")(endless())
    assert taken.wait(60)
    call.cancel()


def rows_stored(server: Server) -> set[Path]:
    """All files but beginnings of tables: the first entry of a log that nothing names holds no row, and is for `dataset.gc`."""
    return {path for path in stored(server) if not path.match("tables/*/log/00000000000000000001.json")}


@pytest.mark.parametrize("megabytes", [0, 1, 64])
@pytest.mark.parametrize("way", UPLOADS)
def test_a_stream_that_breaks_off(victim: Server, channel: grpc.Channel, client: fl.FlightClient, way: str, megabytes: int) -> None:
    before = rows_stored(victim)
    cut_off(channel, way, megabytes)
    deadline = time.monotonic() + 30
    while rows_stored(victim) != before:
        assert time.monotonic() < deadline, rows_stored(victim) - before
        time.sleep(0.05)
    assert not exists(client, "cut")
    (answer,) = client.do_action("dataset.verify")
    verified = json.loads(answer.body.to_pybytes())
    assert verified["findings"] == [] and {entry["kind"] for entry in verified["pending"]} <= {"unfinished", "dropped"}
    assert select(client, "SELECT count(*) AS n FROM there") == [{"n": 5}]


# ---- what all of it leaves behind ------------------------------------------------------------------------------------


def every_bad_input(server: Server) -> None:
    """Each kind once, over connections of its own."""
    with channel_to(server) as channel:
        for way, named in NAMING.items():
            for hostile, _ in IMPOSSIBLE.values():
                refused(channel, named(hostile))
            if way in UPLOADS:
                for fault in FAULTS:
                    refused(channel, broken_stream(way, fault))
                cut_off(channel, way, 4)
        for make in WITH_COLUMNS.values():
            for names, _ in COLUMNS.values():
                refused(channel, make(names))
        for header, body in CORRUPT.values():
            refused(channel, [*by_path("broken"), wire.flight_data(header, body)])
        for content, options in BROKEN.values():
            refused(channel, sent(lambda name, options=options: file_descriptor(name, **options), chunk(content())))  # type: ignore[misc]


def held(server: Server) -> tuple[int, int]:
    """Open descriptors, and bytes of resident memory."""
    return len(os.listdir(f"/proc/{server.pid}/fd")), int(Path(f"/proc/{server.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_nothing_leaks(victim: Server, client: fl.FlightClient) -> None:
    """After the first rounds everything is there that stays (threads, caches). Twenty more leave no descriptor open and take no more than 16 MiB of memory:
    a megabyte a round would be found. Free memory goes back to the system every few seconds, so the end is waited for."""
    for _ in range(5):
        every_bad_input(victim)
    before, files = settled(victim), rows_stored(victim)
    for _ in range(20):
        every_bad_input(victim)
    deadline = time.monotonic() + 60
    while not (held(victim)[0] <= before[0] and held(victim)[1] <= before[1] + (16 << 20)):
        assert time.monotonic() < deadline, f"descriptors and memory before: {before}, after: {held(victim)}"
        time.sleep(0.5)
    assert rows_stored(victim) == files
    assert select(client, "SELECT count(*) AS n FROM there") == [{"n": 5}]


def settled(server: Server) -> tuple[int, int]:
    """What it holds when nothing has become less for ten seconds."""
    least, since = held(server), time.monotonic()
    while time.monotonic() < since + 10:
        time.sleep(0.2)
        now = held(server)
        if now[0] < least[0] or now[1] < least[1]:
            least, since = (min(least[0], now[0]), min(least[1], now[1])), time.monotonic()
    return least
