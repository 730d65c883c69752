"""What is acknowledged is on the disk: the calls that the server makes to the system, seen and disturbed by strace."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import skein_flight
from support import data
from support.server import Server

CALLS = "fsync,fdatasync,write,writev,pwrite64,rename,renameat,renameat2,link,linkat"


@dataclass
class Call:
    """A call to the system: its name, the paths in it, when it began, and the lines of the trace on which it began and ended."""

    name: str
    paths: list[str]
    at: float
    began: int
    ended: int
    result: str


@contextmanager
def strace(server: Server, trace: Path, *options: str) -> Iterator[None]:
    """Follows the server's calls for a while. Where it may not (a container without the right, say), the test is skipped."""
    command = ["strace", "-f", "-y", "-s", "0", "-ttt", "-e", f"trace={CALLS}", "-o", str(trace), *options, "-p", str(server.pid)]
    tracer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr
    if "attached" not in (said := tracer.stderr.readline()):
        tracer.kill()
        tracer.wait()
        pytest.skip(f"strace may not watch a process here: {said}")
    try:
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(30)


def calls(trace: Path) -> list[Call]:
    """What was traced, in the order in which it began."""
    found: list[Call] = []
    open_by_thread: dict[str, Call] = {}
    for number, line in enumerate(trace.read_text().splitlines()):
        thread, at, rest = line.split(maxsplit=2)
        if resumed := re.match(r"<\.\.\. \w+ resumed>.* = (.+)", rest):
            call = open_by_thread.pop(thread)
            call.ended, call.result = number, resumed[1]
        elif begun := re.match(r"(\w+)\((.*)", rest):
            paths = [a or b for a, b in re.findall(r'\d<([^>]+)>|"([^"]*)"\.{0,3}', begun[2]) if (a or b).startswith("/") or "socket" in (a or b)]
            call = Call(begun[1], paths, float(at), number, number, rest.rpartition(" = ")[2])
            found.append(call)
            if "<unfinished ...>" in rest:
                open_by_thread[thread] = call
    return found


def only(found: list[Call], names: str, path: str) -> Call:
    """The one such call on a path (the last in the call) that ends like that."""
    (call,) = (call for call in found if re.fullmatch(names, call.name) and call.paths and re.search(path + "$", call.paths[-1]))
    return call


@pytest.fixture
def server_with_table(tmp_path: Path) -> Iterator[tuple[Server, skein_flight.Connection]]:
    with Server(tmp_path / "server") as server, skein_flight.connect(server.url) as connection:
        connection.ingest("t", data.small(3), "create")
        yield server, connection


def test_an_append_is_synced_step_by_step_before_it_is_acknowledged(
    server_with_table: tuple[Server, skein_flight.Connection], tmp_path: Path
) -> None:
    server, connection = server_with_table
    delay = 0.2
    with strace(server, tmp_path / "trace", "-e", f"inject=fsync:delay_exit={int(delay * 1e6)}"):
        connection.ingest("t", data.small(2), "append")
        acknowledged = time.time()
    found = calls(tmp_path / "trace")
    for folder, name, published in (("data", r"\w+\.parquet", "rename.*"), ("log", r"0*3\.json", "link.*")):
        place = rf"/data/tables/\w+/{folder}"
        unpublished = rf"{place}/{name}#\d+"
        written = [call for call in found if call.name.startswith(("write", "pwrite")) and call.paths and re.search(unpublished, call.paths[0])]
        content, publish = only(found, "fsync", unpublished), only(found, published, f"{place}/{name}")
        entry = only(found, "fsync", place)
        assert written and all(call.ended < content.began for call in written), "a file is written, then synced"
        assert content.ended < publish.began, "then it gets its name"
        assert publish.ended < entry.began, "then its folder is synced"
        assert content.result.startswith("0") and entry.result.startswith("0")
    data_folder, log_entry = only(found, "fsync", r"/data/tables/\w+/data"), only(found, "fsync", r"/log/0*3\.json#\d+")
    assert data_folder.ended < log_entry.began, "the log names only what is on the disk"
    # Each sync is made to last, and the client hears of the commit only when the last one is over.
    assert acknowledged >= only(found, "fsync", r"/data/tables/\w+/log").at + delay


@pytest.mark.parametrize(("folder", "text", "left"), [("data", "syncing folder", {3}), ("log", "no definite answer", {3, 5})])
def test_an_append_that_cannot_be_synced_is_not_acknowledged(
    server_with_table: tuple[Server, skein_flight.Connection], tmp_path: Path, folder: str, text: str, left: set[int]
) -> None:
    """The disk fails to sync a folder. With that of the log, nobody can know whether the commit will last, and the error says so."""
    server, connection = server_with_table
    (place,) = server.data.glob(f"tables/*/{folder}")
    with strace(server, tmp_path / "trace", "-P", str(place), "-e", "inject=fsync:error=EIO"):
        with pytest.raises(skein_flight.errors.UnavailableError, match=text):
            connection.ingest("t", data.small(2), "append")
    count = connection.sql("SELECT count(*) FROM t").scalar()
    assert count in left
    # With a disk that works again, so does the table.
    connection.ingest("t", data.small(2), "append")
    assert connection.sql("SELECT count(*) FROM t").scalar() == count + 2
