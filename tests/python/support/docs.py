"""The code that the documentation shows."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from support.server import ROOT, Server, binary

BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.M | re.S)


def blocks(name: str, kind: str) -> list[tuple[int, str]]:
    """The blocks of that kind, each with its line."""
    text = (ROOT / "docs" / name).read_text()
    return [(text[: m.start()].count("\n") + 1, m[2]) for m in BLOCK.finditer(text) if m[1].strip() == kind]


def environment(server: Server) -> dict[str, str]:
    """What the blocks find around them: the commands, and the server."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SKEIN")}
    commands = server.folder / "bin"
    commands.mkdir(exist_ok=True)
    if not (commands / "skein").exists():
        (commands / "skein").symlink_to(binary().resolve())
    path = os.pathsep.join([str(commands), str(Path(sys.executable).parent), os.environ["PATH"]])
    return clean | {
        "PATH": path,
        "PYTHONPATH": str(ROOT / "clients" / "python" / "src"),
        "SKEIN_URL": server.url,
        "PORT": str(server.port),
        "DATA": str(server.data),
    }
