"""The few Flight SQL messages that plain pyarrow needs, written by hand so that no generated stubs are required."""

from __future__ import annotations

from pyarrow import flight

_PACKAGE = "type.googleapis.com/arrow.flight.protocol.sql."


def _varint(n: int) -> bytes:
    out = bytearray()
    while True:
        n, low = n >> 7, n & 0x7F
        out.append(low | (0x80 if n else 0))
        if not n:
            return bytes(out)


def _bytes_field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _int_field(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _any(name: str, body: bytes) -> bytes:
    return _bytes_field(1, (_PACKAGE + name).encode()) + _bytes_field(2, body)


def statement(sql: str) -> flight.FlightDescriptor:
    return flight.FlightDescriptor.for_command(_any("CommandStatementQuery", _bytes_field(1, sql.encode())))


def ingest(table: str, *, temporary: bool = False) -> flight.FlightDescriptor:
    """CommandStatementIngest that creates the table or appends to it."""
    options = _int_field(1, 1) + _int_field(2, 2)  # create if missing, append if there
    body = _bytes_field(1, options) + _bytes_field(2, table.encode())
    if temporary:
        body += _int_field(5, 1)
    return flight.FlightDescriptor.for_command(_any("CommandStatementIngest", body))
