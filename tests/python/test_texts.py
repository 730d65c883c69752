"""Search by words, by meaning and by both, and searches as tables, over real texts: descriptions of Debian's packages."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import adbc_driver_manager.dbapi
import numpy as np
import pyarrow as pa
import pyarrow.flight as fl
import pytest
import skein_flight
from support import texts
from support.server import Server

COUNT = 600


@pytest.fixture(scope="module")
def corpus() -> pa.Table:
    table = texts.packages(COUNT)
    assert table.num_rows >= 100, "there are neither apt's lists nor dpkg's"
    return table


@pytest.fixture(scope="module")
def packages(server: Server, corpus: pa.Table) -> str:
    """The texts with their vectors, and an index of either, in two files."""
    with skein_flight.connect(server.url) as skein, fl.FlightClient(server.url) as client:
        writer, _ = client.do_put(fl.FlightDescriptor.for_path("texts_raw"), corpus.schema)
        with writer:
            writer.write_table(corpus)
        embedded = "SELECT *, embed('minilm', description) AS e FROM texts_raw"
        skein.execute(f"CREATE TABLE texts AS {embedded} WHERE id % 2 = 0")
        skein.execute(f"INSERT INTO texts {embedded} WHERE id % 2 = 1")
        skein.execute("CREATE INDEX texts_e ON texts USING hnsw (e) WITH (metric = 'cosine', model = 'minilm')")
        skein.execute("CREATE INDEX texts_words ON texts USING bm25 (description)")
    return "texts"


def column(skein: skein_flight.Connection, query: str) -> list[Any]:
    return skein.sql(query).arrow().column(0).to_pylist()


def refused(skein: skein_flight.Connection, query: str) -> str:
    with pytest.raises(Exception) as refusal:
        skein.sql(query).arrow()
    return str(refusal.value)


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def test_words_are_found_where_they_are(skein: skein_flight.Connection, packages: str, corpus: pa.Table) -> None:
    descriptions = dict(zip(corpus.column("id").to_pylist(), corpus.column("description").to_pylist(), strict=True))
    for word in ("library", "python", "data"):
        found = skein.sql(f"SELECT id, _score, _rank FROM text_search({packages}, '{word}', k => 1000) ORDER BY _rank").arrow()
        ids, scores = found.column("id").to_pylist(), found.column("_score").to_pylist()
        there = {row for row, text in descriptions.items() if word in words(text)}
        # Endings are cut off, so that other forms of the word are found, too.
        assert there <= set(ids) and len(ids) < len(descriptions)
        assert all(any(other.startswith(word[:4]) for other in words(descriptions[row])) for row in ids)
        assert scores == sorted(scores, reverse=True) and min(scores) > 0
        assert found.column("_rank").to_pylist() == list(range(1, len(ids) + 1))


def test_ways_to_match(skein: skein_flight.Connection, packages: str) -> None:
    find = "SELECT description FROM text_search(texts, '{}', k => 1000, match => '{}')"
    either = column(skein, find.format("python library", "any"))
    both = column(skein, find.format("python library", "all"))
    assert 0 < len(both) < len(either) and set(both) < set(either)
    assert all({"python"} <= words(text) or "python3" in words(text) for text in both)
    side_by_side = column(skein, find.format("development files", "phrase"))
    assert side_by_side and all(re.search(r"develop\w* file", text.lower()) for text in side_by_side)
    without = column(skein, find.format("+python -library", "query"))
    assert set(without) == set(column(skein, find.format("python", "any"))) - set(both)
    assert column(skein, find.format("devel* AND NOT python", "query"))
    typo = "SELECT description FROM text_search(texts, 'pythn libary', k => 1000, match => 'all', fuzzy => {})"
    assert column(skein, typo.format(0)) == []
    assert set(both) <= set(column(skein, typo.format(1)))


def test_a_filter_is_applied_before_the_best_are_taken(skein: skein_flight.Connection, packages: str, corpus: pa.Table) -> None:
    sections = corpus.column("section").to_pylist()
    section = max(set(sections), key=sections.count)
    query = f"SELECT section FROM text_search(texts, 'library files data', k => 5, filter => 'section = ''{section}''')"
    assert column(skein, query) == [section] * 5
    rare = corpus.column("id").to_pylist()[7]
    near = f"SELECT id FROM vector_search(texts, 'anything at all', k => 5, filter => 'id = {rare}')"
    assert column(skein, near) == [rare]
    assert column(skein, "SELECT id FROM text_search(texts, 'library', filter => 'id < 0')") == []


def test_meaning_is_what_the_model_says(skein: skein_flight.Connection, packages: str, corpus: pa.Table) -> None:
    query = "drawing and editing images"
    vectors = np.array(column(skein, "SELECT e FROM texts ORDER BY id"), dtype=np.float32)
    (vector,) = column(skein, f"SELECT embed('minilm', '{query}', 'query')")
    far = 1 - vectors @ np.array(vector) / np.linalg.norm(vectors, axis=1) / np.linalg.norm(vector)
    truth = [int(row) for row in np.argsort(far, kind="stable")[:10]]
    found = skein.sql(f"SELECT id, _distance, _rank FROM vector_search(texts, '{query}', ef => 200)").arrow()
    assert len(set(found.column("id").to_pylist()) & set(truth)) >= 9
    assert found.column("_distance").to_pylist() == pytest.approx(sorted(far[found.column("id").to_pylist()]), abs=1e-5)
    exact = column(skein, f"SELECT id FROM vector_search('public.texts', '{query}', k => 10, exact => true)")
    assert exact == truth
    by_sort = f"SELECT id FROM texts ORDER BY cosine_distance(e, embed('minilm', '{query}', 'query')) LIMIT 10"
    assert len(set(column(skein, by_sort)) & set(truth)) >= 9
    assert "IndexSearchExec: index=public.texts_e" in str(skein.sql("EXPLAIN " + by_sort).arrow().to_pylist())


def test_ranking_of_sections(skein: skein_flight.Connection, packages: str, corpus: pa.Table) -> None:
    """Texts of a package's own section come first more often than by chance, by words, by meaning, and most by both (nDCG@10)."""
    sections = dict(zip(corpus.column("id").to_pylist(), corpus.column("section").to_pylist(), strict=True))
    gains = 1 / np.log2(np.arange(2, 12))
    queries = [
        (row, text, sections[row])
        for row, text in zip(corpus.column("id").to_pylist(), corpus.column("description").to_pylist(), strict=True)
        if list(sections.values()).count(sections[row]) > 10
    ][::12]
    ndcg: dict[str, float] = {}
    for way in ("vector_search", "text_search", "hybrid_search"):
        total = 0.0
        for row, text, section in queries:
            safe = text.replace("'", "''")
            ids = column(skein, f"SELECT id FROM {way}(texts, '{safe}', k => 10, filter => 'id <> {row}')")
            total += sum(gain for gain, other in zip(gains, ids, strict=False) if sections[other] == section) / gains.sum()
        ndcg[way] = total / len(queries)
    chance = sum(list(sections.values()).count(section) / len(sections) for _, _, section in queries) / len(queries)
    assert all(value > 1.5 * chance for value in ndcg.values()), (ndcg, chance)
    assert ndcg["hybrid_search"] > 0.9 * max(ndcg.values()), ndcg


