"""What deleted rows cost a scan: the version before a delete of 1 % against the one after it, taking turns in one server.

SKEIN_BENCH_ROWS sets the rows (10,000,000)."""

from __future__ import annotations

import os
import sys

from harness import alternating_seconds, report, skein

ROWS = int(os.environ.get("SKEIN_BENCH_ROWS", "10000000"))
SCATTERED = "(id * 7919) % 100 = 0"
TOGETHER = f"id BETWEEN {ROWS // 2} AND {ROWS // 2 + ROWS // 100 - 1}"
QUERIES = {
    "sum of one column": "SELECT sum(v) FROM {}",
    "four aggregates and a filter": "SELECT count(*), sum(v), max(k), min(s) FROM {} WHERE k < 900",
    "all rows of one column": "SELECT v FROM {}",
}


def main() -> None:
    with skein() as server, server.connect() as connection, connection.cursor() as cursor:

        def run(sql: str) -> None:
            cursor.execute(sql)
            cursor.fetch_arrow_table()

        for how, condition in {"scattered": SCATTERED, "together": TOGETHER}.items():
            run(
                f"CREATE TABLE {how} AS SELECT value AS id, value * 0.5 AS v, value % 1000 AS k, "
                f"concat('name ', value % 5000) AS s FROM generate_series(1, {ROWS}) AS g(value)"
            )
            run(f"DELETE FROM {how} WHERE {condition}")
            for name, query in QUERIES.items():
                before, after = query.format(f"{how} VERSION AS OF 2"), query.format(how)
                deleted, whole = alternating_seconds(lambda: run(after), lambda: run(before), 9)
                report(f"{name}, 1 % deleted, {how}", deleted * 1e3, whole * 1e3, "ms", "<= 1.1", peer_name="before")


if __name__ == "__main__":
    sys.exit(main())
