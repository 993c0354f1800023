"""The helper process for filesystem calls, on filesystems that answer."""

from __future__ import annotations

import errno
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.polling import wait_until

from hostpulse_agent.collectors import statvfs_worker
from hostpulse_agent.collectors.statvfs_client import StatResult, StatvfsClient
from hostpulse_agent.collectors.worker_process import reap

if TYPE_CHECKING:
    import pytest


def open_files() -> int:
    """Return how many files this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_answers_are_those_of_statvfs(statvfs_client: StatvfsClient, tmp_path: Path) -> None:
    """Sizes are in bytes, not in the filesystem's unit."""
    odd = tmp_path / "a b\nc"
    odd.mkdir()
    answer = statvfs_client.statvfs([str(odd)], 5.0)[str(odd)]
    stat = os.statvfs(odd)
    assert isinstance(answer, StatResult)
    assert answer.directory
    assert answer.total == stat.f_blocks * stat.f_frsize
    assert answer.inodes == stat.f_files


def test_a_path_that_refuses_gives_its_error(statvfs_client: StatvfsClient, tmp_path: Path) -> None:
    """The others are not harmed."""
    missing = str(tmp_path / "missing")
    results = statvfs_client.statvfs([missing, "/"], 5.0)
    error = results[missing]
    assert isinstance(error, OSError)
    assert error.errno == errno.ENOENT
    assert isinstance(results["/"], StatResult)


def test_a_helper_that_was_killed_is_replaced(statvfs_client: StatvfsClient) -> None:
    """One answer may be lost, the next is there."""
    statvfs_client.statvfs(["/"], 5.0)
    (before,) = statvfs_client.pids()
    os.kill(before, signal.SIGKILL)
    lost = statvfs_client.statvfs(["/"], 5.0)["/"]
    assert isinstance(lost, (OSError, StatResult))
    assert isinstance(statvfs_client.statvfs(["/"], 5.0)["/"], StatResult)
    assert statvfs_client.pids() != [before]


def test_without_time_nothing_is_called_hung(statvfs_client: StatvfsClient) -> None:
    """A deadline that passed before the request is no sign of a hung mount."""
    assert isinstance(statvfs_client.statvfs(["/"], 0.0)["/"], TimeoutError)


def test_a_helper_that_does_not_start_in_time_says_nothing_of_the_mount(
    statvfs_client: StatvfsClient,
) -> None:
    """A slow start is the machine's fault, not the filesystem's."""
    assert isinstance(statvfs_client.statvfs(["/"], 1e-4)["/"], TimeoutError)
    assert isinstance(statvfs_client.statvfs(["/"], 5.0)["/"], StatResult)


def test_no_process_is_left_behind() -> None:
    """Closing ends the helper and takes its exit status."""
    made = StatvfsClient()
    made.statvfs(["/"], 5.0)
    (pid,) = made.pids()
    made.close()
    wait_until(lambda: reap(pid), "the helper has ended", 5)
    assert made.pids() == []


def test_a_machine_without_the_interpreter_is_an_error(
    statvfs_client: StatvfsClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The collector fails with the reason, and no pipe is left open."""
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    before = open_files()
    try:
        statvfs_client.statvfs(["/"], 5.0)
    except FileNotFoundError:
        assert open_files() == before
    else:
        raise AssertionError("no error")


def test_the_worker_answers_in_its_line_protocol() -> None:
    """One line: sizes, or the number of the error."""
    kind, directory, *sizes = statvfs_worker.answer(b"/").split()
    assert (kind, directory, len(sizes)) == (b"s", b"1", 5)
    assert statvfs_worker.answer(b"/etc/passwd").split()[1] == b"0"
    assert statvfs_worker.answer(b"/nonexistent") == b"e %d\n" % errno.ENOENT