def test_a_hybrid_search_fuses_both(skein: skein_flight.Connection, packages: str) -> None:
    query = "python library for images"
    near = column(skein, f"SELECT id FROM vector_search(texts, '{query}', k => 50)")
    matching = column(skein, f"SELECT id FROM text_search(texts, '{query}', k => 50)")
    scores: dict[int, float] = {}
    for ranking in (near, matching):
        for rank, row in enumerate(ranking, 1):
            scores[row] = scores.get(row, 0.0) + 0.5 / (60 + rank)
    found = skein.sql(f"SELECT id, _score, _distance, _text_score FROM hybrid_search(texts, '{query}', k => 10)").arrow()
    expected = sorted(scores.values(), reverse=True)[:10]
    assert found.column("_score").to_pylist() == pytest.approx(expected, rel=1e-5)
    for row, distance, score in zip(*(found.column(name).to_pylist() for name in ("id", "_distance", "_text_score")), strict=True):
        assert (distance is not None) == (row in near) and (score is not None) == (row in matching)
    only_words = f"SELECT id FROM hybrid_search(texts, '{query}', k => 10, fusion => 'weighted', weight => 0.0)"
    best = column(skein, f"SELECT _score FROM text_search(texts, '{query}', k => 10)")
    assert column(skein, only_words.replace("SELECT id", "SELECT _text_score")) == best
    only_meaning = f"SELECT id FROM hybrid_search(texts, '{query}', k => 10, weight => 1)"
    assert column(skein, only_meaning) == near[:10]


