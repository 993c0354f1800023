"""A mount that never answers affects no other: tested with a real FUSE mount.

The mount lives in a mount namespace of the test's own thread, so that nothing else on the
machine can run into it, and vanishes with that thread.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.polling import wait_until

from hostpulse_agent.collectors.disk import DEADLINE_S, DiskCollector
from hostpulse_agent.collectors.procfs import Paths, Tree
from hostpulse_agent.collectors.statvfs_client import HUNG, StatResult, StatvfsClient
from hostpulse_agent.collectors.worker_process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.root

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_FS = 0x20000, 0x200
MS_REC, MS_PRIVATE, MS_NOSUID, MS_NODEV = 0x4000, 0x40000, 2, 4
MNT_FORCE, MNT_DETACH = 1, 2
FUSE_GETATTR, FUSE_STATFS, FUSE_INIT = 3, 17, 26
DEADLINE = 3.0


def check(result: int) -> None:
    """Raise what a call into the C library failed with."""
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Fuse:
    """A FUSE mount that answers nothing until ``answer`` is called."""

    def __init__(self, path: Path) -> None:
        """Mount at ``path``."""
        path.mkdir()
        self.path = str(path)
        self._device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self._device},rootmode=40000,user_id=0,group_id=0".encode()
        flags = MS_NOSUID | MS_NODEV
        check(LIBC.mount(b"hung", self.path.encode(), b"fuse.hung", flags, options))

    def answer(self) -> None:
        """Answer as an empty filesystem of 1,000 blocks, until closed."""
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                request = os.read(self._device, 1 << 20)
            except OSError:
                return
            opcode, unique = struct.unpack("<4xIQ", request[:16])
            if opcode == FUSE_INIT:
                body = struct.pack("<IIIIHHI", 7, 31, 4096, 0, 1, 1, 4096).ljust(64, b"\0")
            elif opcode == FUSE_STATFS:
                body = struct.pack("<QQQQQIIII", 1000, 400, 300, 0, 0, 4096, 255, 4096, 0) + bytes(
                    24
                )
            elif opcode == FUSE_GETATTR:
                attributes = struct.pack("<QQQQQQIIIIIIIIII", 1, *[0] * 8, 0o40755, 2, *[0] * 5)
                body = struct.pack("<QII", 0, 0, 0) + attributes
            else:
                body = b""
            code = 0 if body else -errno.ENOSYS
            os.write(self._device, struct.pack("<IiQ", 16 + len(body), code, unique) + body)

    def close(self) -> None:
        """Unmount; processes that wait for the mount get an error."""
        LIBC.umount2(self.path.encode(), MNT_FORCE | MNT_DETACH)
        if self._device >= 0:
            os.close(self._device)
            self._device = -1


@pytest.fixture
def apart() -> Callable[[Callable[[], None]], None]:
    """Give a function that runs another in a thread with a mount namespace of its own."""

    def run(work: Callable[[], None]) -> None:
        failures: list[BaseException] = []

        def body() -> None:
            try:
                check(LIBC.unshare(CLONE_NEWNS | CLONE_FS))
                check(LIBC.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))
                work()
            except BaseException as error:  # noqa: BLE001 -- handed to the test below
                failures.append(error)

        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        if failures:
            raise failures[0]

    return run


def test_other_mounts_still_report_in_time(
    tmp_path: Path, apart: Callable[..., None], statvfs_client: StatvfsClient
) -> None:
    """The hung mount is first in the row; those behind it are measured within the deadline."""

    def work() -> None:
        fuse = Fuse(tmp_path / "hung")
        try:
            began = time.monotonic()
            results = statvfs_client.statvfs([fuse.path, "/", str(tmp_path)], DEADLINE)
            assert time.monotonic() - began < DEADLINE
            assert results[fuse.path] == HUNG
            assert isinstance(results["/"], StatResult)
            assert isinstance(results[str(tmp_path)], StatResult)
        finally:
            fuse.close()

    apart(work)


def test_a_hung_mount_is_not_asked_again_while_a_helper_waits_for_it(
    tmp_path: Path, apart: Callable[..., None], statvfs_client: StatvfsClient
) -> None:
    """From the second call on it costs no time and no process."""

    def work() -> None:
        fuse = Fuse(tmp_path / "hung")
        try:
            statvfs_client.statvfs([fuse.path, "/"], DEADLINE)
            pids = sorted(statvfs_client.pids())
            assert len(pids) == 2
            began = time.monotonic()
            for _ in range(20):
                assert statvfs_client.statvfs([fuse.path, "/"], DEADLINE)[fuse.path] == HUNG
            assert time.monotonic() - began < DEADLINE / 3
            assert sorted(statvfs_client.pids()) == pids
        finally:
            fuse.close()

    apart(work)


def test_a_mount_that_answers_again_is_measured_again(
    tmp_path: Path, apart: Callable[..., None], statvfs_client: StatvfsClient
) -> None:
    """The helper that waits notices; afterwards one helper is left."""

    def work() -> None:
        fuse = Fuse(tmp_path / "hung")
        try:
            assert statvfs_client.statvfs([fuse.path], DEADLINE)[fuse.path] == HUNG
            fuse.answer()
            wait_until(
                lambda: statvfs_client.statvfs([fuse.path], DEADLINE)[fuse.path] != HUNG,
                "the mount answers",
            )
            result = statvfs_client.statvfs([fuse.path], DEADLINE)[fuse.path]
            assert isinstance(result, StatResult)
            assert result[1:] == (4096000, 1638400, 1228800, 0, 0)
            assert len(statvfs_client.pids()) == 1
        finally:
            fuse.close()

    apart(work)


def test_a_mount_that_broke_off_gives_its_error(
    tmp_path: Path, apart: Callable[..., None], statvfs_client: StatvfsClient
) -> None:
    """A filesystem whose server died is not hung any more: it refuses."""

    def work() -> None:
        fuse = Fuse(tmp_path / "hung")
        assert statvfs_client.statvfs([fuse.path], DEADLINE)[fuse.path] == HUNG
        os.close(fuse._device)
        fuse._device = -1
        try:
            wait_until(
                lambda: statvfs_client.statvfs([fuse.path], DEADLINE)[fuse.path] != HUNG,
                "the mount answers",
            )
            result = statvfs_client.statvfs([fuse.path], DEADLINE)[fuse.path]
            assert isinstance(result, OSError)
            assert result.errno == errno.ENOTCONN
        finally:
            fuse.close()

    apart(work)


def test_helpers_that_wait_are_few(tmp_path: Path, apart: Callable[..., None]) -> None:
    """Beyond their number a stuck helper is killed and its mount tried again later."""

    def work() -> None:
        statvfs_client = StatvfsClient(max_watchers=1, retry_s=0.2)
        mounts = [Fuse(tmp_path / name) for name in ("one", "two")]
        paths = [fuse.path for fuse in mounts]
        try:
            assert set(statvfs_client.statvfs(paths, DEADLINE).values()) == {HUNG}
            assert len(statvfs_client.pids()) == 1
            mounts[1].answer()
            wait_until(
                lambda: statvfs_client.statvfs(paths, DEADLINE)[paths[1]] != HUNG,
                "the second mount answers",
            )
            assert statvfs_client.statvfs(paths, DEADLINE)[paths[0]] == HUNG
        finally:
            statvfs_client.close()
            for fuse in mounts:
                fuse.close()
        assert statvfs_client.pids() == []

    apart(work)


def test_a_mount_for_which_too_little_time_was_left_is_not_called_hung(
    tmp_path: Path, apart: Callable[..., None], statvfs_client: StatvfsClient
) -> None:
    """Two hung mounts use up most of a call; the third is found out by the next one."""

    def work() -> None:
        mounts = [Fuse(tmp_path / name) for name in ("one", "two", "three")]
        paths = [fuse.path for fuse in mounts]
        try:
            first = statvfs_client.statvfs(paths, DEADLINE / 2)
            assert [first[path] for path in paths[:2]] == [HUNG, HUNG]
            assert isinstance(first[paths[2]], TimeoutError)
            assert set(statvfs_client.statvfs(paths, DEADLINE / 2).values()) == {HUNG}
        finally:
            for fuse in mounts:
                fuse.close()

    apart(work)


def test_a_mount_that_is_gone_takes_its_helper_along(
    tmp_path: Path, apart: Callable[..., None], statvfs_client: StatvfsClient
) -> None:
    """After a lazy unmount nobody asks for it any more; the process that waited is ended."""

    def work() -> None:
        fuse = Fuse(tmp_path / "hung")
        try:
            statvfs_client.statvfs([fuse.path, "/"], DEADLINE)
            before = statvfs_client.pids()
            statvfs_client.statvfs(["/"], DEADLINE)
            (left,) = statvfs_client.pids()
            (gone,) = set(before) - {left}

            def ended() -> bool:
                statvfs_client.statvfs(["/"], DEADLINE)
                return not Path(f"/proc/{gone}").exists()

            wait_until(ended, "the helper has ended")
        finally:
            fuse.close()

    apart(work)


def test_the_collector_reports_a_hung_mount_and_nothing_else_of_it(
    tmp_path: Path, apart: Callable[..., None], statvfs_client: StatvfsClient
) -> None:
    """From the kernel's mount table to the points, within the collector's deadline."""
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/self").symlink_to("/proc/thread-self")

    def work() -> None:
        fuse = Fuse(tmp_path / "hung")
        try:
            tree = Tree(Paths(proc=str(tmp_path / "proc")))
            began = time.monotonic()
            collector = DiskCollector(tree, statvfs_client, ["tmpfs", "proc"], ["^/var/lib/"])
            points = collector.collect(0.0)
            assert time.monotonic() - began < DEADLINE_S
            fields = {point.tags["mount"]: point.fields for point in points}
            assert fields[fuse.path] == {"hung": 1}
            assert fields["/"]["hung"] == 0
            assert fields["/"]["used_bytes"] > 0
        finally:
            fuse.close()

    apart(work)


def test_a_helper_that_wants_the_processor_does_not_make_a_mount_hung(
    tmp_path: Path,
    apart: Callable[..., None],
    statvfs_client: StatvfsClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On an overloaded machine it gets the whole deadline, and then nothing is said."""
    monkeypatch.setattr(WorkerProcess, "starved", lambda _: True)

    def work() -> None:
        fuse = Fuse(tmp_path / "hung")
        try:
            began = time.monotonic()
            result = statvfs_client.statvfs([fuse.path], DEADLINE)[fuse.path]
            assert isinstance(result, TimeoutError)
            assert time.monotonic() - began >= DEADLINE * 0.9
            assert statvfs_client.pids() == []
        finally:
            fuse.close()

    apart(work)
