"""Starts and stops a real `skein serve`, one process with its own data folder and free ports."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from support.stores import free_port

ROOT = Path(__file__).resolve().parents[3]
START_SECONDS = 60
STOP_SECONDS = 60


def binary() -> Path:
    """The server under test: SKEIN_BIN, or the dev profile's."""
    if named := os.environ.get("SKEIN_BIN"):
        return Path(named)
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "skein"


class Server:
    """A running server. Use it as a context manager; `env` takes any configuration key as SKEIN__SECTION__KEY."""

    def __init__(
        self,
        folder: Path,
        env: Mapping[str, str] | None = None,
        args: Sequence[str] = (),
        tls: bool = False,
        survive_file_limit: bool = False,
    ) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.log_path = folder / "server.log"
        self.port = free_port()
        self.http_port = free_port()
        self.tls = tls
        # Python ignores SIGXFSZ; a server that inherits that gets an error for a file beyond RLIMIT_FSIZE, not the signal.
        self._restore_signals = not survive_file_limit
        self._env = dict(env or {})
        self._args = list(args)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"grpc{'+tls' if self.tls else ''}://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def start(self) -> Server:
        self.folder.mkdir(parents=True, exist_ok=True)
        clean = {k: v for k, v in os.environ.items() if not k.startswith("SKEIN")}
        env = clean | {"SKEIN__SERVER__HTTP_LISTEN": f"127.0.0.1:{self.http_port}", "RUST_BACKTRACE": "1"} | self._env
        command = [str(binary()), "serve", "--listen", f"127.0.0.1:{self.port}", *self._args]
        if "--config" not in self._args:
            command += ["--data", str(self.data)]
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                restore_signals=self._restore_signals,
            )
        self._wait_ready()
        return self

    def _wait_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"skein serve ended with {self._process.returncode}:\n{self.log()}")
            if self.http_status("/readyz") == 200:
                return
            time.sleep(0.05)
        self.kill()
        raise RuntimeError(f"skein serve was not ready after {START_SECONDS} s:\n{self.log()}")

    def http(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=10) as answer:
            return answer.read().decode()

    def http_status(self, path: str) -> int:
        """The status, or 0 when nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=10) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def peak_bytes(self) -> int:
        """The most memory that the process has held."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("no VmHWM")

    def stop(self) -> int:
        """SIGTERM, by pid; the exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise RuntimeError(f"skein serve did not stop within {STOP_SECONDS} s of SIGTERM:\n{self.log()[-4000:]}") from None

    def kill(self) -> None:
        """SIGKILL: a crash."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