def test_a_search_is_a_relation(skein: skein_flight.Connection, packages: str) -> None:
    joined = """SELECT t.name, s._rank FROM vector_search(texts, 'network tools', k => 20) s JOIN texts t ON t.id = s.id
                WHERE s._rank <= 3 ORDER BY s._rank"""
    assert len(column(skein, joined)) == 3
    grouped = skein.sql(
        "SELECT section, count(*) AS n FROM text_search('texts', 'library', k => 100) GROUP BY section ORDER BY n DESC, section"
    ).arrow()
    assert sum(grouped.column("n").to_pylist()) == len(column(skein, "SELECT id FROM text_search('texts', 'library', k => 100)"))
    assert column(skein, "SELECT count(*) FROM vector_search(texts, 'network tools', k => 7)") == [7]
    both = "SELECT a.id FROM vector_search(texts, 'games', k => 50) a WHERE a.id IN (SELECT id FROM text_search(texts, 'game', k => 50))"
    assert column(skein, both)
    skein.execute("CREATE VIEW texts_games AS SELECT name, _rank FROM vector_search(texts, 'games to play', k => 5)")
    assert len(column(skein, "SELECT name FROM texts_games ORDER BY _rank")) == 5
    assert column(skein, "SELECT * FROM texts_games WHERE _rank = 6") == []
    skein.execute("CREATE TABLE texts_found AS SELECT id, name, _rank FROM text_search(texts, 'library', k => 20)")
    skein.execute("DELETE FROM texts_found WHERE id IN (SELECT id FROM text_search(texts, 'library', k => 5))")
    assert column(skein, "SELECT _rank FROM texts_found ORDER BY _rank") == list(range(6, 21))
    skein.execute("DROP VIEW texts_games")
    skein.execute("DROP TABLE texts_found")


def test_like_a_row_without_some_and_within_a_distance(skein: skein_flight.Connection, packages: str) -> None:
    like = "vector_search(texts, (SELECT e FROM texts WHERE id = 5), k => 6{})"
    ids = column(skein, f"SELECT id FROM {like.format('')}")
    assert ids[0] == 5
    others = column(skein, "SELECT id FROM " + like.format(f", filter => 'id NOT IN (5, {ids[1]})'"))
    assert others[:4] == ids[2:6]
    distances = column(skein, f"SELECT _distance FROM {like.format('')}")
    limit = (distances[3] + distances[4]) / 2
    assert column(skein, "SELECT id FROM " + like.format(f", max_distance => {limit}")) == ids[:4]
    assert column(skein, "SELECT id FROM " + like.format(f", max_distance => {limit}, exact => true")) == ids[:4]
    best = skein.sql("SELECT section, _rank FROM vector_search(texts, 'a library', k => 8, group_by => 'section')").arrow()
    sections = best.column("section").to_pylist()
    assert len(sections) == len(set(sections)) == 8 and best.column("_rank").to_pylist() == list(range(1, 9))
    first = column(skein, "SELECT section FROM vector_search(texts, 'a library', k => 1)")
    assert sections[:1] == first


