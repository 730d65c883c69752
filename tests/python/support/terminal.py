"""A program on a terminal whose screen is kept, as whoever sits before it sees it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pexpect
import pyte

PATIENCE = 60
#: A program that redraws its line is done with it when nothing has come for so long.
QUIET = 0.3


class Screen:
    """A program and what its terminal shows, also what would have scrolled away."""

    def __init__(self, program: str, arguments: list[str], env: Mapping[str, str], folder: Path, columns: int = 120) -> None:
        rows = 300
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.Stream(self._screen)
        self.child = pexpect.spawn(
            program, arguments, env=dict(env), cwd=str(folder), encoding="utf-8", timeout=PATIENCE, dimensions=(rows, columns)
        )
        self.child.delaybeforesend = 0.05

    def lines(self) -> list[str]:
        lines = [line.rstrip() for line in self._screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def text(self) -> str:
        return "\n".join(self.lines()) + "\n"

    def send(self, keys: str) -> None:
        self.child.send(keys)

    def _read(self) -> bool:
        """Takes in what comes within a moment; whether anything did."""
        try:
            self._stream.feed(self.child.read_nonblocking(1 << 16, QUIET))
        except pexpect.TIMEOUT:
            return False
        return True

    def wait(self, ready: Callable[[list[str]], bool]) -> list[str]:
        """Reads until the lines are as wanted and nothing more comes."""
        deadline = time.monotonic() + PATIENCE
        while self._read() or not ready(self.lines()):
            assert time.monotonic() < deadline, self.text()
        return self.lines()

    def end(self) -> int:
        """Reads until the program ends; its exit code."""
        try:
            while True:
                self._read()
        except pexpect.EOF:
            pass
        self.child.close()
        code: int = self.child.exitstatus
        return code


class Shell(Screen):
    """The SQL shell. It is ready when its prompt is."""

    PROMPT = "skein>"

    def ready(self, prompts: int) -> list[str]:
        return self.wait(lambda lines: lines[-1:] == [self.PROMPT] and self._prompts(lines) >= prompts)

    def _prompts(self, lines: list[str]) -> int:
        return sum(line.startswith(self.PROMPT) for line in lines)

    def run(self, keys: str) -> str:
        """Presses keys that end in a new prompt; what is shown from the old one to the new one."""
        before = self.lines()
        self.send(keys)
        after = self.ready(self._prompts(before) + 1)
        return "\n".join(after[len(before) - 1 :])
