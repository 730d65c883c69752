"""Sending a file over DoPut: its bytes travel as a binary column, its fate comes back as metadata."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import pyarrow
import pyarrow.flight

from skein_flight.errors import InvalidInputError

T = TypeVar("T")
CHUNK_BYTES = 1 << 20
CHUNK_SCHEMA = pyarrow.schema([pyarrow.field("chunk", pyarrow.binary(), nullable=False)])


@dataclass(frozen=True)
class Progress:
    """What the server has taken in so far; nothing of it is visible yet."""

    rows: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class IngestReport:
    """What became of a file."""

    dataset: str = ""
    version: int = 0
    rows: int = 0
    bytes: int = 0
    files: int = 0
    duplicate: bool = False
    skipped_rows: int = 0
    rejects: list[dict[str, Any]] = field(default_factory=list)
    rejects_key: str = ""


def send_file(
    client: pyarrow.flight.FlightClient,
    call_options: pyarrow.flight.FlightCallOptions,
    source: str | os.PathLike[str] | BinaryIO,
    target: Sequence[str],
    mode: str,
    options: Mapping[str, Any],
    progress: Callable[[Progress], None] | None,
) -> IngestReport:
    """Streams the file and waits for the commit."""
    with _opened(source) as (stream, name):
        command = {"ingest_file": {"path": list(target), "mode": mode, "options": _options(name, options)}}
        descriptor = pyarrow.flight.FlightDescriptor.for_command(json.dumps(command).encode())
        writer, results = client.do_put(descriptor, CHUNK_SCHEMA, call_options)
        listener = _Listener(results, progress)
        try:
            for chunk in _chunks(stream):
                writer.write_batch(pyarrow.record_batch([pyarrow.array([chunk], pyarrow.binary())], schema=CHUNK_SCHEMA))
            writer.done_writing()
            listener.join()
        finally:
            # Closing is what raises the server's error, also after a failed write.
            writer.close()
            listener.join()
    return listener.report()


def _options(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options as the server reads them; overrides may be given as a dict from column to type."""
    options = {"file_name": name, **given}
    if isinstance(overrides := options.get("schema_overrides"), Mapping):
        options["schema_overrides"] = [list(pair) for pair in overrides.items()]
    return options


class _Listener:
    """Reads the server's messages while the file is being sent, so that neither side waits for the other."""

    def __init__(
        self, results: pyarrow.flight.FlightMetadataReader, progress: Callable[[Progress], None] | None
    ) -> None:
        self._results = results
        self._progress = progress
        self._last: dict[str, Any] = {}
        self._thread = threading.Thread(target=self._run, name="skein-ingest-progress", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while (message := self._results.read()) is not None:
                self._last = json.loads(message.to_pybytes())
                if self._progress is not None and self._last.get("state") == "progress":
                    self._progress(_known(Progress, self._last))
        except pyarrow.ArrowException:
            pass  # the writer's close raises the same error in the caller's thread

    def join(self) -> None:
        self._thread.join()

    def report(self) -> IngestReport:
        return _known(IngestReport, self._last)


def _known(kind: type[T], values: Mapping[str, Any]) -> T:
    """A dataclass from the values it knows; a newer server may send more."""
    names = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in values.items() if name in names})


@contextmanager
def _opened(source: str | os.PathLike[str] | BinaryIO) -> Iterator[tuple[BinaryIO, str]]:
    """The open stream and the name the server should know it by. A stream of the caller's stays open."""
    if not isinstance(source, str | os.PathLike):
        name = getattr(source, "name", "")
        yield source, Path(name).name if isinstance(name, str) else ""
        return
    path = Path(source)
    try:
        stream = path.open("rb")
    except OSError as error:
        raise InvalidInputError(f"cannot read '{path}': {error.strerror}") from error
    with stream:
        yield stream, path.name


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk
