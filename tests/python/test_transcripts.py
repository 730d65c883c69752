"""docs/transcripts.md: each session in it is run again and compared. With SKEIN_BLESS=1 the page is written anew."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from support import nyc
from support.server import ROOT, Server, binary
from support.terminal import Shell

PAGE = ROOT / "docs" / "transcripts.md"
BLOCK = re.compile(r"^```(serve|console|shell)\n(.*?)^```$", re.M | re.S)
#: What differs from run to run. It stays in the page, and is not compared.
VOLATILE = [
    (r"\b[0-9A-HJKMNP-TV-Z]{26}\b", "ULID"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?Z?", "TIME"),
    (r"\d+\.\d s, [\d,]+ rows/s", "RATE"),
    (r"time: [\d.]+ m?s", "time: T"),
    (r"(\"(?:seconds|bytes_freed|bytes_checked)\":) ?[\d.e-]+", r"\1 N"),
    (r"[\d,]+ bytes checked", "N bytes checked"),
    (r"[\d.,]+ ([KM]i)?B\b", "SIZE"),
    (r"skein \d+\.\d+\.\d+", "skein VERSION"),
    (r"\b[0-9a-f]{64}\b", "HASH"),
]
SHELL = [
    "\\dt\r",
    "SELECT * FROM airl\t LIMIT 2;\r",
    "SELECT count(*) FROM generate_series(1, 100000) a CROSS JOIN generate_series(1, 10000000) b WHERE a.value * b.value = -1;\r",
    "\x03",
    "SELECT dest, nonsense FROM flights;\r",
    "\\d airlines\r",
    "\\timing on\r",
    "SELECT max(dep_delay) AS worst FROM flights;\r",
    "\\timing off\r",
]


class Sessions:
    """Runs the blocks of the page, in order, in one folder with one server."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder = folder
        self.server = server
        commands = folder / ".bin"
        commands.mkdir()
        (commands / "skein").symlink_to(binary().resolve())
        (folder / "skein-data").symlink_to(server.data)
        clean = {k: v for k, v in os.environ.items() if not k.startswith("SKEIN")}
        path = os.pathsep.join([str(commands), os.environ["PATH"]])
        self.env = clean | {"PATH": path, "SKEIN_URL": server.url, "TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "120", "LC_ALL": "C.UTF-8"}

    def page(self, text: str) -> str:
        """What is shown, with what is this run's own replaced by what a reader has."""
        text = text.replace(f"127.0.0.1:{self.server.port}", "127.0.0.1:8815").replace(f"127.0.0.1:{self.server.http_port}", "127.0.0.1:8816")
        return text.replace(str(self.server.data), "/home/ada/skein-data").replace(str(self.folder), "/home/ada")

    def serve(self, _: str) -> str:
        banner = self.server.log()
        start = banner.index("skein ", banner.index(" is listening on") - 20)
        return "$ skein serve\n" + self.page(banner[start:]).split("\n\n\n")[0].rstrip() + "\n"

    def console(self, block: str) -> str:
        shown = ""
        for command in re.findall(r"^\$ (.*)$", block, re.M):
            run = subprocess.run(
                ["bash", "-c", command],
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=120,
                check=False,
            )
            shown += f"$ {command}\n" + self.page(run.stdout)
        return shown

    def shell(self, _: str) -> str:
        shell = Shell(str(binary()), ["sql"], self.env | {"SKEIN_HISTORY": ""}, self.folder)
        shell.ready(1)
        time.sleep(1)  # names are fetched in the background
        for keys in SHELL:
            if "CROSS JOIN" in keys:
                shell.send(keys)
                time.sleep(2)  # it has to run to be cancelled
            else:
                shell.run(keys)
        shell.send("\\q\r")
        shell.end()
        return self.page("$ skein sql\n" + shell.text())


def compared(text: str) -> str:
    for pattern, name in VOLATILE:
        text = re.sub(pattern, name, text)
    # Columns are as wide as what was in them.
    return re.sub(r" {2,}", "  ", re.sub(r"─+", "─", text))


def test_the_transcripts_are_what_happens(tmp_path: Path) -> None:
    nyc.csv_files(tmp_path)
    page = PAGE.read_text()
    with Server(tmp_path / "server") as server:
        sessions = Sessions(tmp_path, server)
        run: dict[str, Callable[[str], str]] = {
            "serve": sessions.serve,
            "console": sessions.console,
            "shell": sessions.shell,
        }
        made = BLOCK.sub(lambda block: f"```{block[1]}\n{run[block[1]](block[2])}```", page)
    if os.environ.get("SKEIN_BLESS"):
        PAGE.write_text(made)
    assert compared(made) == compared(PAGE.read_text())
