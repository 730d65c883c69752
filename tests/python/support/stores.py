"""Object stores for the tests: moto (S3) and Azurite (Azure), each its own process on a free loopback port, and a gate in front of
a store that breaks in the ways networks and stores do.

As a command it runs another command with an S3 store at hand: see scripts/with-s3.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

START_SECONDS = 60
REGION = "us-east-1"
# What the conformance tests of the storage crate look for.
RUST_BUCKET = "skein-test"
NODE = Path(sys.prefix) / "node"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Process:
    """A store in a process of its own; ended by its process id."""

    # A path that can be asked for at no cost.
    HEALTH = "/"

    def __init__(self, command: Sequence[str], port: int, log: Path, env: Mapping[str, str] | None = None) -> None:
        self.port = port
        self._log = log
        with log.open("ab") as out:
            environment = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "AZURE_"))} | dict(env or {})
            self._process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        deadline = time.monotonic() + START_SECONDS
        while not answers(port, self.HEALTH):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"{command[:4]} did not start:\n{log.read_text(errors='replace')[-4000:]}")
            time.sleep(0.05)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def configured(url: str, options: Mapping[str, str] | None = None, name: str = "lake") -> dict[str, str]:
    """The variables that make a server keep its data in this bucket."""
    prefix = f"SKEIN__STORAGE__BUCKETS__{name.upper()}__"
    return {prefix + "URL": url} | {f"{prefix}OPTIONS__{key.upper()}": value for key, value in (options or {}).items()}


def answers(port: int, path: str) -> bool:
    """Whether someone speaks HTTP there."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


MOTO = """
import datetime, sys
import moto.s3.models, moto.server
slow = datetime.timedelta(hours=int(sys.argv[1]))
right = moto.s3.models.utcnow
moto.s3.models.utcnow = lambda: right() - slow
moto.server.main(sys.argv[2:])
"""


class Moto(Process):
    """An S3 server that lets everyone in, or with `login=True` only those who sign with `key` and `secret`. With `hours_slow`
    its clock is so much behind: what is written now was written long ago."""

    # Counts as no request of S3.
    HEALTH = "/moto-api/"

    def __init__(self, folder: Path, buckets: Sequence[str] = (), login: bool = False, hours_slow: int = 0) -> None:
        port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        # With a login: the requests that make the user and the buckets come before there is anyone who could sign them.
        env = {"INITIAL_NO_AUTH_ACTION_COUNT": str(3 + len(buckets))} if login else {}
        command = [sys.executable, "-c", MOTO, str(hours_slow), "-H", "127.0.0.1", "-p", str(port)]
        super().__init__(command, port, folder / "moto.log", env)
        self.key, self.secret = "test", "test"
        try:
            made_user = self._make_user() if login else None
            for bucket in buckets:
                self.s3().create_bucket(Bucket=bucket)
        except Exception:
            self.stop()
            raise
        if made_user:
            self.key, self.secret = made_user

    def _client(self, service: str) -> Any:
        import boto3

        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
        )

    def s3(self) -> Any:
        return self._client("s3")

    def _make_user(self) -> tuple[str, str]:
        iam = self._client("iam")
        iam.create_user(UserName="skein")
        key = iam.create_access_key(UserName="skein")["AccessKey"]
        policy = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'
        iam.put_user_policy(UserName="skein", PolicyName="all", PolicyDocument=policy)
        return key["AccessKeyId"], key["SecretAccessKey"]

    def options(self, **changed: str) -> dict[str, str]:
        """The options of a Skein bucket on this store."""
        given = {
            "endpoint": self.endpoint,
            "allow_http": "true",
            "path_style": "true",
            "region": REGION,
            "access_key_id": self.key,
            "secret_access_key": self.secret,
        }
        return given | changed

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        pages = self.s3().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


# The account that every Azurite has; it is in its documentation.
AZURITE_ACCOUNT = "devstoreaccount1"
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


