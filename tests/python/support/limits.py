"""Limits that the kernel holds a process to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# Version 2 of control groups has one tree for all, version 1 one for each resource.
V2, V1 = Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/memory")


@contextmanager
def memory_group(limit: int, pid: int) -> Iterator[None]:
    """A control group for the process, which is killed when it needs more than `limit` bytes of memory (the file cache gives way first).

    What the process holds already stays with its former group. A machine whose user may make no group skips the test."""
    tree, key = (V2, "memory.max") if (V2 / "cgroup.controllers").exists() else (V1, "memory.limit_in_bytes")
    group = tree / f"skein-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / key).write_text(str(limit))
        (group / "cgroup.procs").write_text(str(pid))
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        yield
    finally:
        try:
            (tree / "cgroup.procs").write_text(str(pid))
        except ProcessLookupError:
            pass
        group.rmdir()
