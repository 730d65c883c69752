"""Files sent as they are: every format and compression, bad rows, repetition. Checked against pyarrow, polars and DuckDB."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.flight
import pyarrow.parquet
import pytest
import skein_flight
from skein_flight import errors
from support import data

Connection = skein_flight.Connection
ROWS = data.small(500)


def csv_text(rows: pa.Table = ROWS) -> bytes:
    return pl.DataFrame(rows).write_csv().encode()


def write_parquet(path: Path) -> None:
    pyarrow.parquet.write_table(ROWS, path)


def write_arrow_file(path: Path) -> None:
    pyarrow.feather.write_feather(ROWS, path, compression="lz4")


def write_arrow_stream(path: Path) -> None:
    with pa.ipc.new_stream(path, ROWS.schema) as writer:
        writer.write_table(ROWS, max_chunksize=100)


def write_csv(path: Path) -> None:
    path.write_bytes(csv_text())


def write_tsv(path: Path) -> None:
    path.write_bytes(csv_text().replace(b",", b"\t"))


def write_ndjson(path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS.to_pylist()))


def write_json_array(path: Path) -> None:
    path.write_text(json.dumps(ROWS.to_pylist(), indent=1))


FORMATS: dict[str, Callable[[Path], None]] = {
    "parquet": write_parquet,
    "arrow file": write_arrow_file,
    "arrow stream": write_arrow_stream,
    "csv": write_csv,
    "tsv": write_tsv,
    "ndjson": write_ndjson,
    "json array": write_json_array,
}


@pytest.mark.parametrize("name", FORMATS)
def test_format_is_found_by_content(skein: Connection, table: str, tmp_path: Path, name: str) -> None:
    path = tmp_path / "no-extension"
    FORMATS[name](path)
    assert skein.ingest_file(path, table).rows == 500
    got = skein.sql(f"SELECT id, name, value FROM {table} ORDER BY id").arrow()
    assert data.same_rows(got, ROWS)


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda raw: pa.compress(raw, codec="zstd", asbytes=True),
    "gzip members": lambda raw: gzip.compress(raw[:1000]) + gzip.compress(raw[1000:]),
}


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_compression_is_found_by_content(skein: Connection, table: str, tmp_path: Path, name: str) -> None:
    path = tmp_path / "data.csv"
    packed = COMPRESSIONS[name](csv_text())
    path.write_bytes(packed)
    assert skein.ingest_file(path, table).rows == 500
    assert skein.sql(f"SELECT sum(id), max(name) FROM {table}").fetchall() == [(124_750, "row 99")]


def test_a_plain_pyarrow_client_can_send_a_file(flight: pyarrow.flight.FlightClient, table: str) -> None:
    """No package of ours: a JSON command and a binary column."""
    command = {"ingest_file": {"path": table, "mode": "create"}}
    schema = pa.schema([("chunk", pa.binary())])
    writer, results = flight.do_put(pyarrow.flight.FlightDescriptor.for_command(json.dumps(command)), schema)
    with writer:
        for at in range(0, len(csv_text()), 4096):
            writer.write_batch(pa.record_batch({"chunk": [csv_text()[at : at + 4096]]}, schema=schema))
        writer.done_writing()
        last = None
        while (message := results.read()) is not None:
            last = json.loads(message.to_pybytes())
    assert last["state"] == "committed" and last["rows"] == 500


# ---- CSV -------------------------------------------------------------------------------------------------------------


def ingest_text(skein: Connection, table: str, text: str | bytes, **options: object) -> list[tuple]:
    import io

    raw = text.encode() if isinstance(text, str) else text
    skein.ingest_file(io.BytesIO(raw), table, "replace", force=True, **options)
    return skein.sql(f"SELECT * FROM {table}").fetchall()


CSV = {
    "quoted newlines": ('a,b\n1,"two\nlines"\n2,"say ""hi"""\n', {}, [(1, "two\nlines"), (2, 'say "hi"')]),
    "byte order mark": ("\ufeffa,b\n1,x\n", {}, [(1, "x")]),
    "windows line ends": ("a,b\r\n1,x\r\n2,y\r\n", {}, [(1, "x"), (2, "y")]),
    "no final newline": ("a,b\n1,x\n2,y", {}, [(1, "x"), (2, "y")]),
    "semicolons": ("a;b\n1;x\n2;y\n", {}, [(1, "x"), (2, "y")]),
    "pipes by option": ("a|b\n1|x,y\n", {"csv": {"delimiter": "|"}}, [(1, "x,y")]),
    "no header": ("1,x\n2,y\n", {"csv": {"has_header": False, "column_names": ["a", "b"]}}, [(1, "x"), (2, "y")]),
    "nulls": ("a,b\n1,NA\nNA,y\n", {"csv": {"null_values": ["NA"]}}, [(1, None), (None, "y")]),
    "an override": ("zip,n\n01234,1\n", {"schema_overrides": {"zip": "text"}}, [("01234", 1)]),
    "windows-1252": ("a,b\n1,café\n".encode("cp1252"), {"csv": {"encoding": "windows-1252"}}, [(1, "café")]),
    "utf-16": ("a,b\n1,café\n".encode("utf-16"), {}, [(1, "café")]),
    "single column": ("a\n1\n2\n", {}, [(1,), (2,)]),
}