class Azurite(Process):
    """Azure's Blob service."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        script = NODE / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
        where = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder / "azurite")]
        command = [shutil.which("node") or "node", str(script), *where, "--silent", "--skipApiVersionCheck", "--disableTelemetry"]
        super().__init__(command, port, folder / "azurite.log")

    def options(self) -> dict[str, str]:
        return {
            "endpoint": f"{self.endpoint}/{AZURITE_ACCOUNT}",
            "allow_http": "true",
            "account_name": AZURITE_ACCOUNT,
            "access_key": AZURITE_KEY,
        }

    def create_container(self, name: str) -> None:
        import base64
        import hashlib
        import hmac
        from email.utils import formatdate

        date, version = formatdate(usegmt=True), "2021-12-02"
        resource = f"/{AZURITE_ACCOUNT}/{AZURITE_ACCOUNT}/{name}\nrestype:container"
        text = "PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:{version}\n" + resource
        digest = hmac.new(base64.b64decode(AZURITE_KEY), text.encode(), hashlib.sha256).digest()
        headers = {
            "x-ms-date": date,
            "x-ms-version": version,
            "Content-Length": "0",
            "Authorization": f"SharedKey {AZURITE_ACCOUNT}:{base64.b64encode(digest).decode()}",
        }
        url = f"{self.endpoint}/{AZURITE_ACCOUNT}/{name}?restype=container"
        urllib.request.urlopen(urllib.request.Request(url, method="PUT", headers=headers), timeout=30).close()


class Gate:
    """A way to a store, or to a server, that can be closed: `refuse` takes no connection and cuts those that are open, `hang` takes them and says
    nothing. `answered` counts the bytes that came back. `headers` puts another line in the place of a request header, or none: a store that does not know it; `added` are lines for every request."""

    def __init__(self, upstream: int, headers: Mapping[str, str] | None = None, added: Sequence[str] = ()) -> None:
        self._upstream = upstream
        self._added = [line.encode() for line in added]
        self._headers = {name.lower().encode(): line.encode() for name, line in (headers or {}).items()}
        self._live: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._hanging = False
        self.answered = 0
        self.port = free_port()
        self.open()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        self._hanging = False
        self._cut()
        if self._listener is None:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", self.port))
            listener.listen(128)
            self._listener = listener
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def refuse(self) -> None:
        listener, self._listener = self._listener, None
        if listener:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self._cut()

    def hang(self) -> None:
        self._hanging = True

    def _cut(self) -> None:
        with self._lock:
            live, self._live = self._live, set()
        for connection in live:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *_: object) -> None:
        self.refuse()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self._live.add(client)
            if not self._hanging:
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            upstream = socket.create_connection(("127.0.0.1", self._upstream), 30)
            head = b""
            # moto answers one request on each connection, so there is one head to look at.
            while self._headers and b"\r\n\r\n" not in head:
                part = client.recv(65536)
                if not part:
                    return
                head += part
            with self._lock:
                self._live.add(upstream)
            upstream.sendall(self._changed(head))
            threading.Thread(target=self._pump, args=(client, upstream), daemon=True).start()
            self._pump(upstream, client, answers=True)
        except OSError:
            client.close()

    def _changed(self, head: bytes) -> bytes:
        text, end, body = head.partition(b"\r\n\r\n")
        lines = [self._headers.get(line.partition(b":")[0].lower(), line) for line in text.split(b"\r\n")]
        return b"\r\n".join([line for line in lines if line] + self._added) + end + body

    def _pump(self, source: socket.socket, sink: socket.socket, answers: bool = False) -> None:
        with suppress(OSError):
            while part := source.recv(1 << 18):
                while self._hanging:
                    time.sleep(0.05)
                if answers:
                    with self._lock:
                        self.answered += len(part)
                sink.sendall(part)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


@contextmanager
def s3_for_rust(folder: Path) -> Iterator[dict[str, str]]:
    """A store with the bucket that the Rust tests use, as the environment that names it."""
    with Moto(folder, [RUST_BUCKET]) as moto:
        yield {"SKEIN_TEST_S3_ENDPOINT": moto.endpoint}


def main(command: list[str]) -> int:
    import tempfile

    if not command:
        print("usage: scripts/with-s3 COMMAND [ARGUMENT...]", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="skein-s3-") as folder, s3_for_rust(Path(folder)) as env:
        process = subprocess.Popen(command, env=os.environ | env)
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue  # The command has had the same signal; the store stays until it has ended.


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
