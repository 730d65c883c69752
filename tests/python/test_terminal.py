"""What a person at a terminal sees: password prompts, the shell, the progress bar. Each test has a terminal of its own."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from support.server import Server, binary
from support.terminal import Shell

PASSWORD = "correct horse battery staple"
#: What moves the cursor or colours text; tests read the words.
ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|[=>()][0-9A-B]?)|\r")


def environment(server: Server, **more: str) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SKEIN")}
    return clean | {"SKEIN_URL": server.url, "TERM": "xterm", "SKEIN_HISTORY": "", "NO_COLOR": "1"} | more


class Terminal:
    """A `skein` command on a terminal."""

    def __init__(self, server: Server, *arguments: str, columns: int = 120, **more: str) -> None:
        self.child = pexpect.spawn(
            str(binary()),
            list(arguments),
            env=environment(server, **more),
            cwd=str(server.folder),
            encoding="utf-8",
            timeout=60,
            dimensions=(40, columns),
        )
        # What is typed has to reach the program and not be echoed by pexpect's own side.
        self.child.delaybeforesend = 0.1

    def expect(self, *patterns: str) -> int:
        index: int = self.child.expect(list(patterns))
        return index

    def type(self, text: str) -> None:
        self.child.send(text)

    def line(self, text: str) -> None:
        self.child.send(text + "\r")

    def end(self) -> tuple[int, str]:
        """Waits for the end; the exit code, and what was shown since the last `expect`."""
        self.child.expect(pexpect.EOF)
        self.child.close()
        return self.child.exitstatus, ESCAPES.sub("", self.child.before)


def open_shell(server: Server, **more: str) -> Shell:
    shell = Shell(str(binary()), ["sql"], environment(server, **more), server.folder)
    shell.ready(1)
    return shell


def leave(shell: Shell) -> int:
    shell.send("\\q\r")
    return shell.end()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Server]:
    """A server without users and tables."""
    with Server(tmp_path / "server") as server:
        yield server


def ask(server: Server, sql: str) -> str:
    command = [str(binary()), "sql", "-F", "csv", sql]
    return subprocess.run(command, env=environment(server), capture_output=True, text=True, check=True, timeout=60).stdout


# ---- passwords -------------------------------------------------------------------------------------------------------


def test_a_new_password_is_asked_for_twice_and_never_shown(fresh: Server) -> None:
    terminal = Terminal(fresh, "user", "create", "ada", "--admin")
    terminal.expect("New password of ada: ")
    terminal.line(PASSWORD)
    terminal.expect("Again: ")
    shown = terminal.child.before
    terminal.line(PASSWORD)
    code, rest = terminal.end()
    assert code == 0 and "created administrator ada" in rest
    assert PASSWORD not in shown + rest

    # Now there is a login, and its password is asked for as well.
    terminal = Terminal(fresh, "sql", "-F", "csv", "SELECT 6 * 7 AS x", SKEIN_USER="ada")
    terminal.expect("Password of ada: ")
    terminal.line(PASSWORD)
    code, rest = terminal.end()
    assert code == 0 and rest.split() == ["x", "42"] and PASSWORD not in rest

    terminal = Terminal(fresh, "ls", SKEIN_USER="ada")
    terminal.expect("Password of ada: ")
    terminal.line("another guess")
    code, rest = terminal.end()
    assert code == 4 and "the user or the password is wrong" in rest


def test_two_passwords_that_differ_change_nothing(fresh: Server) -> None:
    terminal = Terminal(fresh, "user", "create", "ada", "--admin")
    terminal.expect("New password of ada: ")
    terminal.line(PASSWORD)
    terminal.expect("Again: ")
    terminal.line(PASSWORD + "r")
    code, rest = terminal.end()
    assert code == 2 and "the two passwords differ" in rest and PASSWORD not in rest
    assert ask(fresh, "SELECT count(*) AS n FROM system.users") == "n\n0\n"


def test_ctrl_c_at_a_password_prompt_ends_the_command_and_gives_the_echo_back(fresh: Server) -> None:
    # A shell of the system's around it, which goes on afterwards with the same terminal.
    child = pexpect.spawn("bash", ["--norc", "-i"], env=environment(fresh, PS1="bash$ "), encoding="utf-8", timeout=60)
    child.expect_exact("bash$ ")
    for _ in range(5):
        child.send(f"{binary()} user create ada --admin\r")
        child.expect("New password of ada: ")
        child.send("half of it\x03")
        child.expect_exact("bash$ ")
        assert "half of it" not in child.before
        child.send("echo code=$?; stty -a\r")
        child.expect(r"code=(\d+)\r\n")
        assert child.match[1] == "130"
        child.expect_exact("bash$ ")
        settings = child.before.split()
        assert "echo" in settings and "icanon" in settings and "isig" in settings
    child.close()
    assert ask(fresh, "SELECT count(*) AS n FROM system.users") == "n\n0\n"


def test_ctrl_c_ends_a_command_that_waits_for_an_answer(fresh: Server) -> None:
    ask(fresh, "CREATE TABLE t AS SELECT 1 AS a")
    terminal = Terminal(fresh, "drop", "t")
    terminal.expect(r"Drop public.t\? \[y/N\] ")
    terminal.type("\x03")
    assert terminal.end()[0] == 130
    terminal = Terminal(fresh, "drop", "t")
    terminal.expect(r"Drop public.t\? \[y/N\] ")
    terminal.line("n")
    assert terminal.end()[0] != 0
    assert ask(fresh, "SELECT a FROM t") == "a\n1\n"
    terminal = Terminal(fresh, "drop", "t")
    terminal.expect(r"Drop public.t\? \[y/N\] ")
    terminal.line("y")
    code, rest = terminal.end()
    assert code == 0 and "dropped public.t" in rest


# ---- the shell -------------------------------------------------------------------------------------------------------


def test_the_shell_answers_describes_and_goes_on_after_errors(fresh: Server) -> None:
    shell = open_shell(fresh)
    assert "0 rows affected" in shell.run("CREATE TABLE flights (carrier TEXT, dep_delay BIGINT);\r")
    assert "2 rows affected" in shell.run("INSERT INTO flights VALUES ('UA', 2), ('AA', 7);\r")
    shown = shell.run("SELECT carrier,\r  dep_delay * 6 AS delay\rFROM flights WHERE dep_delay = 7;\r")
    assert re.search(r"│ AA +│ +42 │", shown), shown
    shown = shell.run("SELECT carier FROM flights;\r")
    assert "error: column 'carier' does not exist" in shown and "hint: did you mean 'carrier'?" in shown
    shown = shell.run("SELECT * FROM flihgts;\r")
    assert "error: table 'public.flihgts' does not exist" in shown and "hint: did you mean 'public.flights'?" in shown
    assert "flights" in shell.run("\\dt\r") and "dep_delay" in shell.run("\\d flights\r")
    assert "public" in shell.run("\\l\r")
    assert "hint: did you mean \\timing?" in shell.run("\\timng\r")
    shell.run("\\timing on\r")
    assert re.search(r"1 row\ntime: [\d.]+ ms", shell.run("SELECT 1;\r"))
    assert "x\n1\n" in shell.run("\\format csv\r") + shell.run("SELECT 1 AS x;\r")
    assert leave(shell) == 0


def test_tab_completes_tables_columns_and_commands(fresh: Server) -> None:
    ask(fresh, "CREATE TABLE migrations (bird TEXT, wingspan_cm BIGINT)")
    ask(fresh, "INSERT INTO migrations VALUES ('crane', 220)")
    shell = open_shell(fresh)
    time.sleep(1)  # names are fetched in the background
    assert "│ crane" in shell.run("SELECT bird FROM migr\t;\r")
    assert re.search(r"│ +220 │", shell.run("SELECT migrations.wing\t FROM migr\t;\r"))
    # A table that was made in the shell is known at once.
    shell.run("CREATE TABLE observations AS SELECT 5 AS seen;\r")
    time.sleep(1)
    assert re.search(r"│ +5 │", shell.run("SELECT * FROM observ\t;\r"))
    assert "wingspan_cm" in shell.run("\\d migr\t\r")
    assert "skein> \\timing" in shell.run("\\ti\t\r")
    assert leave(shell) == 0


def test_the_shell_remembers_what_was_typed(fresh: Server, tmp_path: Path) -> None:
    history = str(tmp_path / "state" / "history")
    shell = open_shell(fresh, SKEIN_HISTORY=history)
    shell.run("SELECT 41 + 1 AS first_of_all;\r")
    shell.run(" SELECT 'not for the history';\r")
    assert leave(shell) == 0
    shell = open_shell(fresh, SKEIN_HISTORY=history)
    assert "42" in shell.run("\x1b[A\x1b[A\r")  # past the \\q
    assert leave(shell) == 0
    text = Path(history).read_text()
    assert "first_of_all" in text and "not for the history" not in text


def test_ctrl_c_cancels_a_running_statement_here_and_on_the_server(fresh: Server) -> None:
    shell = open_shell(fresh)
    numbers = "generate_series(1, 100000) a CROSS JOIN generate_series(1, 10000000) b"
    shell.send(f"SELECT count(*) FROM {numbers} WHERE a.value * b.value = -1;\r")
    running = "SELECT count(*) AS n FROM system.queries WHERE state = 'running' AND sql LIKE '%CROSS%' AND sql NOT LIKE '%system.%'"
    deadline = time.monotonic() + 30
    while ask(fresh, running) != "n\n1\n":
        assert time.monotonic() < deadline, "the statement never ran"
    assert "error: cancelled" in shell.run("\x03")
    deadline = time.monotonic() + 30
    while ask(fresh, running) != "n\n0\n":
        assert time.monotonic() < deadline, "the statement still runs on the server"
    # What is typed and not run yet is thrown away, and the shell stays.
    assert "(\\q or Ctrl-D leaves)" in shell.run("SELECT nonsense\x03")
    assert "42" in shell.run("SELECT 6 * 7 AS x;\r")
    shell.send("\x04")
    assert shell.end() == 0


# ---- progress --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "large.csv"
    with path.open("w") as file:
        file.write("n,text\n")
        for start in range(0, 3_000_000, 10_000):
            file.write("".join(f"{n},some words about number {n}\n" for n in range(start, start + 10_000)))
    return path


def test_an_ingest_on_a_terminal_shows_rows_bytes_and_rate(fresh: Server, large_file: Path) -> None:
    terminal = Terminal(fresh, "ingest", str(large_file), "--into", "numbers")
    terminal.expect(r"3,000,000 rows into public\.numbers")
    shown = ESCAPES.sub("\n", terminal.child.before)
    bars = [line for line in shown.split("\n") if "large.csv [" in line]
    assert len(bars) >= 2, shown
    assert any(re.search(r"\[=+>? *\] [\d.]+ MiB/[\d.]+ MiB [\d,]+ rows [\d.]+ MiB/s", bar) for bar in bars), bars[-5:]
    assert terminal.end()[0] == 0


def test_an_ingest_that_is_piped_shows_none(fresh: Server, large_file: Path) -> None:
    command = [str(binary()), "ingest", str(large_file), "--into", "numbers"]
    run = subprocess.run(command, env=environment(fresh), capture_output=True, text=True, check=True, timeout=120)
    assert run.stderr == "" and run.stdout.count("\n") == 1 and "3,000,000 rows into public.numbers" in run.stdout
    # Nor on a terminal that is asked to be quiet.
    terminal = Terminal(fresh, "ingest", str(large_file), "--into", "numbers", "--force", "--quiet")
    code, shown = terminal.end()
    assert code == 0 and "large.csv [" not in shown
