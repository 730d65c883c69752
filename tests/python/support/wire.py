"""Flight SQL messages and Flight frames made by hand: what a client without any Flight SQL library puts on the wire, and what a
broken one does."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import grpc
import pyarrow
import pyarrow.flight

SQL = "arrow.flight.protocol.sql."
SERVICE = "/arrow.flight.protocol.FlightService/"
Value = bytes | str | int | None


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


def field(number: int, value: Value) -> bytes:
    """One protobuf field: text and bytes length-delimited, numbers and booleans as varints, None left out."""
    if value is None:
        return b""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def fields(message: bytes) -> dict[int, list[bytes | int]]:
    """The fields of a protobuf message, undecoded."""
    found: dict[int, list[bytes | int]] = {}
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        key = number()
        kind = key & 7
        value: bytes | int
        if kind == 0:
            value = number()
        elif kind == 2:
            size = number()
            value = message[at : at + size]
            at += size
        else:
            size = {1: 8, 5: 4}[kind]
            value = message[at : at + size]
            at += size
        found.setdefault(key >> 3, []).append(value)
    return found


def any_message(name: str, *parts: bytes) -> bytes:
    """google.protobuf.Any around a Flight SQL message."""
    return field(1, f"type.googleapis.com/{SQL}{name}") + field(2, b"".join(parts) or None)


def unpack(any_bytes: bytes, name: str) -> dict[int, list[bytes | int]]:
    """The fields of the message inside an Any, checked to be of that type."""
    outer = fields(any_bytes)
    url = outer[1][0]
    assert isinstance(url, bytes) and url.decode().endswith(SQL + name), url
    inner = outer.get(2, [b""])[0]
    assert isinstance(inner, bytes)
    return fields(inner)


def command(name: str, *parts: bytes) -> pyarrow.flight.FlightDescriptor:
    return pyarrow.flight.FlightDescriptor.for_command(any_message(name, *parts))


def signed(value: bytes | int) -> int:
    """A varint field read as int64."""
    assert isinstance(value, int)
    return value - (1 << 64) if value >= 1 << 63 else value


# ---- Flight frames, for clients that break the rules ----------------------------------------------------------------


def ipc_parts(message: bytes) -> tuple[bytes, bytes]:
    """The flatbuffer header and the body of an encapsulated IPC message."""
    marker, size = struct.unpack_from("<II", message)
    assert marker == 0xFFFFFFFF
    return message[8 : 8 + size], message[8 + size :]


def flight_data(header: bytes, body: bytes = b"", descriptor: bytes | None = None, metadata: bytes | None = None) -> bytes:
    """A FlightData message."""
    return field(1, descriptor) + field(2, header) + field(3, metadata) + field(1000, body or None)


def path_descriptor(*parts: str) -> bytes:
    """A FlightDescriptor of type PATH."""
    return field(1, 1) + b"".join(field(3, part) for part in parts)


def command_descriptor(body: bytes) -> bytes:
    """A FlightDescriptor of type CMD."""
    return field(1, 2) + field(2, body)


def schema_frame(schema: pyarrow.Schema, descriptor: bytes | None) -> bytes:
    header, _ = ipc_parts(schema.serialize().to_pybytes())
    return flight_data(header, descriptor=descriptor)


def batch_frame(batch: pyarrow.RecordBatch) -> bytes:
    header, body = ipc_parts(batch.serialize().to_pybytes())
    return flight_data(header, body)


def raw_do_put(channel: grpc.Channel, frames: Iterator[bytes], timeout: float = 60) -> list[bytes]:
    """Sends frames as they are; the PutResults, or the server's `grpc.RpcError`."""
    call = channel.stream_stream(SERVICE + "DoPut")(frames, timeout=timeout)
    return list(call)
