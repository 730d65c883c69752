"""The clients under test are those that are pinned."""

from __future__ import annotations

import importlib.metadata

import pytest
from support.server import ROOT

LINES = (ROOT / "clients" / "python" / "requirements-test.txt").read_text().splitlines()
PINS = dict(line.split("==") for line in LINES if line and not line.startswith("#"))


@pytest.mark.parametrize("package", PINS)
def test_installed_version(package: str) -> None:
    # Extras, as in moto[server], are no part of the name.
    assert importlib.metadata.version(package.partition("[")[0]) == PINS[package], "run scripts/setup"
