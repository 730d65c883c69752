"""The demo's part about texts: descriptions of Debian's packages, searched by meaning, by words and by both."""

from __future__ import annotations

import time
from collections.abc import Callable

import polars as pl
import pyarrow as pa
import pyarrow.flight as fl
import skein_flight
from support import texts

COUNT = 6_000

MAKE = """CREATE TABLE packages AS
    SELECT *, embed('minilm', name || ': ' || description) AS embedding FROM descriptions"""
INDEXES = [
    "CREATE INDEX packages_meaning ON packages USING hnsw (embedding) WITH (metric = 'cosine', model = 'minilm')",
    "CREATE INDEX packages_words ON packages USING bm25 (description)",
]
SEARCHES = {
    "By meaning: none of these words has to be there": """
        SELECT name, section, description, round(_distance, 3) AS distance
        FROM vector_search(packages, 'touch up holiday pictures', k => 5)""",
    "By words, with a filter": """
        SELECT name, section, description, round(_score, 2) AS score
        FROM text_search(packages, 'pdf viewer', k => 5, filter => 'section <> ''python''')""",
    "By both": """
        SELECT name, description, round(_score, 4) AS score, round(_distance, 3) AS distance, round(_text_score, 2) AS words
        FROM hybrid_search(packages, 'play chess against the computer', k => 5)""",
}


def run(skein: skein_flight.Connection, statement: str) -> None:
    start = time.perf_counter()
    skein.execute(statement)
    print(f"{statement};   ({time.perf_counter() - start:.1f} s)\n", flush=True)


def tell(skein: skein_flight.Connection, url: str, heading: Callable[[str], None], fail: Callable[[str], None]) -> None:
    """Makes the texts searchable, searches them, and checks what was found against plain computations."""
    table = texts.packages(COUNT)
    heading(f"Texts, too: the descriptions of {table.num_rows:,} Debian packages, made searchable")
    with fl.FlightClient(url) as client:
        writer, _ = client.do_put(fl.FlightDescriptor.for_path("descriptions"), table.schema)
        with writer:
            writer.write_table(table)
    for statement in [MAKE, *INDEXES]:
        run(skein, statement)
    for question, query in SEARCHES.items():
        heading(question)
        print(" ".join(query.split()))
        start = time.perf_counter()
        answer = skein.sql(query).arrow()
        took = time.perf_counter() - start
        print(pl.DataFrame(answer))
        print(f"{took * 1000:.0f} ms")
        if answer.num_rows == 0:
            fail(f"nothing was found: {question}")
    heading("From pyarrow, as Arrow")
    query = "SELECT name FROM hybrid_search('packages', 'watch the stars at night', k => 3, filter => 'section = ''science''')"
    print(f'flight.connect("{url}").do_get(flight.Ticket(b"{query}")).read_all()')
    with fl.FlightClient(url) as client:
        print(client.do_get(fl.Ticket(query.encode())).read_all().column("name").to_pylist())
    check(skein, table, fail)


def check(skein: skein_flight.Connection, table: pa.Table, fail: Callable[[str], None]) -> None:
    """The index finds what comparing all finds, and words are where they are said to be."""
    text = "touch up holiday pictures"
    near = skein.sql(f"SELECT id FROM vector_search(packages, '{text}', k => 10, ef => 200)").arrow()
    all_of_them = skein.sql(
        f"SELECT id FROM packages ORDER BY cosine_distance(embedding, embed('minilm', '{text}', 'query')) LIMIT 10"
    )
    exact = skein.sql(f"SELECT id FROM vector_search(packages, '{text}', k => 10, exact => true)").arrow()
    found = [set(answer.column("id").to_pylist()) for answer in (near, all_of_them.arrow(), exact)]
    if len(found[0] & found[2]) < 9 or len(found[1] & found[2]) < 9:
        fail(f"the index found {found[0]}, comparing all vectors {found[2]}")
    matching = skein.sql("SELECT description FROM text_search(packages, 'chess', k => 1000)").arrow()
    expected = sum("chess" in description.lower().replace("-", " ").split() for description in table.column("description").to_pylist())
    if not 0 < expected <= matching.num_rows:
        fail(f"'chess' is a word of {expected} descriptions, and {matching.num_rows} were found")
    print(f"\nThe index finds {len(found[0] & found[2])} of the 10 nearest; 'chess' is found in all {matching.num_rows} texts that have it.")