def test_parameters(adbc: adbc_driver_manager.dbapi.Connection, skein: skein_flight.Connection, packages: str) -> None:
    with adbc.cursor() as cursor:
        cursor.execute("SELECT id FROM text_search(texts, $1, k => $2, filter => $3)", ["python library", 4, "section = 'python'"])
        found = [row[0] for row in cursor.fetchall()]
    assert found == column(skein, "SELECT id FROM text_search(texts, 'python library', k => 4, filter => 'section = ''python''')")
    vectors = column(skein, "SELECT e FROM texts WHERE id IN (3, 4) ORDER BY id")
    bound = pa.record_batch({"1": pa.array(vectors, pa.list_(pa.float32(), 384))})
    with adbc.cursor() as cursor:
        cursor.execute("SELECT id FROM vector_search(texts, $1, k => 1)", bound.slice(1, 1))
        assert [row[0] for row in cursor.fetchall()] == [4]


def test_searches_are_listed(flight: fl.FlightClient, skein: skein_flight.Connection, packages: str) -> None:
    body = {"dataset": "texts", "texts": ["listed"], "k": 7, "columns": ["id"], "filter": "id >= 0"}
    list(flight.do_action(fl.Action("vector.search", json.dumps(body).encode())))
    listed = "SELECT state, rows FROM system.queries WHERE sql = 'search of public.texts, k 7, where id >= 0'"
    assert skein.sql(listed).arrow().to_pylist() == [{"state": "finished", "rows": 7}]


def test_the_action_takes_texts(flight: fl.FlightClient, skein: skein_flight.Connection, packages: str) -> None:
    body = {"dataset": "texts", "texts": ["network tools", "games"], "k": 3, "columns": ["id"], "row_ids": True}
    (answer,) = flight.do_action(fl.Action("vector.search", json.dumps(body).encode()))
    rows = json.loads(json.loads(answer.body.to_pybytes())["rows"])
    for query, text in enumerate(["network tools", "games"]):
        expected = column(skein, f"SELECT id FROM vector_search(texts, '{text}', k => 3)")
        assert [row["id"] for row in rows if row["query"] == query] == expected
    assert len({row["row_id"] for row in rows}) == len({row["id"] for row in rows})
    far = json.loads(json.dumps(body)) | {"max_distance": 0.01}
    (answer,) = flight.do_action(fl.Action("vector.search", json.dumps(far).encode()))
    assert json.loads(json.loads(answer.body.to_pybytes())["rows"]) == []


def test_new_texts_are_found_at_once_and_gone_ones_never(skein: skein_flight.Connection, packages: str) -> None:
    skein.execute("CREATE TABLE notes AS SELECT id, description, e FROM texts WHERE id < 100")
    skein.execute("CREATE INDEX ON notes USING bm25 (description)")
    skein.execute("CREATE INDEX ON notes USING hnsw (e) WITH (metric = 'cosine', model = 'minilm')")
    skein.execute("INSERT INTO notes SELECT 1000, t, embed('minilm', t) FROM (SELECT 'a zeppelin above the lighthouse' AS t)")
    for search in ("text_search(notes, 'zeppelins')", "hybrid_search(notes, 'zeppelins')", "vector_search(notes, 'airship over the sea')"):
        assert column(skein, f"SELECT id FROM {search}")[0] == 1000, search
    assert column(skein, "SELECT id FROM text_search(notes, 'zeppelin', consistency => 'generation')") == []
    assert column(skein, "SELECT id FROM text_search(notes, 'zeppelin', consistency => 'bounded:1ms')") == [1000]
    skein.execute("UPDATE notes SET description = 'a balloon above the lighthouse' WHERE id = 1000")
    assert column(skein, "SELECT id FROM text_search(notes, 'zeppelin')") == []
    assert column(skein, "SELECT id FROM text_search(notes, 'balloon lighthouse', match => 'all')") == [1000]
    skein.execute("DELETE FROM notes WHERE id = 1000")
    assert column(skein, "SELECT id FROM text_search(notes, 'balloon')") == []
    versions = column(skein, "SELECT version FROM system.snapshots WHERE table_name = 'notes' ORDER BY version")
    assert len(versions) >= 4
    skein.execute("DROP TABLE notes")


