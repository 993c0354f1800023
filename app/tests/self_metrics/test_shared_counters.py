"""Counters that processes share: one sum, whoever is killed or restarted."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from hostpulse_server.runtime import shared_counters
from hostpulse_server.runtime.shared_counters import SharedCounters

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

COUNTING = """
import sys
from pathlib import Path
from hostpulse_server.runtime.shared_counters import SharedCounters
row = SharedCounters(Path(sys.argv[1])).row("samples")
for line in sys.stdin:
    row.add(float(line))
    print("counted", flush=True)
"""


class Worker:
    """A process that counts what it is told."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", COUNTING, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def count(self, amount: float) -> None:
        """Count, and return once it is counted."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{amount}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "counted\n"

    def end(self, number: signal.Signals) -> None:
        """End it by a signal."""
        self.process.send_signal(number)
        self.process.communicate()


def samples(folder: Path) -> float:
    """Return the sum of the row ``samples``."""
    return shared_counters.totals(folder)["samples",][0]


def test_the_sum_over_workers_never_goes_back_when_they_are_killed_or_restarted(
    tmp_path: Path,
) -> None:
    """What a killed worker counted stays, its file is taken over, and no new ones pile up."""
    folder = tmp_path / "counters"
    first, second = Worker(folder), Worker(folder)
    first.count(2)
    second.count(3)
    assert samples(folder) == 5
    first.end(signal.SIGKILL)
    assert samples(folder) == 5
    third = Worker(folder)
    third.count(4)
    assert samples(folder) == 9
    for one in (second, third):
        one.end(signal.SIGTERM)
    for _ in range(3):
        again = Worker(folder)
        again.count(1)
        again.end(signal.SIGKILL)
    assert samples(folder) == 12
    assert sorted(file.name for file in folder.iterdir()) == ["0", "1"]


class Interrupted(float):
    """A number that lets other threads run in the middle of an addition."""

    def __radd__(self, other: float) -> float:
        """Add, after the others had their turn."""
        time.sleep(0)
        return other + float(self)


def test_threads_lose_no_count(tmp_path: Path) -> None:
    """Adding is one step for all others."""
    made = SharedCounters(tmp_path)
    row = made.row("requests", "a", "GET", "200")

    def count() -> None:
        for _ in range(500):
            row.add(Interrupted(1), 3)
            row.observe(Interrupted(0.5), 4, 11)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cells = made.totals()["requests", "a", "GET", "200"]
    assert (cells[3], cells[4], cells[11]) == (4000, 4000, 2000)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x" * 100,
        b"\xff" * shared_counters.SIZE,
        b"hostpulse tally 0".ljust(shared_counters.SIZE, b"\0"),
    ],
)
def test_a_file_that_is_no_table_begins_anew(tmp_path: Path, content: bytes) -> None:
    """Cut off by a power loss, foreign or of another layout: it counts from zero."""
    (tmp_path / "0").write_bytes(content)
    assert shared_counters.totals(tmp_path) == {}
    SharedCounters(tmp_path).row("samples").add(1)
    assert shared_counters.totals(tmp_path) == {("samples",): [1.0] + [0.0] * 15}


def test_without_a_folder_a_process_counts_alone(tmp_path: Path) -> None:
    """Ingest goes on, and its own figures are still shown."""
    (tmp_path / "file").write_text("")
    made = SharedCounters(tmp_path / "file")
    made.row("samples").add(2)
    assert made.totals()["samples",][0] == 2


def test_a_full_table_and_a_long_key_cost_only_themselves(tmp_path: Path) -> None:
    """What was counted before goes on; what has no row is counted nowhere."""
    made = SharedCounters(tmp_path)
    for number in range(300):
        made.row("requests", str(number)).add(1)
    made.row("requests", "0").add(1)
    made.row("x" * 200).add(1)
    sums = made.totals()
    assert len(sums) == 255
    assert sums["requests", "0"][0] == 2


def test_the_counters_are_nobody_elses(tmp_path: Path) -> None:
    """Names of endpoints are no secret, but nobody else writes there either."""
    folder = tmp_path / "counters"
    made = SharedCounters(folder)
    made.row("samples").add(1)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "0").stat().st_mode & 0o777 == 0o600
