"""Runs benchmarks (all, or those named), puts their figures into results.json beside those of the others, and prints a Markdown table.

    python benchmarks/bench.py [stream] [tpch] [latency] [ingest] [commits] [deletes] [crowd] [hot] [parallel] [distributed] [drops] [vectors]
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ALL = ["stream", "tpch", "latency", "ingest", "commits", "deletes", "crowd", "hot", "parallel", "distributed", "drops", "vectors"]


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def table(rows: list[dict]) -> str:
    lines = ["| figure | Skein | peer | ratio | goal |", "|---|---|---|---|---|"]
    for row in rows:
        peer = f"{number(row['peer'])} {row['unit']} ({row['peer_name']})" if row["peer"] is not None else ""
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
        lines.append(f"| {row['name']} | {number(row['skein'])} {row['unit']} | {peer} | {ratio} | {row['goal']} |")
    return "\n".join(lines)


def merged(old: list[dict], new: list[dict]) -> list[dict]:
    """The figures that were there, each in its place, with new ones instead of those of the same name and peer."""
    return list({(row["name"], row.get("peer_name")): row for row in [*old, *new]}.values())


def main() -> int:
    rows, failed = [], []
    for name in sys.argv[1:] or ALL:
        print(f"== {name}", file=sys.stderr, flush=True)
        done = subprocess.run([sys.executable, HERE / f"{name}.py"], stdout=subprocess.PIPE, text=True, cwd=HERE)
        rows += [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        if done.returncode:
            failed.append(name)
    results = HERE / "results.json"
    kept = json.loads(results.read_text()) if results.exists() else []
    results.write_text(json.dumps(merged(kept, rows), indent=1) + "\n")
    print(table(rows))
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
