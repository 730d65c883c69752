"""Starts the servers that are compared, times things, and writes results as ratios.

Every benchmark prints one JSON object per figure, `{"name", "skein", "peer", "ratio", "unit", "goal"}`, and `bench.py`
gathers them into `results.json` and a table.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = pathlib.Path(os.environ.get("SKEIN_BENCH_DATA", pathlib.Path.home() / ".cache" / "skein" / "bench"))


def skein_binary() -> str:
    """The release build, unless SKEIN_BIN names another."""
    target = os.environ.get("CARGO_TARGET_DIR", str(ROOT / "target"))
    return os.environ.get("SKEIN_BIN", f"{target}/release/skein")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def wait_for_port(port: int, process: subprocess.Popen, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with code {process.returncode} before it listened")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens on port {port} after {seconds} s")


@contextlib.contextmanager
def process(command: list[str], port: int, **options) -> Iterator[subprocess.Popen]:
    """Runs a server until the block ends."""
    log = tempfile.TemporaryFile()
    child = subprocess.Popen(command, stdout=log, stderr=log, **options)
    try:
        wait_for_port(port, child)
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(timeout=20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


class Skein:
    """A running `skein serve`."""

    def __init__(self, port: int, data: pathlib.Path, pid: int) -> None:
        self.port, self.data, self.pid = port, data, pid
        self.uri = f"grpc://127.0.0.1:{port}"

    def connect(self, **kwargs):
        """An ADBC connection."""
        import adbc_driver_flightsql.dbapi as adbc

        return adbc.connect(self.uri, autocommit=True, **kwargs)

    def peak_memory(self) -> int:
        """Peak resident memory in bytes."""
        return self._status("VmHWM")

    def reset_peak_memory(self) -> None:
        pathlib.Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def _status(self, key: str) -> int:
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(key):
                return int(line.split()[1]) * 1024
        raise KeyError(key)


@contextlib.contextmanager
def skein(**env: str) -> Iterator[Skein]:
    """A server on a data directory of its own, removed afterwards."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="skein-bench-") as data:
        # One level down: the signing key lies beside the data.
        data = f"{data}/data"
        command = [skein_binary(), "serve", "--data", data, "--listen", f"127.0.0.1:{port}"]
        environment = {**os.environ, "SKEIN__SERVER__HTTP_LISTEN": "off", "SKEIN__TELEMETRY__LEVEL": "warn", **env}
        with process(command, port, env=environment) as child:
            yield Skein(port, pathlib.Path(data), child.pid)


@contextlib.contextmanager
def gate(port: int, *, up: float = 0, down: float = 0) -> Iterator[int]:
    """A port that passes everything on to another. Each MiB at most that a client sends waits for `up` seconds, each that it is sent for `down`: a
    connection with a window of 1 MiB over a network with that latency."""
    front = free_port()
    loop = asyncio.new_event_loop()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pause: float) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 20):
                if pause:
                    await asyncio.sleep(pause)
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, ahead = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        await asyncio.gather(pump(reader, ahead, up), pump(behind, writer, down))

    async def main(ready: threading.Event) -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", front, limit=1 << 20) as server:
            ready.set()
            await server.serve_forever()

    ready = threading.Event()

    def run() -> None:
        with contextlib.suppress(RuntimeError):  # it is stopped, not ended
            loop.run_until_complete(main(ready))

    threading.Thread(target=run, daemon=True).start()
    ready.wait()
    yield front
    loop.call_soon_threadsafe(loop.stop)


def median_seconds(work: Callable[[], object], runs: int, warm: int = 1) -> float:
    for _ in range(warm):
        work()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def alternating_seconds(ours: Callable[[], object], theirs: Callable[[], object], runs: int) -> tuple[float, float]:
    """Medians of two that take turns, so that what else the machine does meets both."""
    pairs = [(median_seconds(ours, 1, 0), median_seconds(theirs, 1, 0)) for _ in range(runs + 1)][1:]
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)


def report(name: str, skein: float, peer: float | None, unit: str, goal: str, *, ratio: float | None = None, **more) -> None:
    """One figure. `ratio` defaults to skein / peer."""
    if ratio is None and peer:
        ratio = skein / peer
    row = {"name": name, "skein": skein, "peer": peer, "ratio": ratio, "unit": unit, "goal": goal, **more}
    print(json.dumps(row), flush=True)


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
