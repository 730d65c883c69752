"""TPC-H queries at scale factor 1 over ADBC on two workers, against the same server alone, on the same machine and the same files.

Coordinator and workers share the processors that one process has to itself, so this cannot be faster. The figure is what it costs to divide a
statement: plans are written and read, and rows go from process to process. Where workers have machines of their own, that is what has to be earned.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import sys
import time
from collections.abc import Iterator

from harness import free_port, note, process, report, skein, skein_binary
from tpch import adbc_runner, generate, load, medians, same, timed

# A scan with groups, joins of two to six tables, a large outer join, and groups of a million keys.
QUERIES = [pathlib.Path(__file__).parent / "tpch" / f"q{number:02}.sql" for number in (1, 3, 5, 6, 9, 10, 12, 13, 18)]
WORKERS = 2
RUNS = int(os.environ.get("SKEIN_BENCH_RUNS", "3"))


@contextlib.contextmanager
def worker(coordinator, **env: str) -> Iterator[None]:
    """A worker over the same data folder."""
    port = free_port()
    command = [
        skein_binary(), "serve", "--role", "worker", "--data", str(coordinator.data), "--listen", f"127.0.0.1:{port}",
    ]
    environment = {
        **os.environ,
        "SKEIN__CLUSTER__COORDINATORS": coordinator.uri,
        "SKEIN__SERVER__HTTP_LISTEN": "off",
        "SKEIN__TELEMETRY__LEVEL": "warn",
        **env,
    }
    with process(command, port, env=environment):
        yield


def session(server, distributed: str):
    """A connection whose statements run on workers always, or never."""
    connection = server.connect(db_kwargs={"adbc.flight.sql.rpc.with_cookie_middleware": "true"})
    with connection.cursor() as cursor:
        cursor.execute(f"SET distributed = '{distributed}'")
    return connection


def wait_for_workers(run) -> None:
    deadline = time.monotonic() + 60
    while run("SELECT count(*) AS n FROM system.workers").column(0)[0].as_py() < WORKERS:
        if time.monotonic() > deadline:
            raise RuntimeError("the workers have not registered")
        time.sleep(0.1)


def stages(run, sql: str) -> int:
    """How many stages the statement's plan has; none if it is not divided."""
    return str(run(f"EXPLAIN {sql}").to_pylist()).count("─ Stage ")


def main() -> None:
    folder = generate()
    with skein() as server, contextlib.ExitStack() as stack:
        load(server, folder)
        for _ in range(WORKERS):
            stack.enter_context(worker(server))
        alone = adbc_runner(stack.enter_context(session(server, "never")))
        divided = adbc_runner(stack.enter_context(session(server, "always")))
        wait_for_workers(alone)
        counts = {path.stem: stages(divided, path.read_text()) for path in QUERIES}
        assert all(counts.values()), f"not divided: {counts}"
        assert not any(stages(alone, path.read_text()) for path in QUERIES)
        alone_runs, divided_runs = [], []
        for attempt in range(RUNS + 1):
            here, there = {}, {}
            for path in QUERIES:
                sql = path.read_text()
                there[path.stem], answer = timed(divided, sql)
                here[path.stem], expected = timed(alone, sql)
                assert same(answer, expected), f"{path.stem} differs"
            if attempt:  # the first is a warm-up
                alone_runs.append(here)
                divided_runs.append(there)
    here, there = medians(alone_runs), medians(divided_runs)
    for name in here:
        note(
            f"{name}  {WORKERS} workers {there[name] * 1e3:8.1f} ms   alone {here[name] * 1e3:8.1f} ms   "
            f"{there[name] / here[name]:.2f}x   {counts[name]} stages"
        )
        report(
            f"TPC-H SF 1 {name} on {WORKERS} workers of the same machine", there[name], here[name], "s", "",
            peer_name="the same server alone",
        )
    report(
        f"{len(here)} TPC-H SF 1 queries on {WORKERS} workers of the same machine, total", sum(there.values()),
        sum(here.values()), "s", "", peer_name="the same server alone",
    )


if __name__ == "__main__":
    sys.exit(main())
