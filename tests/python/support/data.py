"""Tables that tests send around."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa

UTC = dt.UTC


def small(rows: int = 5) -> pa.Table:
    """id, name, value: no surprises."""
    return pa.table(
        {
            "id": pa.array(range(rows), pa.int64()),
            "name": pa.array([f"row {i}" for i in range(rows)], pa.string()),
            "value": pa.array([i / 4 for i in range(rows)], pa.float64()),
        }
    )


def every_type() -> pa.Table:
    """A column of each Arrow type that can be stored; three rows, the last all null."""
    t = dt.datetime(2024, 2, 29, 23, 59, 59, 123456)
    columns: dict[str, pa.Array] = {
        "boolean": pa.array([True, False, None]),
        "int8": pa.array([-128, 127, None], pa.int8()),
        "int16": pa.array([-(2**15), 2**15 - 1, None], pa.int16()),
        "int32": pa.array([-(2**31), 2**31 - 1, None], pa.int32()),
        "int64": pa.array([-(2**63), 2**63 - 1, None], pa.int64()),
        "uint8": pa.array([0, 255, None], pa.uint8()),
        "uint16": pa.array([0, 2**16 - 1, None], pa.uint16()),
        "uint32": pa.array([0, 2**32 - 1, None], pa.uint32()),
        "uint64": pa.array([0, 2**64 - 1, None], pa.uint64()),
        "float32": pa.array([1.5, -3.25, None], pa.float32()),
        "float64": pa.array([1e300, -1e-300, None], pa.float64()),
        "decimal128": pa.array([Decimal("12345678901234567890.1234567890"), Decimal("-1E-10"), None], pa.decimal128(38, 10)),
        "decimal256": pa.array([Decimal("1" * 60), Decimal(-1), None], pa.decimal256(76, 0)),
        "string": pa.array(["", "héllo 🦢", None], pa.string()),
        "large_string": pa.array(["", "x" * 100, None], pa.large_string()),
        "binary": pa.array([b"", b"\x00\xff", None], pa.binary()),
        "large_binary": pa.array([b"", b"y" * 100, None], pa.large_binary()),
        "fixed_binary": pa.array([b"abcd", b"\x00\x01\x02\x03", None], pa.binary(4)),
        "date32": pa.array([dt.date(1, 1, 1), dt.date(9999, 12, 31), None], pa.date32()),
        "time32_s": pa.array([dt.time(0, 0, 0), dt.time(23, 59, 59), None], pa.time32("s")),
        "time32_ms": pa.array([dt.time(0, 0, 0), dt.time(23, 59, 59, 999000), None], pa.time32("ms")),
        "time64_us": pa.array([dt.time(0, 0, 0), dt.time(23, 59, 59, 999999), None], pa.time64("us")),
        "time64_ns": pa.array([0, 86_399_999_999_999, None], pa.time64("ns")),
        "timestamp_s": pa.array([t.replace(microsecond=0), dt.datetime(1970, 1, 1), None], pa.timestamp("s")),
        "timestamp_ms": pa.array([t.replace(microsecond=123000), dt.datetime(1969, 12, 31), None], pa.timestamp("ms")),
        "timestamp_us": pa.array([t, dt.datetime(1, 1, 1), None], pa.timestamp("us")),
        "timestamp_ns": pa.array([t, dt.datetime(1970, 1, 1), None], pa.timestamp("ns")),
        "timestamp_utc": pa.array([t.replace(tzinfo=UTC), dt.datetime(1970, 1, 1, tzinfo=UTC), None], pa.timestamp("us", "UTC")),
        "timestamp_zone": pa.array(
            [t.replace(tzinfo=UTC), dt.datetime(1970, 1, 1, tzinfo=UTC), None], pa.timestamp("us", "Europe/Berlin")
        ),
        "duration_us": pa.array([dt.timedelta(days=1, microseconds=1), dt.timedelta(0), None], pa.duration("us")),
        "list": pa.array([[1, None, 3], [], None], pa.list_(pa.int32())),
        "large_list": pa.array([["a"], [], None], pa.large_list(pa.string())),
        "fixed_list": pa.array([[1.0, 2.0], [3.0, None], None], pa.list_(pa.float32(), 2)),
        "struct": pa.array([{"a": 1, "b": "x"}, {"a": None, "b": ""}, None], pa.struct([("a", pa.int64()), ("b", pa.string())])),
        "nested": pa.array(
            [[{"k": [1, 2]}], [{"k": None}, {"k": []}], None], pa.list_(pa.struct([("k", pa.list_(pa.int64()))]))
        ),
        "map": pa.array([[("a", 1), ("b", None)], [], None], pa.map_(pa.string(), pa.int64())),
        "dictionary": pa.array(["red", "green", None], pa.dictionary(pa.int32(), pa.string())),
    }
    return pa.table(columns)


def view_types() -> pa.Table:
    """Types that older clients cannot read; the server sends them as ones they can."""
    return pa.table(
        {
            "string_view": pa.array(["short", "longer than twelve bytes", None], pa.string_view()),
            "binary_view": pa.array([b"short", b"longer than twelve bytes", None], pa.binary_view()),
        }
    )


def same_rows(left: pa.Table, right: pa.Table) -> bool:
    """Same column names and values, in order, whatever the physical types."""
    return left.column_names == right.column_names and left.to_pylist() == right.to_pylist()
