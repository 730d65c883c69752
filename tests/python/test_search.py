"""Vector search by every door: SQL over ADBC, the action from plain pyarrow, and a stream of query vectors by DoExchange.

The truth is computed with numpy from the same vectors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import adbc_driver_manager.dbapi
import numpy as np
import pyarrow as pa
import pyarrow.flight as fl
import pytest
from support.server import Server

ROWS, DIMENSION, K = 4_000, 24, 10

Vectors = np.ndarray[Any, np.dtype[np.float32]]


def clustered(rows: int, seed: int) -> Vectors:
    """Vectors around forty centres, as real embeddings lie in groups."""
    centres = np.random.default_rng(0).standard_normal((40, DIMENSION))
    noise = np.random.default_rng(seed)
    return (centres[noise.integers(0, 40, rows)] + 0.4 * noise.standard_normal((rows, DIMENSION))).astype(np.float32)


def column(values: Vectors) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def rows(first: int, values: Vectors) -> pa.Table:
    ids = np.arange(first, first + len(values), dtype=np.int64)
    return pa.table({"id": ids, "lang": pa.array(np.where(ids % 4 == 0, "en", "de")), "e": column(values)})


def distances(values: Vectors, query: Vectors, metric: str) -> Vectors:
    if metric == "l2":
        return np.linalg.norm(values - query, axis=1)
    dots = values @ query
    if metric == "inner_product":
        return -dots
    return 1 - dots / (np.linalg.norm(values, axis=1) * np.linalg.norm(query))


def nearest(values: Vectors, query: Vectors, metric: str = "l2", among: Vectors | None = None) -> list[int]:
    far = distances(values, query, metric)
    if among is not None:
        far = np.where(among, far, np.inf)
    return [int(at) for at in np.argsort(far, kind="stable")[:K]]


def action(client: fl.FlightClient, what: str, /, **body: Any) -> dict[str, Any]:
    (answer,) = client.do_action(fl.Action(what, json.dumps(body).encode()))
    return json.loads(answer.body.to_pybytes())


def search(client: fl.FlightClient, table: str, query: Vectors, **more: Any) -> list[int]:
    answer = action(client, "vector.search", dataset=table, vectors=[{"values": query.tolist()}], k=K, columns=["id"], **more)
    return [row["id"] for row in json.loads(answer["rows"])]


def recall(found: list[list[int]], truth: list[list[int]]) -> float:
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found, truth, strict=True)]))


def ask(adbc: adbc_driver_manager.dbapi.Connection, sql: str, parameters: list[Any] | None = None) -> list[Any]:
    with adbc.cursor() as cursor:
        cursor.execute(sql, parameters)
        return [row[0] if len(row) == 1 else row for row in cursor.fetchall()]


def run(adbc: adbc_driver_manager.dbapi.Connection, sql: str) -> None:
    with adbc.cursor() as cursor:
        cursor.adbc_statement.set_sql_query(sql)
        cursor.adbc_statement.execute_update()


@pytest.fixture
def values() -> Vectors:
    return clustered(ROWS, 1)


@pytest.fixture
def queries() -> Vectors:
    return clustered(40, 2)


@pytest.fixture
def docs(adbc: adbc_driver_manager.dbapi.Connection, table: str, values: Vectors) -> Iterator[str]:
    """A dataset of two files with vectors, without an index."""
    for at in (0, ROWS // 2):
        with adbc.cursor() as cursor:
            cursor.adbc_ingest(table, rows(at, values[at : at + ROWS // 2]), mode="create_append")
    yield table
    run(adbc, f"DROP TABLE {table}")


@pytest.mark.parametrize("metric", ["l2", "cosine", "inner_product"])
@pytest.mark.parametrize("kind", ["flat", "hnsw", "hnsw_sq8", "ivf_flat", "ivf_sq8", "ivf_pq", "ivf_pq_refine"])
def test_every_kind_finds_what_numpy_finds(
    adbc: adbc_driver_manager.dbapi.Connection, flight: fl.FlightClient, docs: str, values: Vectors, queries: Vectors, kind: str, metric: str
) -> None:
    run(adbc, f"CREATE INDEX {docs}_i ON {docs} USING {kind} (e) WITH (metric = '{metric}')")
    floor = {"flat": 1.0, "hnsw": 0.97, "ivf_pq": 0.6, "ivf_pq_refine": 0.75}.get(kind, 0.85)
    truth = [nearest(values, query, metric) for query in queries]
    hard = {"nprobe": 32, "ef": 128}
    found = [search(flight, docs, query, index=f"{docs}_i", metric=metric, **hard) for query in queries]
    assert recall(found, truth) >= floor
    exact = [search(flight, docs, query, metric=metric, exact=True) for query in queries]
    assert recall(exact, truth) == 1.0


def test_sql_is_planned_as_an_index_search(
    adbc: adbc_driver_manager.dbapi.Connection, docs: str, values: Vectors, queries: Vectors
) -> None:
    run(adbc, f"CREATE INDEX {docs}_i ON {docs} USING hnsw (e vector_l2_ops) WITH (m = 16, ef_construction = 100)")
    statement = f"SELECT id FROM {docs} ORDER BY l2_distance(e, '{{query}}') LIMIT {K}"
    plan = "\n".join(str(row) for row in ask(adbc, "EXPLAIN " + statement.format(query=queries[0].tolist())))
    assert f"IndexSearchExec: index=public.{docs}_i, kind=hnsw" in plan
    found = [ask(adbc, statement.format(query=query.tolist())) for query in queries]
    assert recall(found, [nearest(values, query) for query in queries]) >= 0.95
    # Distances are those of the rows, whatever the index holds.
    first = ask(adbc, f"SELECT id, l2_distance(e, '{queries[0].tolist()}') AS d FROM {docs} ORDER BY d LIMIT 3")
    for row, far in first:
        assert far == pytest.approx(float(np.linalg.norm(values[row] - queries[0])), rel=1e-5)
    # Another metric has no index: every vector is compared.
    other = f"SELECT id FROM {docs} ORDER BY cosine_distance(e, '{queries[0].tolist()}') LIMIT {K}"
    assert "IndexSearchExec" not in str(ask(adbc, "EXPLAIN " + other))
    assert ask(adbc, other) == nearest(values, queries[0], "cosine")


def test_parameters_are_vectors(adbc: adbc_driver_manager.dbapi.Connection, docs: str, values: Vectors, queries: Vectors) -> None:
    run(adbc, f"CREATE INDEX {docs}_i ON {docs} USING flat (e)")
    bound = pa.record_batch({"1": column(queries[:1])})
    with adbc.cursor() as cursor:
        cursor.execute(f"SELECT id FROM {docs} ORDER BY l2_distance(e, $1) LIMIT {K}", bound)
        assert [row[0] for row in cursor.fetchall()] == nearest(values, queries[0])


def test_a_filter_keeps_recall(
    adbc: adbc_driver_manager.dbapi.Connection, flight: fl.FlightClient, docs: str, values: Vectors, queries: Vectors
) -> None:
    run(adbc, f"CREATE INDEX {docs}_i ON {docs} USING hnsw (e)")
    ids = np.arange(ROWS)
    unfiltered = recall([search(flight, docs, query) for query in queries], [nearest(values, query) for query in queries])
    for condition, among in [
        ("id % 2 = 0", ids % 2 == 0),
        ("lang = 'en'", ids % 4 == 0),
        ("id < 400", ids < 400),
        ("id % 100 = 7", ids % 100 == 7),
        ("id BETWEEN 1000 AND 1011", (ids >= 1000) & (ids <= 1011)),
    ]:
        truth = [nearest(values, query, among=among) for query in queries]
        found = [search(flight, docs, query, filter=condition) for query in queries]
        assert all(len(answer) == K for answer in found), condition
        assert recall(found, truth) >= unfiltered - 0.02, condition
        sql = f"SELECT id FROM {docs} WHERE {condition} ORDER BY l2_distance(e, '{queries[0].tolist()}') LIMIT {K}"
        assert recall([ask(adbc, sql)], truth[:1]) >= 0.9, condition
    few = search(flight, docs, queries[0], filter="id IN (3, 5, 8)")
    assert sorted(few) == [3, 5, 8], "fewer than k only when fewer match"
    assert search(flight, docs, queries[0], filter="id < 0") == []


def test_new_rows_are_found_at_once_and_deleted_ones_never(
    adbc: adbc_driver_manager.dbapi.Connection, flight: fl.FlightClient, docs: str, values: Vectors, queries: Vectors
) -> None:
    run(adbc, f"CREATE INDEX {docs}_i ON {docs} USING hnsw (e)")
    query = queries[0]
    best = search(flight, docs, query)[0]
    with adbc.cursor() as cursor:
        cursor.adbc_ingest(docs, rows(ROWS, query[None, :]), mode="append")
    assert search(flight, docs, query)[:2] == [ROWS, best]
    assert search(flight, docs, query, consistency="generation")[0] == best, "only what the index was built of"
    run(adbc, f"DELETE FROM {docs} WHERE id IN ({ROWS}, {best})")
    for found in (search(flight, docs, query), search(flight, docs, query, consistency="generation")):
        assert not {ROWS, best} & set(found) and len(found) == K
    # A changed vector is found where it is now.
    far = (query + 100).tolist()
    moved = search(flight, docs, query)[0]
    run(adbc, f"UPDATE {docs} SET e = {far} WHERE id = {moved}")
    assert moved not in search(flight, docs, query)
    assert search(flight, docs, np.array(far, dtype=np.float32))[0] == moved
    # An older version answers as it did.
    (version,) = ask(adbc, f"SELECT max(version) FROM system.snapshots WHERE table_name = '{docs}'")
    sql = f"SELECT id FROM {docs} VERSION AS OF {version - 2} ORDER BY l2_distance(e, '{query.tolist()}') LIMIT 2"
    assert ask(adbc, sql)[0] == ROWS
    # Compaction moves all rows to other files; a rebuild takes them in again.
    action(flight, "dataset.compact", dataset=docs)
    before = search(flight, docs, query)
    assert before == search(flight, docs, query, exact=True)
    action(flight, "index.rebuild", name=f"{docs}_i", wait=True)
    assert search(flight, docs, query) == before


def test_generations_are_promoted_and_rolled_back(
    adbc: adbc_driver_manager.dbapi.Connection, flight: fl.FlightClient, docs: str, queries: Vectors
) -> None:
    created = action(flight, "index.create", dataset=docs, column="e", kind="hnsw", wait=True)
    assert created["created"] and created["name"] == f"public.{docs}_e"
    again = action(flight, "index.create", dataset=docs, column="e", if_not_exists=True)
    assert not again["created"]
    name = f"{docs}_e"
    action(flight, "index.rebuild", name=name, keep_live=True, wait=True)
    listed = f"SELECT generation, live FROM system.generations WHERE index_name = '{name}' ORDER BY generation"
    (first, one), (second, two) = ask(adbc, listed)
    assert (one, two) == (True, False)
    promoted = action(flight, "index.promote", name=name, generation=second, reason="newer")
    assert promoted == {"generation": second, "before": first}
    assert len(search(flight, docs, queries[0])) == K
    assert action(flight, "index.rollback", name=name) == {"generation": first, "before": second}
    (curve,) = ask(adbc, f"SELECT recall FROM system.generations WHERE generation = '{first}'")
    points = json.loads(curve)
    assert len(points) > 3 and points[-1]["recall_at_10"] > 0.95
    jobs = ask(adbc, f"SELECT state, phase FROM system.jobs WHERE subject = 'public.{name}'")
    assert [state for state, _ in jobs] == ["succeeded", "succeeded"]
    assert action(flight, "index.drop", name=name) == {"dropped": True}
    assert action(flight, "index.drop", name=name, if_exists=True) == {"dropped": False}


def exchange(client: fl.FlightClient, batches: list[pa.RecordBatch], **search: Any) -> pa.Table:
    command = json.dumps({"search": search}).encode()
    writer, reader = client.do_exchange(fl.FlightDescriptor.for_command(command))
    with writer:
        writer.begin(batches[0].schema)
        for batch in batches:
            writer.write_batch(batch)
        writer.done_writing()
        return reader.read_all()


def test_a_stream_of_vectors_is_answered_in_order(
    adbc: adbc_driver_manager.dbapi.Connection, flight: fl.FlightClient, docs: str, values: Vectors
) -> None:
    run(adbc, f"CREATE INDEX {docs}_i ON {docs} USING hnsw (e)")
    queries = clustered(1_000, 3)
    batches = [pa.record_batch({"note": pa.array(["x"] * 250), "v": column(queries[at : at + 250])}) for at in range(0, 1_000, 250)]
    answers = exchange(flight, batches, dataset=docs, column="e", k=K, columns=["id", "lang"])
    assert answers.column_names == ["query", "rank", "distance", "id", "lang"]
    assert answers["query"].to_pylist() == [query for query in range(1_000) for _ in range(K)]
    assert answers["rank"].to_pylist() == list(range(1, K + 1)) * 1_000
    found = answers["id"].to_numpy().reshape(1_000, K).tolist()
    assert recall(found, [nearest(values, query) for query in queries]) >= 0.95
    assert set(answers["lang"].to_pylist()) == {"en", "de"}
    alone = exchange(flight, batches[:1], dataset=docs, k=3, filter="lang = 'en'", columns=["id"])
    assert all(row % 4 == 0 for row in alone["id"].to_pylist()) and alone.num_rows == 750


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"vectors": []}, "nothing to look for"),
    ({"vectors": [{"values": [1.0, 2.0]}]}, f"query vector 0 has 2 numbers; the column's vectors have {DIMENSION}"),
    ({"k": 20_000}, "k is 20000; it must be between 1 and 10000"),
    ({"dataset": "nowhere"}, "does not exist"),
    ({"column": "id"}, "holds? no vectors|needs vectors of one length"),
    ({"columns": ["langg"]}, "did you mean 'lang'"),
    ({"filter": "lang = "}, "sql parser error|Expected"),
    ({"filter": "langg = 'en'"}, "langg"),
    ({"filter": "lang"}, "is true or false"),
    ({"index": "no_such_index"}, "index 'public.no_such_index' does not exist"),
    ({"metric": "manhattan"}, "there are l2, cosine and inner_product"),
    ({"consistency": "eventual"}, "there are strong, generation"),
    ({"columns": ["nope"]}, "column 'nope' does not exist"),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_what_is_wrong_is_said_and_the_connection_stays_usable(
    adbc: adbc_driver_manager.dbapi.Connection, flight: fl.FlightClient, docs: str, queries: Vectors, change: dict[str, Any], message: str
) -> None:
    run(adbc, f"CREATE INDEX {docs}_i ON {docs} USING hnsw (e)")
    good = {"dataset": docs, "column": "e", "vectors": [{"values": queries[0].tolist()}], "k": K}
    with pytest.raises((pa.ArrowInvalid, pa.ArrowKeyError, fl.FlightError), match=message):
        action(flight, "vector.search", **(good | change))
    assert len(search(flight, docs, queries[0])) == K


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("CREATE INDEX ON {t} USING hnsw (id)", "needs vectors of one length"),
        ("CREATE INDEX ON {t} USING hnsw (nope)", "column 'nope' does not exist"),
        ("CREATE INDEX ON {t} USING btree (e)", "not supported"),
        ("CREATE INDEX ON {t} USING nothing (e)", "there are flat, hnsw"),
        ("CREATE INDEX ON {t} USING hnsw (e) WITH (colour = 'red')", "'colour' is no option of an index"),
        ("CREATE INDEX ON {t} USING hnsw (e) WITH (m = 'many')", "must be a whole number"),
        ("CREATE INDEX ON {t} USING hnsw (e) WITH (m = 0)", "m"),
        ("CREATE INDEX ON {t} USING ivf_pq (e) WITH (pq_m = 7)", "7"),
        ("CREATE INDEX ON {t} USING hnsw (e, id)", "an index is of one column"),
        ("CREATE UNIQUE INDEX ON {t} USING hnsw (e)", "not supported"),
        ("CREATE INDEX ON {t}_not USING hnsw (e)", "does not exist"),
        ("DROP INDEX {t}_none", "does not exist"),
    ],
)
def test_indexes_that_cannot_be_are_refused(adbc: adbc_driver_manager.dbapi.Connection, docs: str, sql: str, message: str) -> None:
    with pytest.raises(adbc_driver_manager.dbapi.Error, match=message):
        run(adbc, sql.format(t=docs))
    assert ask(adbc, f"SELECT count(*) FROM system.indexes WHERE table_name = '{docs}'") == [0]


def test_rows_without_a_usable_vector_are_no_trouble(adbc: adbc_driver_manager.dbapi.Connection, flight: fl.FlightClient, table: str) -> None:
    run(adbc, f"CREATE TABLE {table} (id BIGINT, e FLOAT[2])")
    run(adbc, f"CREATE INDEX {table}_i ON {table} USING hnsw (e vector_cosine_ops)")
    assert ask(adbc, f"SELECT id FROM {table} ORDER BY cosine_distance(e, [1, 0]) LIMIT 3") == []
    run(adbc, f"INSERT INTO {table} VALUES (1, [1, 0]), (2, NULL), (3, [0, 0]), (4, [0, 1])")
    query = {"dataset": table, "vectors": [{"values": [1, 0]}], "k": 5, "columns": ["id"]}
    for _ in range(2):  # as new rows, then as rows of the index
        answer = action(flight, "vector.search", **query)
        assert [row["id"] for row in json.loads(answer["rows"])] == [1, 4]
        sql = f"SELECT id FROM {table} ORDER BY cosine_distance(e, [1, 0]) LIMIT 4"
        assert ask(adbc, sql)[:2] == [1, 4]
        assert sorted(ask(adbc, sql)) == [1, 2, 3, 4], "SQL has as many rows as the table"
        action(flight, "index.rebuild", name=f"{table}_i", wait=True)
    for wrong, message in [([0, 0], "all zeros"), ([float("nan"), 1], "finite|JSON|invalid")]:
        with pytest.raises((pa.ArrowInvalid, fl.FlightError), match=message):
            action(flight, "vector.search", **(query | {"vectors": [{"values": wrong}]}))
    run(adbc, f"DROP TABLE {table}")


def test_an_index_survives_a_restart_and_damage_is_seen(tmp_path: Path, names: Callable[[], str]) -> None:
    server = Server(tmp_path / "own").start()
    try:
        values, query = clustered(500, 5), clustered(1, 6)[0]
        with fl.FlightClient(server.url) as client:
            writer, _ = client.do_put(fl.FlightDescriptor.for_path("docs"), rows(0, values).schema)
            with writer:
                writer.write_table(rows(0, values))
            action(client, "index.create", dataset="docs", column="e", name="i", wait=True)
            before = search(client, "docs", query, index="i")
        assert server.stop() == 0
        server.start()
        with fl.FlightClient(server.url) as client:
            assert search(client, "docs", query, index="i") == before
        assert server.stop() == 0
        (file,) = (tmp_path / "own").rglob("index.faiss")
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 0x10
        file.write_bytes(content)
        for copy in (tmp_path / "own").rglob("*.faiss"):
            if copy != file:
                copy.unlink()
        server.start()
        with fl.FlightClient(server.url) as client:
            with pytest.raises((pa.ArrowException, fl.FlightError), match="index.rebuild"):
                search(client, "docs", query, index="i")
            # Nobody asked for that very index: the answer comes without it.
            assert search(client, "docs", query) == nearest(values, query)
            action(client, "index.rebuild", name="i", wait=True)
            assert search(client, "docs", query, index="i") == before
    finally:
        server.stop()
