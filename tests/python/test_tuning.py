"""Evaluation sets, trials and the tuning of indexes, through the wire. The truth is computed with numpy from the same vectors."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import adbc_driver_manager.dbapi
import numpy as np
import pyarrow as pa
import pyarrow.flight as fl
import pytest
from test_search import DIMENSION, ROWS, Vectors, action, ask, clustered, nearest, rows, run, search

K = 10


@pytest.fixture
def values() -> Vectors:
    return clustered(ROWS, 1)


@pytest.fixture
def docs(adbc: adbc_driver_manager.dbapi.Connection, table: str, values: Vectors) -> Iterator[str]:
    """A dataset of two files with vectors, without an index."""
    for at in (0, ROWS // 2):
        with adbc.cursor() as cursor:
            cursor.adbc_ingest(table, rows(at, values[at : at + ROWS // 2]), mode="create_append")
    yield table
    run(adbc, f"DROP TABLE {table}")


@pytest.fixture
def evaluation(flight: fl.FlightClient, docs: str) -> Iterator[str]:
    name = f"{docs}_eval"
    made = action(flight, "evaluation.create", dataset=docs, name=name, queries=50)
    assert (made["name"], made["queries"], made["k"], made["rows"]) == (f"public.{name}", 50, K, ROWS)
    yield name
    action(flight, "evaluation.drop", name=name, if_exists=True)


def vectors(values: Vectors) -> list[dict[str, Any]]:
    return [{"values": vector.tolist()} for vector in values]


def trials(adbc: adbc_driver_manager.dbapi.Connection, evaluation: str, columns: str, more: str = "") -> list[Any]:
    return ask(adbc, f"SELECT {columns} FROM system.trials WHERE evaluation = '{evaluation}' {more}")


def ended(adbc: adbc_driver_manager.dbapi.Connection, job: str) -> tuple[str, Any, Any]:
    for _ in range(300):
        ((state, error, result),) = ask(adbc, f"SELECT state, error, result FROM system.jobs WHERE job_id = '{job}'")
        if state not in ("queued", "running"):
            return state, error, json.loads(result) if result else None
        time.sleep(0.2)
    raise AssertionError(f"job {job} does not end")


def test_an_evaluation_set_is_listed_and_dropped(
    adbc: adbc_driver_manager.dbapi.Connection, flight: fl.FlightClient, docs: str, evaluation: str
) -> None:
    listed = "SELECT table_name, column_name, metric, compared_rows, dimension, queries, k FROM system.evaluations WHERE evaluation = '%s'"
    assert ask(adbc, listed % evaluation) == [(docs, "e", "l2", ROWS, DIMENSION, 50, K)]
    with pytest.raises(pa.ArrowException, match="already exists"):
        action(flight, "evaluation.create", dataset=docs, name=evaluation)
    assert action(flight, "evaluation.drop", name=evaluation) == {"dropped": True}
    assert ask(adbc, listed % evaluation) == []
    assert action(flight, "evaluation.drop", name=evaluation, if_exists=True) == {"dropped": False}


@pytest.mark.parametrize("metric", ["l2", "cosine", "inner_product"])
def test_the_answers_are_those_of_numpy(
    adbc: adbc_driver_manager.dbapi.Connection, flight: fl.FlightClient, docs: str, values: Vectors, metric: str
) -> None:
    """What a live index answers is measured as numpy measures it."""
    queries, name = clustered(30, 2), f"{docs}_given"
    action(flight, "evaluation.create", dataset=docs, column="e", name=name, vectors=vectors(queries), k=K, metric=metric)
    action(flight, "index.create", dataset=docs, column="e", name=f"{docs}_i", kind="ivf_flat", nlist=40, metric=metric, wait=True)
    ran = action(flight, "trial.run", evaluation=name, index=f"{docs}_i", nprobe=[1, 2, 40], wait=True)
    assert ran["trials"] == 3
    measured = dict(trials(adbc, name, "nprobe, recall"))
    for nprobe in (1, 2):
        found = [search(flight, docs, query, index=f"{docs}_i", metric=metric, nprobe=nprobe) for query in queries]
        truth = [nearest(values, query, metric) for query in queries]
        mine = float(np.mean([len(set(a) & set(b)) / K for a, b in zip(found, truth, strict=True)]))
        # The search makes up for what too few lists hold; a trial asks as a search does.
        assert abs(measured[nprobe] - mine) < 0.02, (nprobe, measured[nprobe], mine)
    assert measured[40] == 1.0 and measured[1] <= measured[2]
    action(flight, "evaluation.drop", name=name)


def test_trials_record_what_was_built_and_how_it_answers(
    adbc: adbc_driver_manager.dbapi.Connection, flight: fl.FlightClient, docs: str, evaluation: str
) -> None:
    action(flight, "trial.run", evaluation=evaluation, kind="flat", wait=True)
    action(flight, "trial.run", evaluation=evaluation, kind="hnsw", m=8, ef=[10, 200], wait=True)
    action(flight, "trial.run", evaluation=evaluation, kind="ivf_pq", pq_m=6, nprobe=[64], refine=[1, 20], wait=True)
    columns = "kind, factory, ef, nprobe, refine, recall, p50_us, p95_us, p99_us, memory_bytes, vectors, build_ms, queries, k"
    seen = trials(adbc, evaluation, columns)
    assert len(seen) == 5
    for kind, factory, ef, nprobe, refine, recall, p50, p95, p99, memory, count, _, queries, k in seen:
        assert 0 < p50 <= p95 <= p99, (kind, p50, p95, p99)
        assert memory > 0 and (count, queries, k) == (ROWS, 50, K)
        assert kind != "flat" or (factory, ef, nprobe, refine, recall) == ("Flat", None, None, None, 1.0)
    at = {(kind, ef, refine): recall for kind, _, ef, _, refine, recall, *_ in seen}
    assert at["hnsw", 10, None] <= at["hnsw", 200, None] and at["hnsw", 200, None] > 0.95
    assert at["ivf_pq", None, 1] < at["ivf_pq", None, 20], "its own vectors decide among more rows"
    (best,) = trials(adbc, evaluation, "recall", "ORDER BY recall DESC, p50_us LIMIT 1")
    assert best == 1.0
    front = trials(adbc, evaluation, "recall, p50_us, memory_bytes", "AND pareto ORDER BY p50_us")
    others = trials(adbc, evaluation, "recall, p50_us, memory_bytes", "AND NOT pareto")
    assert front and all(any(f[0] >= o[0] and f[1] <= o[1] and f[2] <= o[2] for f in front) for o in others)
    # A trial builds nothing that stays.
    assert ask(adbc, f"SELECT * FROM system.indexes WHERE table_name = '{docs}'") == []
    action(flight, "evaluation.drop", name=evaluation)
    assert trials(adbc, evaluation, "recall") == []


def test_rows_that_came_since_and_rows_that_are_gone_are_known(
    adbc: adbc_driver_manager.dbapi.Connection, flight: fl.FlightClient, docs: str, values: Vectors
) -> None:
    """A generation of an older version is measured as a search uses it."""
    action(flight, "index.create", dataset=docs, column="e", name=f"{docs}_i", kind="flat", wait=True)
    run(adbc, f"DELETE FROM {docs} WHERE id % 3 = 0")
    with adbc.cursor() as cursor:
        cursor.adbc_ingest(docs, rows(ROWS, clustered(100, 7)), mode="append")
    name = f"{docs}_later"
    made = action(flight, "evaluation.create", dataset=docs, name=name, queries=40)
    assert made["rows"] == ROWS - len(range(0, ROWS, 3)) + 100
    action(flight, "trial.run", evaluation=name, index=f"{docs}_i", wait=True)
    assert trials(adbc, name, "recall") == [1.0]
    action(flight, "evaluation.drop", name=name)


@pytest.mark.parametrize(
    ("what", "body", "why"),
    [
        ("evaluation.create", {"k": 0}, "k is 0"),
        ("evaluation.create", {"k": 101}, "1 to 100"),
        ("evaluation.create", {"queries": 0}, "no query vectors"),
        ("evaluation.create", {"queries": 1_000_000}, "too many"),
        ("evaluation.create", {"vectors": [{"values": [1.0, 2.0]}]}, f"has 2 numbers; the column's vectors have {DIMENSION}"),
        ("evaluation.create", {"vectors": [{"values": [0.0] * DIMENSION}], "metric": "cosine"}, "all zeros"),
        ("evaluation.create", {"queries": 3, "vectors": [{"values": [0.0] * DIMENSION}]}, "both 'queries' and 'vectors'"),
        ("evaluation.create", {"column": "id"}, "needs vectors"),
        ("evaluation.create", {"metric": "manhattan"}, "manhattan"),
        ("evaluation.create", {"name": ""}, "'name' is empty"),
        ("trial.run", {"evaluation": "no_such"}, "'public.no_such' does not exist"),
        ("trial.run", {"evaluation": ""}, "'evaluation' is empty"),
        ("trial.run", {"ef": [0]}, "ef is 0"),
        ("trial.run", {"kind": "hnsw", "m": 1}, "from 4 to 256"),
        ("trial.run", {"index": "no_such"}, "'public.no_such' does not exist"),
        ("trial.run", {"index": "INDEX", "kind": "flat"}, "both an index and what to build"),
        ("trial.run", {"index": "INDEX", "generation": "01J9ZQ00000000000000000000"}, "has no generation"),
        ("index.autotune", {"name": "no_such"}, "'public.no_such' does not exist"),
        ("index.autotune", {"evaluation": "no_such"}, "'public.no_such' does not exist"),
        ("index.autotune", {"recall_floor": 1.5}, "recall_floor is 1.5"),
        ("index.autotune", {"recall_floor": 0}, "recall_floor is 0"),
        ("index.autotune", {"max_seconds": 0}, "max_seconds is 0"),
        ("index.autotune", {"max_memory": 0}, "max_memory is 0"),
        ("index.autotune", {"candidates": [{"kind": "ivf_pq", "pq_m": 5}]}, "does not divide"),
    ],
)
def test_what_cannot_be_is_refused(flight: fl.FlightClient, docs: str, evaluation: str, what: str, body: dict[str, Any], why: str) -> None:
    index = f"{docs}_i"
    action(flight, "index.create", dataset=docs, column="e", name=index, kind="flat", wait=True)
    usual = {
        "evaluation.create": {"dataset": docs, "name": f"{docs}_other"},
        "trial.run": {"evaluation": evaluation},
        "index.autotune": {"name": index},
    }
    with pytest.raises(pa.ArrowException, match=why):
        action(flight, what, **usual[what] | {key: index if value == "INDEX" else value for key, value in body.items()})


def test_nothing_to_compare_with_is_said(adbc: adbc_driver_manager.dbapi.Connection, flight: fl.FlightClient, table: str) -> None:
    run(adbc, f"CREATE TABLE {table} (id BIGINT, e FLOAT[4])")
    run(adbc, f"INSERT INTO {table} VALUES (1, NULL)")
    with pytest.raises(pa.ArrowException, match="holds no vectors"):
        action(flight, "evaluation.create", dataset=table, name=f"{table}_eval")
    run(adbc, f"DROP TABLE {table}")


def test_a_set_of_other_vectors_is_refused(flight: fl.FlightClient, docs: str, evaluation: str) -> None:
    action(flight, "index.create", dataset=docs, column="e", name=f"{docs}_i", kind="flat", metric="cosine", wait=True)
    for what, body in [("trial.run", {"evaluation": evaluation, "index": f"{docs}_i"}), ("index.autotune", {"name": f"{docs}_i", "evaluation": evaluation})]:
        with pytest.raises(pa.ArrowException, match="make an evaluation of what the index is of"):
            action(flight, what, **body)


def live(adbc: adbc_driver_manager.dbapi.Connection, index: str) -> tuple[Any, Any]:
    columns = "live_generation, kind"
    return ask(adbc, f"SELECT {columns} FROM system.indexes WHERE index_name = '{index}'")[0]


def test_autotune_takes_what_is_better_and_a_rollback_takes_it_back(
    adbc: adbc_driver_manager.dbapi.Connection, flight: fl.FlightClient, docs: str, values: Vectors, evaluation: str
) -> None:
    index = f"{docs}_i"
    # It keeps four bits of a vector and finds too little, so the floor alone decides.
    action(flight, "index.create", dataset=docs, column="e", name=index, kind="factory", factory="PQ1x4np", wait=True)
    before = live(adbc, index)
    candidates = [{"kind": "hnsw", "m": 16}]
    tune = {"name": index, "evaluation": evaluation, "recall_floor": 0.9, "candidates": candidates, "wait": True}
    dry = json.loads(action(flight, "index.autotune", **tune, dry_run=True)["result"])
    assert dry["better"] and not dry["changed"] and live(adbc, index) == before, dry
    done = json.loads(action(flight, "index.autotune", **tune)["result"])
    assert done["changed"] and done["live"]["recall"] < 0.9 <= done["chosen"]["recall"], done
    now = live(adbc, index)
    assert now == (done["generation"], "hnsw") and now != before
    ((how, is_live),) = ask(adbc, f"SELECT search, live FROM system.generations WHERE generation = '{done['generation']}'")
    assert is_live and json.loads(how)["ef"] >= 10 and json.loads(how)["up_to_k"] == K
    reason = [row for row in trials(adbc, evaluation, "generation, recall") if row[0] == done["generation"]]
    assert reason, "what was taken was measured again"
    queries = clustered(40, 2)
    found = [search(flight, docs, query, index=index) for query in queries]
    assert float(np.mean([len(set(a) & set(nearest(values, q))) / K for a, q in zip(found, queries, strict=True)])) > 0.85
    assert action(flight, "index.rollback", name=index)["generation"] == before[0]
    assert live(adbc, index) == before, "what is built next goes back, too"


def test_autotune_leaves_what_is_good_enough(
    adbc: adbc_driver_manager.dbapi.Connection, flight: fl.FlightClient, docs: str, evaluation: str
) -> None:
    index = f"{docs}_i"
    action(flight, "index.create", dataset=docs, column="e", name=index, kind="hnsw", wait=True)
    before = live(adbc, index)
    tune = {"name": index, "evaluation": evaluation, "wait": True}
    poor = [{"kind": "ivf_pq", "pq_m": 1}]
    kept = json.loads(action(flight, "index.autotune", **tune, candidates=poor, recall_floor=0.9)["result"])
    assert live(adbc, index) == before and kept["generation"] in (None, before[0]), kept
    none = json.loads(action(flight, "index.autotune", **tune, candidates=poor, recall_floor=1.0)["result"])
    assert live(adbc, index) == before and (none["chosen"] is None or none["chosen"]["recall"] == 1.0), none
    broke = json.loads(action(flight, "index.autotune", **tune, candidates=poor, max_memory=1)["result"])
    assert live(adbc, index) == before and "of memory" in broke["skipped"][0]["why"], broke


def test_how_hard_to_look_takes_effect_where_nothing_is_said(
    adbc: adbc_driver_manager.dbapi.Connection, flight: fl.FlightClient, docs: str, values: Vectors
) -> None:
    """An index of lists whose default looks into 32 of 1,024 is tuned to look into as many as the floor needs; what a search says itself comes first."""
    # Far from all that is there, so that the neighbours of a query lie in many lists.
    index, queries = f"{docs}_i", np.random.default_rng(5).standard_normal((40, DIMENSION)).astype(np.float32)
    truth = [nearest(values, query) for query in queries]

    def recall(**more: Any) -> float:
        found = [search(flight, docs, query, index=index, **more) for query in queries]
        return float(np.mean([len(set(a) & set(b)) / K for a, b in zip(found, truth, strict=True)]))

    action(flight, "index.create", dataset=docs, column="e", name=index, kind="ivf_flat", nlist=1024, wait=True)
    before, usual = live(adbc, index), recall()
    assert usual < 0.99
    tune = {"name": index, "recall_floor": 0.99, "candidates": [{"kind": "ivf_flat", "nlist": 1024}], "wait": True}
    shown = json.loads(action(flight, "index.autotune", **tune, dry_run=True)["result"])
    assert shown["evaluation"] == f"public.{index}_autotune" and live(adbc, index) == before
    vectors = [{"values": query.tolist()} for query in queries]
    action(flight, "evaluation.create", dataset=docs, column="e", name=f"{index}_far", k=K, metric="l2", vectors=vectors)
    done = json.loads(action(flight, "index.autotune", **tune, evaluation=f"{index}_far")["result"])
    assert done["changed"] and done["generation"] == before[0], "the same generation, searched otherwise: " + json.dumps(done)
    nprobe = done["chosen"]["search"]["nprobe"]
    assert nprobe > 32 and recall() == recall(nprobe=nprobe) >= 0.97 and usual == recall(nprobe=32)
    sql = f"SELECT id FROM {docs} ORDER BY l2_distance(e, {[float(x) for x in queries[0]]}) LIMIT {K}"
    assert len(set(ask(adbc, sql)) & set(truth[0])) / K >= 0.9
    action(flight, "index.rebuild", name=index, wait=True)
    rebuilt, _ = live(adbc, index)
    assert rebuilt != before[0] and recall() == recall(nprobe=nprobe), "a rebuild keeps it"
    for name in ("autotune", "far"):
        action(flight, "evaluation.drop", name=f"{index}_{name}")


def test_a_job_is_ended(adbc: adbc_driver_manager.dbapi.Connection, flight: fl.FlightClient, docs: str, evaluation: str) -> None:
    index = f"{docs}_i"
    action(flight, "index.create", dataset=docs, column="e", name=index, kind="hnsw", wait=True)
    before = live(adbc, index)
    long = [{"kind": "hnsw", "m": 64, "ef_construction": 2_000 + more} for more in range(20)]
    job = action(flight, "index.autotune", name=index, evaluation=evaluation, candidates=long)["job"]
    action(flight, "job.cancel", job=job)
    state, _, _ = ended(adbc, job)
    assert state == "cancelled" and live(adbc, index) == before
    ((kind, subject),) = ask(adbc, f"SELECT kind, subject FROM system.jobs WHERE job_id = '{job}'")
    assert (kind, subject) == ("index.autotune", f"public.{index}")
