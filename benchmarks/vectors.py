"""HNSW beside faiss-cpu: build time, one query at a time, a stream of a thousand queries; the same data, the same parameters, in one run.

    python benchmarks/vectors.py [ROWS DIMENSION]...        (default 100000 768)

Vectors are drawn around 200 centres, queries like them. Recall is the share of the ten exact nearest (by faiss' flat index) that are found.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time

# An OpenBLAS kernel that was forced for other programs would slow the peer down.
for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(name, None)

import faiss  # noqa: E402
import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.flight as fl  # noqa: E402

from harness import note, report, skein  # noqa: E402

M, EF_CONSTRUCTION, EF, K = 32, 80, 64, 10
QUERIES = 1000
CENTRES = 200


def vectors(rows: int, dimension: int) -> tuple[np.ndarray, np.ndarray]:
    noise = np.random.default_rng(1)
    centres = noise.standard_normal((CENTRES, dimension), dtype=np.float32)

    def draw(count: int) -> np.ndarray:
        near = centres[noise.integers(0, CENTRES, count)]
        return near + 0.5 * noise.standard_normal((count, dimension), dtype=np.float32)

    return draw(rows), draw(QUERIES)


def column(values: np.ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def action(client: fl.FlightClient, what: str, /, **body: object) -> dict:
    (answer,) = client.do_action(fl.Action(what, json.dumps(body).encode()))
    return json.loads(answer.body.to_pybytes())


def recall(found: np.ndarray, exact: np.ndarray) -> float:
    return float(np.mean([len(set(a) & set(b)) / K for a, b in zip(found, exact)]))


def median_ms(work, queries: np.ndarray) -> float:
    for query in queries[:50]:
        work(query)
    times = []
    for query in queries:
        start = time.perf_counter()
        work(query)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def compare(rows: int, dimension: int) -> None:
    data, queries = vectors(rows, dimension)
    flat = faiss.IndexFlatL2(dimension)
    flat.add(data)
    exact = flat.search(queries, K)[1]
    del flat
    size = f"{rows:,} x {dimension}"

    with skein() as server, server.connect() as connection, fl.FlightClient(server.uri) as client:
        ids = pa.array(np.arange(rows, dtype=np.int64))
        with connection.cursor() as cursor:
            cursor.adbc_ingest("v", pa.table({"id": ids, "e": column(data)}), mode="create")
        start = time.perf_counter()
        action(client, "index.create", dataset="v", column="e", name="v_e", kind="hnsw", m=M, ef_construction=EF_CONSTRUCTION, wait=True)
        ours_build = time.perf_counter() - start
        with connection.cursor() as cursor:
            cursor.execute("select build_ms from system.generations where index_name = 'v_e'")
            inside_build = cursor.fetchone()[0] / 1e3

        # The peer, in this process, while the server has nothing to do.
        peer = faiss.IndexHNSWFlat(dimension, M)
        peer.hnsw.efConstruction = EF_CONSTRUCTION
        start = time.perf_counter()
        peer.add(data)
        peer_build = time.perf_counter() - start
        peer.hnsw.efSearch = EF
        report(f"HNSW build, {size}", inside_build, peer_build, "s", "<= 1.1", peer_name="faiss-cpu, same parameters", with_reading=ours_build)

        inside: list[float] = []

        def search(query: np.ndarray) -> list[int]:
            answer = action(client, "vector.search", dataset="v", vectors=[{"values": query.tolist()}], k=K, ef=EF, columns=["id"])
            inside.append(answer["search_us"] / 1e3)
            return [row["id"] for row in json.loads(answer["rows"])]

        peer_ms = median_ms(lambda query: peer.search(query[None, :], K), queries)
        over_action = median_ms(search, queries)
        inside_ms = statistics.median(inside)
        report(f"one query in the server, p50, {size}", inside_ms, peer_ms, "ms", "<= 1.1", peer_name="faiss-cpu in process")
        report(f"one query over vector.search, p50, {size}", over_action, peer_ms, "ms", "peer + 0.4", peer_name="faiss-cpu in process")
        found = np.array([search(query) for query in queries])
        ours_recall, peer_recall = recall(found, exact), recall(peer.search(queries, K)[1], exact)
        report(f"recall@10 at ef {EF}, {size}", ours_recall, peer_recall, "", "equal", peer_name="faiss-cpu")

        def sql(query: np.ndarray) -> None:
            with connection.cursor() as cursor:
                cursor.execute(f"select id from v order by l2_distance(e, '{query.tolist()}') limit {K}")
                assert cursor.fetch_arrow_table().num_rows == K

        report(f"one query in SQL over ADBC, p50, {size}", median_ms(sql, queries[:200]), peer_ms, "ms", "", peer_name="faiss-cpu in process")

        command = json.dumps({"search": {"dataset": "v", "column": "e", "k": K, "ef": EF}}).encode()
        batch = pa.record_batch({"query": column(queries)})

        def exchange() -> pa.Table:
            writer, reader = client.do_exchange(fl.FlightDescriptor.for_command(command))
            with writer:
                writer.begin(batch.schema)
                writer.write_batch(batch)
                writer.done_writing()
                return reader.read_all()

        assert exchange().num_rows == QUERIES * K
        ours_s = statistics.median(timed(exchange) for _ in range(5))
        peer_s = statistics.median(timed(lambda: peer.search(queries, K)) for _ in range(5))
        report(f"1,000 queries by DoExchange, {size}", QUERIES / ours_s, QUERIES / peer_s, "queries/s", ">= 0.9", peer_name="faiss-cpu's batch in process")
        note(f"server's resident set: {server.peak_memory() >> 20} MiB at its peak")


def timed(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    sizes = [int(argument) for argument in sys.argv[1:]] or [100_000, 768]
    for rows, dimension in zip(sizes[::2], sizes[1::2], strict=True):
        compare(rows, dimension)


if __name__ == "__main__":
    sys.exit(main())