def test_explain_says_how(skein: skein_flight.Connection, packages: str) -> None:
    explain = "EXPLAIN SELECT name FROM {}"
    told = str(skein.sql(explain.format("vector_search(texts, 'games', filter => 'id < 50')")).arrow().to_pylist())
    assert "SearchExec: vector_search, index=public.texts_e, kind=hnsw" in told and "strategy=filtered" in told
    told = str(skein.sql(explain.format("text_search(texts, 'games')")).arrow().to_pylist())
    assert "SearchExec: text_search, index=public.texts_words, kind=bm25" in told
    told = str(skein.sql(explain.format("hybrid_search(texts, 'games')")).arrow().to_pylist())
    assert "vectors=[index=public.texts_e" in told and "words=[index=public.texts_words" in told


def test_what_there_is_is_listed(skein: skein_flight.Connection, packages: str) -> None:
    indexes = skein.sql("SELECT index_name, kind, metric, model FROM system.indexes WHERE table_name = 'texts' ORDER BY 1").arrow()
    assert indexes.to_pylist() == [
        {"index_name": "texts_e", "kind": "hnsw", "metric": "cosine", "model": "minilm"},
        {"index_name": "texts_words", "kind": "bm25", "metric": None, "model": None},
    ]
    models = skein.sql("SELECT model_name, provider, loaded, dimension FROM system.models").arrow().to_pylist()
    assert models == [{"model_name": "minilm", "provider": "local", "loaded": True, "dimension": 384}]


def test_embed(skein: skein_flight.Connection, packages: str) -> None:
    one, other, none = column(skein, "SELECT embed('minilm', t) FROM (VALUES (1, 'a cat'), (2, 'a kitten'), (3, NULL)) v (i, t) ORDER BY i")
    assert none is None and len(one) == 384 and np.linalg.norm(one) == pytest.approx(1, abs=1e-4)
    assert np.dot(one, other) > 0.6
    near = "SELECT t, cosine_distance(embed('minilm', t), embed('minilm', 'kitten')) AS d FROM (VALUES ('a lorry'), ('a cat')) v (t)"
    assert column(skein, f"SELECT t FROM ({near}) ORDER BY d") == ["a cat", "a lorry"]
    assert column(skein, f"SELECT t FROM ({near}) WHERE d < 0.5") == ["a cat"]
    assert "compute it in a subquery" in refused(skein, "SELECT id FROM texts ORDER BY embed('minilm', name)")