@pytest.mark.parametrize("name", CSV)
def test_csv(skein: Connection, table: str, name: str) -> None:
    text, options, expected = CSV[name]
    assert ingest_text(skein, table, text, format="csv", **options) == expected


def test_a_bad_row_fails_with_line_and_column(skein: Connection, table: str) -> None:
    lines = ["id,price"] + [f"{n},{n}.5" for n in range(30_000)]
    lines[25_001] = "25000,cheap"
    with pytest.raises(errors.InvalidInputError) as caught:
        ingest_text(skein, table, "\n".join(lines), format="csv", sample_rows=1000)
    for part in ("25002", "price", "cheap"):
        assert part in str(caught.value)
    assert table not in {entry.name for entry in skein.tables()}


def test_a_ragged_row_is_reported_with_its_line(skein: Connection, table: str) -> None:
    with pytest.raises(errors.InvalidInputError, match="(?s)line 3"):
        ingest_text(skein, table, "a,b\n1,2\n3,4,5\n6,7\n", format="csv")


def test_bad_rows_can_be_skipped(skein: Connection, table: str) -> None:
    import io

    lines = ["id,price"] + [f"{n},{n}.5" for n in range(30_000)]
    lines[25_001] = "25000,cheap"
    lines[26_001] = "26000,1,2"
    report = skein.ingest_file(
        io.BytesIO("\n".join(lines).encode()), table, format="csv", on_bad_row="skip", sample_rows=1000
    )
    assert (report.rows, report.skipped_rows) == (29_998, 2)
    assert [reject["line"] for reject in report.rejects] == [25_002, 26_002]
    assert report.rejects[0]["value"] == "cheap"
    assert report.rejects_key
    assert skein.sql(f"SELECT count(*) FROM {table}").scalar() == 29_998


# ---- JSON ------------------------------------------------------------------------------------------------------------

NESTED = '{"id": 1, "who": {"name": "Ada", "tags": ["x", "y"]}}\n{"id": 2, "who": {"name": null, "age": 36}}\n'


def test_nested_objects_are_structs(skein: Connection, table: str) -> None:
    rows = ingest_text(skein, table, NESTED, format="json")
    assert [row[0] for row in rows] == [1, 2]
    assert rows[0][1]["name"] == "Ada" and rows[0][1]["tags"] == ["x", "y"] and rows[1][1]["age"] == 36


def test_nested_objects_can_be_flattened(skein: Connection, table: str) -> None:
    ingest_text(skein, table, NESTED, format="json", json={"flatten": True})
    got = skein.sql(f'SELECT id, "who.name", "who.age" FROM {table} ORDER BY id').fetchall()
    assert got == [(1, "Ada", None), (2, None, 36)]


def test_json_that_breaks_off(skein: Connection, table: str) -> None:
    with pytest.raises(errors.InvalidInputError, match="line 2"):
        ingest_text(skein, table, '{"id": 1}\n{"id": ', format="json")


# ---- the same file twice ---------------------------------------------------------------------------------------------


def test_the_same_bytes_are_taken_once(skein: Connection, table: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(csv_text())
    first = skein.ingest_file(path, table)
    path.rename(tmp_path / "renamed.csv")
    again = skein.ingest_file(tmp_path / "renamed.csv", table)
    assert (again.duplicate, again.rows, again.version) == (True, 0, first.version)
    assert skein.sql(f"SELECT count(*) FROM {table}").scalar() == 500
    assert skein.ingest_file(tmp_path / "renamed.csv", table, force=True).rows == 500
    assert skein.sql(f"SELECT count(*) FROM {table}").scalar() == 1000


# ---- broken files ----------------------------------------------------------------------------------------------------


def parquet_bytes() -> bytes:
    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(ROWS, sink)
    return sink.getvalue().to_pybytes()


def arrow_bytes() -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, ROWS.schema) as writer:
        writer.write_table(ROWS)
    return sink.getvalue().to_pybytes()


def flipped(raw: bytes, at: int) -> bytes:
    return raw[:at] + bytes([raw[at] ^ 0xFF]) + raw[at + 1 :]


