"""What the documentation shows is run: each Python block of docs/clients.md and each `bash run` block of docs/guide.md
and docs/operations.md."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support import nyc, texts
from support.docs import blocks, environment
from support.server import ROOT, Server, binary
from support.stores import free_port


def at(server: Server, code: str) -> str:
    code = code.replace("127.0.0.1:8815", f"127.0.0.1:{server.port}").replace("127.0.0.1:8816", f"127.0.0.1:{server.http_port}")
    return code.replace("127.0.0.1:8825", "127.0.0.1:$RESTORED")


PYTHON = blocks("clients.md", "python")


@pytest.mark.parametrize("line", [line for line, _ in PYTHON])
def test_a_block_of_clients_md(server: Server, tmp_path: Path, line: int) -> None:
    code = at(server, dict(PYTHON)[line])
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(server), capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, f"docs/clients.md:{line}\n{run.stderr}"


@pytest.mark.parametrize("name", ["guide.md", "operations.md"])
def test_a_document_from_top_to_bottom(name: str, tmp_path: Path) -> None:
    """One server and one folder for all blocks, as for a reader who follows along."""
    nyc.csv_files(tmp_path)
    with Server(tmp_path / "server") as server:
        for line, code in blocks(name, "bash run"):
            run = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", at(server, code)],
                cwd=tmp_path,
                env=environment(server) | {"RESTORED": str(free_port())},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert run.returncode == 0, f"docs/{name}:{line}\n{code}\n{run.stdout}\n{run.stderr}"


@pytest.mark.parametrize("line", [line for line, _ in blocks("object-stores.md", "toml")])
def test_a_configuration_of_object_stores_md(tmp_path: Path, line: int) -> None:
    (tmp_path / "skein.toml").write_text(dict(blocks("object-stores.md", "toml"))[line])
    run = subprocess.run(
        [str(binary()), "config", "check", "--config", "skein.toml"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, f"docs/object-stores.md:{line}\n{run.stdout}{run.stderr}"


def test_compatibility_md_names_tests_that_exist() -> None:
    text = (ROOT / "docs" / "compatibility.md").read_text()
    python = re.findall(r"`(test_\w+\.py)::(test_\w+)`", text)
    rust = re.findall(r"`(e2e|flow)::(\w+)::(\w+)`", text)
    assert len(python) > 30 and len(rust) > 10
    for file, name in python:
        assert f"def {name}(" in (ROOT / "tests" / "python" / file).read_text(), f"{file}::{name}"
    folders = {"e2e": ROOT / "tests" / "tests" / "e2e", "flow": ROOT / "flight-sql" / "tests" / "flow"}
    for suite, module, name in rust:
        assert f"fn {name}(" in (folders[suite] / f"{module}.rs").read_text(), f"{suite}::{module}::{name}"
    numbered = {int(number) for number in re.findall(r"^(\d+)\. `", text, re.M)}
    cells = {int(cell) for line in text.splitlines() if line.startswith("|") for cell in re.findall(r"\| (\d+)(?= \|)", line)}
    assert numbered == cells


def test_the_page_about_search(tmp_path: Path) -> None:
    """Its SQL from top to bottom, then its Python."""
    with Server(tmp_path / "server", env=texts.model_settings()) as server:
        sql = [code for _, code in blocks("search.md", "sql")]
        keep = [code.replace("DROP INDEX docs_embedding;", "") for code in sql]
        prelude = "import pyarrow\nvectors = pyarrow.array([[1.0, 0.0, 0.0]], pyarrow.list_(pyarrow.float32(), 3))\nbatch = pyarrow.record_batch({'v': vectors})\n"
        python = prelude + "\n".join(code for _, code in blocks("search.md", "python")) + "\nassert len(rows) == 2 and answers.num_rows == 3, (rows, answers)\n"
        for command in [[str(binary()), "sql", "\n".join(keep)], [sys.executable, "-c", at(server, python)], [str(binary()), "sql", "DROP INDEX docs_embedding"]]:
            run = subprocess.run(
                command, cwd=tmp_path, env=environment(server), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False
            )
            assert run.returncode == 0, f"{command}\n{run.stdout}\n{run.stderr}"