def test_long_texts_are_cut(skein: skein_flight.Connection, packages: str) -> None:
    (chunks,) = column(skein, "SELECT text_chunks('One sentence. Another one. And a third that is longer.', 30, 0)")
    assert chunks == ["One sentence. Another one.", "And a third that is longer."]
    assert column(skein, "SELECT text_chunks(NULL)") == [None] and column(skein, "SELECT text_chunks('  ')") == [[]]
    long = "word " * 500
    by_tokens = column(skein, f"SELECT unnest(text_chunks('{long}', 100, 10, 'minilm'))")
    assert 5 <= len(by_tokens) <= 7 and all(len(chunk.split()) <= 100 for chunk in by_tokens)
    assert "would be cut off" in refused(skein, "SELECT text_chunks('a', 1000, 0, 'minilm')")
    assert "overlap" in refused(skein, "SELECT text_chunks('a', 10, 10)")
    assert "constant" in refused(skein, "SELECT text_chunks(description, id) FROM texts")


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("SELECT * FROM vector_search(texts)", "was not told what to look for"),
        ("SELECT * FROM vector_search()", "takes a dataset first"),
        ("SELECT * FROM vector_search(nowhere, 'a')", "does not exist"),
        ("SELECT * FROM vector_search(system.indexes, 'a')", "is no dataset"),
        ("SELECT * FROM vector_search(texts, 'a', filtr => 'id = 3')", "did you mean 'filter'?"),
        ("SELECT * FROM vector_search(texts, 'a', 3, 4)", "all else by name"),
        ("SELECT * FROM vector_search(texts, 'a', k => 0)", "between 1 and 10000"),
        ("SELECT * FROM vector_search(texts, 'a', k => 10001)", "between 1 and 10000"),
        ("SELECT * FROM vector_search(texts, '[1, 2]')", "has 2 numbers, and the column's vectors have 384"),
        ("SELECT * FROM vector_search(texts, 'a', index => 'texts_words')", "one of the words in column"),
        ("SELECT * FROM vector_search(texts, 'a', index => 'missing')", "missing"),
        ("SELECT * FROM vector_search(texts, 'a', filter => 'nothing = 1')", "nothing"),
        ("SELECT * FROM vector_search(texts, NULL)", "query of vector_search is NULL"),
        ("SELECT * FROM vector_search(texts_raw, 'a')", "no column of vectors"),
        ("SELECT * FROM text_search(texts_raw, 'a')", "USING bm25"),
        ("SELECT * FROM text_search(texts, '  ')", "no words"),
        ("SELECT * FROM text_search(texts, 'a', column => 'name')", "USING bm25 (name)"),
        ("SELECT * FROM text_search(texts, 'a', match => 'some')", "any, all, phrase, query"),
        ("SELECT * FROM text_search(texts, '\"open', match => 'query')", "query"),
        ("SELECT * FROM text_search(texts, 'a', ef => 3)", "'ef' is no argument of text_search"),
        ("SELECT * FROM hybrid_search(texts, 'a', fusion => 'sum')", "there are 'rrf' and 'weighted'"),
        ("SELECT embed('unknown', 'a')", "there is no model 'unknown'; there are: minilm"),
        ("SELECT embed(name, 'a') FROM texts", "the model's name as a constant"),
        ("SELECT embed('minilm', id) FROM texts", "takes texts, not Int64"),
        ("SELECT embed('minilm', ' ')", "nothing in it but white space"),
        ("SELECT embed('minilm', 'a', 'fun')", "there are 'passage' and 'query'"),
    ],
)
def test_mistakes_are_told(skein: skein_flight.Connection, packages: str, query: str, told: str) -> None:
    assert told in refused(skein, query)


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("CREATE INDEX x ON texts USING bm25 (e)", "an index of words needs text"),
        ("CREATE INDEX x ON texts USING hnsw (description)", "USING bm25"),
        ("CREATE INDEX x ON texts USING bm25 (description) WITH (m = 3)", "no option of an index of words"),
        ("CREATE INDEX x ON texts USING bm25 (description) WITH (language = 'klingon')", "klingon"),
        ("CREATE INDEX x ON texts USING hnsw (e) WITH (model = 'unknown')", "there is no model 'unknown'"),
        ("CREATE INDEX x ON texts USING bm25 (description) WITH (model = 'minilm')", "an index of words has no model"),
    ],
)
def test_indexes_that_cannot_be(skein: skein_flight.Connection, packages: str, statement: str, told: str) -> None:
    with pytest.raises(Exception, match=re.escape(told)):
        skein.execute(statement)


def test_an_index_of_words_survives_a_restart_and_not_a_flipped_bit(tmp_path: Path) -> None:
    with Server(tmp_path / "server") as server:
        with skein_flight.connect(server.url) as skein:
            skein.execute("CREATE TABLE t AS SELECT i AS id, 'text number ' || i AS body FROM generate_series(1, 500) g(i)")
            skein.execute("CREATE INDEX t_body ON t USING bm25 (body) WITH (language = 'none')")
            assert column(skein, "SELECT id FROM text_search(t, '77')") == [77]
        server.stop()
        server.start()
        with skein_flight.connect(server.url) as skein:
            assert column(skein, "SELECT id FROM text_search(t, '77')") == [77]
            assert len(column(skein, "SELECT id FROM text_search(t, 'text', k => 1000)")) == 500
        server.stop()
        (index,) = [path for path in server.data.rglob("index.*") if "indexes" in str(path) and path.suffix != ".json"]
        content = bytearray(index.read_bytes())
        content[len(content) // 2] ^= 1
        index.write_bytes(content)
        server.start()
        with skein_flight.connect(server.url) as skein:
            assert "damaged" in refused(skein, "SELECT id FROM text_search(t, '77')")