BROKEN: dict[str, tuple[Callable[[], bytes], dict]] = {
    "zero bytes": (lambda: b"", {}),
    "zero bytes of parquet": (lambda: b"", {"format": "parquet"}),
    "zero bytes of gzip": (lambda: b"", {"compression": "gzip"}),
    "truncated parquet": (lambda: parquet_bytes()[:-100], {}),
    "parquet without its middle": (lambda: parquet_bytes()[:500] + parquet_bytes()[-500:], {}),
    "parquet with a hostile footer length": (lambda: b"PAR1" + b"\0" * 100 + b"\xff\xff\xff\x7fPAR1", {}),
    "parquet with a corrupt footer": (lambda: flipped(parquet_bytes(), len(parquet_bytes()) - 30), {}),
    "truncated gzip": (lambda: gzip.compress(csv_text())[:-200], {}),
    "corrupt gzip": (lambda: flipped(gzip.compress(csv_text()), 500), {}),
    "gzip of nothing useful": (lambda: gzip.compress(b"\x00\x01\x02" * 1000), {}),
    "truncated zstd": (lambda: pa.compress(csv_text(), codec="zstd", asbytes=True)[:-50], {}),
    "truncated arrow stream": (lambda: arrow_bytes()[:-300], {}),
    "arrow with a corrupt header": (lambda: arrow_bytes()[:8] + b"\xff" * 64 + arrow_bytes()[72:], {}),
    "arrow that is csv": (csv_text, {"format": "arrow"}),
    "text that is a picture": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20, {}),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused_whole(skein: Connection, table: str, tmp_path: Path, name: str) -> None:
    make, options = BROKEN[name]
    path = tmp_path / "broken.bin"
    path.write_bytes(make())
    with pytest.raises(errors.SkeinError) as caught:
        skein.ingest_file(path, table, **options)
    assert isinstance(caught.value, errors.InvalidInputError), repr(caught.value)
    assert "broken.bin" in str(caught.value)
    assert table not in {entry.name for entry in skein.tables()}
    assert skein.sql("SELECT 1").scalar() == 1


@pytest.mark.parametrize("name", ["truncated parquet", "truncated gzip", "corrupt gzip", "truncated arrow stream"])
def test_a_broken_file_changes_nothing_that_is_there(skein: Connection, table: str, tmp_path: Path, name: str) -> None:
    skein.ingest(table, ROWS)
    path = tmp_path / "broken.bin"
    path.write_bytes(BROKEN[name][0]())
    with pytest.raises(errors.SkeinError):
        skein.ingest_file(path, table, "append")
    assert skein.sql(f"SELECT count(*), sum(id) FROM {table}").fetchall() == [(500, 124_750)]


def test_a_wrong_option_is_named(skein: Connection, table: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(csv_text())
    with pytest.raises(errors.InvalidInputError, match="delimeter"):
        skein.ingest_file(path, table, csv={"delimeter": ","})


# ---- out again -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["parquet", "csv", "json", "arrow"])
def test_copy_to_a_file(skein: Connection, table: str, tmp_path: Path, kind: str) -> None:
    skein.ingest(table, ROWS)
    path = tmp_path / f"out.{kind}"
    assert skein.execute(f"COPY (SELECT * FROM {table} ORDER BY id) TO '{path}' STORED AS {kind.upper()}") == 500
    if kind == "parquet":
        assert data.same_rows(pyarrow.parquet.read_table(path), ROWS)
    elif kind == "csv":
        assert pl.read_csv(path).rows() == pl.DataFrame(ROWS).rows()
    elif kind == "json":
        assert [json.loads(line) for line in path.read_text().splitlines()] == ROWS.to_pylist()
    else:
        assert data.same_rows(pyarrow.feather.read_table(path), ROWS)


@pytest.mark.parametrize("kind", ["parquet", "csv", "json", "arrow"])
def test_an_external_table_is_read_in_place(skein: Connection, table: str, tmp_path: Path, kind: str) -> None:
    writers = {"parquet": write_parquet, "csv": write_csv, "json": write_ndjson, "arrow": write_arrow_file}
    folder = tmp_path / "files"
    folder.mkdir()
    writers[kind](folder / f"one.{kind}")
    options = "OPTIONS ('format.has_header' 'true')" if kind == "csv" else ""
    skein.execute(f"CREATE EXTERNAL TABLE {table} STORED AS {kind.upper()} LOCATION '{folder}/' {options}")
    assert skein.sql(f"SELECT count(*), sum(id) FROM {table}").fetchall() == [(500, 124_750)]
    writers[kind](folder / f"two.{kind}")
    assert skein.sql(f"SELECT count(*) FROM {table}").scalar() == 1000
    skein.execute(f"DROP TABLE {table}")
    assert (folder / f"one.{kind}").exists(), "the files are not ours to delete"


def test_hive_partitions(skein: Connection, table: str, tmp_path: Path) -> None:
    for year in (2023, 2024):
        folder = tmp_path / f"year={year}"
        folder.mkdir()
        write_parquet(folder / "part.parquet")
    skein.execute(f"CREATE EXTERNAL TABLE {table} STORED AS PARQUET PARTITIONED BY (year) LOCATION '{tmp_path}/'")
    got = skein.sql(f"SELECT CAST(year AS BIGINT) AS y, count(*) FROM {table} GROUP BY y ORDER BY y").fetchall()
    assert got == [(2023, 500), (2024, 500)]
