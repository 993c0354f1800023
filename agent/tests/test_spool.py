"""The spool: numbers, bounds, and failing disks."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from agent.tests.conftest import ManualClock
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hostpulse_agent import wire
from hostpulse_agent.config import SpoolConfig
from hostpulse_agent.errors import SpoolBusyError
from hostpulse_agent.spool import Spool
from hostpulse_agent.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostpulse_agent.stream import SampleId

T0 = 1_800_000_000_000


def make(sample_id: SampleId) -> bytes:
    """Encode the barest sample."""
    return wire.encode(sample_id._asdict())


def fill(spool: Spool, count: int, start: int = T0) -> list[SampleId]:
    """Append ``count`` samples, ten seconds apart."""
    return [spool.append(start + n * 10_000, make) for n in range(count)]


def drain(spool: Spool) -> list[int]:
    """Take and acknowledge everything; return the sequence numbers in order."""
    seqs: list[int] = []
    while rows := spool.oldest(100, 1 << 20, 1 << 30):
        seqs += [row.seq for row in rows]
        spool.acknowledge(rows)
    return seqs


@pytest.fixture
def spool(spool_config: SpoolConfig) -> Iterator[Spool]:
    """Return an empty spool."""
    made = Spool(spool_config)
    yield made
    made.close()


def test_a_sample_stays_until_it_is_acknowledged(spool: Spool, spool_config: SpoolConfig) -> None:
    """Taken but not acknowledged samples are back after a restart; acknowledged ones are not."""
    fill(spool, 5)
    first = spool.oldest(2, 1 << 20, 1 << 20)
    spool.acknowledge(first)
    spool.oldest(1, 1 << 20, 1 << 20)
    spool.close()
    again = Spool(spool_config)
    assert drain(again) == [3, 4, 5]
    again.close()


def test_numbers_go_on_after_a_restart(spool: Spool, spool_config: SpoolConfig) -> None:
    """A drained spool still knows its stream and the next number."""
    fill(spool, 3)
    drain(spool)
    spool.close()
    again = Spool(spool_config)
    sample_id = again.append(T0 + 60_000, make)
    assert (sample_id.stream, sample_id.seq) == (spool.stream.id, 4)
    again.close()


def test_the_spool_is_read_by_its_owner_alone(spool_config: SpoolConfig) -> None:
    """With any umask; the write-ahead log too, which holds the same samples."""
    before = os.umask(0)
    try:
        spool = Spool(spool_config)
        fill(spool, 1)
        folder = Path(spool_config.path).parent
        made = {path.name: path.stat().st_mode & 0o777 for path in folder.glob("spool.db*")}
        spool.close()
    finally:
        os.umask(before)
    assert {"spool.db", "spool.db-wal"} <= made.keys()
    assert set(made.values()) == {0o600}, made


def test_a_killed_process_loses_nothing_that_was_appended(spool_config: SpoolConfig) -> None:
    """After SIGKILL right behind an append every sample is there and numbers go on."""
    code = (
        "import os, signal\n"
        "from hostpulse_agent.config import SpoolConfig\n"
        "from hostpulse_agent.spool import Spool\n"
        f"spool = Spool(SpoolConfig(path={spool_config.path!r}, min_free_bytes=0))\n"
        f"for n in range(7): spool.append({T0} + n * 10000, lambda _: b'{{}}')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    spool = Spool(spool_config)
    assert drain(spool) == [1, 2, 3, 4, 5, 6, 7]
    assert spool.append(T0 + 90_000, make).seq == 8
    spool.close()


def test_a_full_spool_drops_the_oldest_and_counts_it(spool_config: SpoolConfig) -> None:
    """The newest samples stay; the drop is in the very next sample."""
    spool = Spool(spool_config._replace(max_samples=10))
    sample_ids = fill(spool, 25)
    assert sample_ids[-1].dropped == {"spool_full": 15}
    assert drain(spool) == list(range(16, 26))
    spool.close()


def test_bytes_are_bounded(spool_config: SpoolConfig) -> None:
    """Large samples reach the byte bound before the count."""
    spool = Spool(spool_config._replace(max_bytes=40_000))
    for n in range(20):
        spool.append(T0 + n * 10_000, lambda _sample_id: os.urandom(4000))
    stats = spool.stats()
    assert stats.bytes <= 44_100
    assert stats.dropped == {"spool_bytes": 20 - stats.samples}
    spool.close()


def test_samples_grow_too_old(spool_config: SpoolConfig) -> None:
    """What the server would refuse as too old is dropped here and counted."""
    clock = ManualClock(T0)
    spool = Spool(spool_config._replace(max_age=60.0), clock=clock)
    clock.advance(3600)
    for seconds in (10, 10, 55, 0):
        spool.append(int(clock.wall), make)
        clock.advance(seconds)
    assert spool.stats().dropped == {"spool_age": 2}
    assert drain(spool) == [3, 4]
    spool.close()


def test_what_is_being_sent_is_not_dropped(spool_config: SpoolConfig) -> None:
    """A sample cannot be both delivered and counted as dropped."""
    spool = Spool(spool_config._replace(max_samples=5))
    fill(spool, 5)
    taken = spool.oldest(2, 1 << 20, 1 << 20)
    fill(spool, 2, T0 + 100_000)
    assert [row.seq for row in taken] == [1, 2]
    spool.acknowledge(taken)
    assert drain(spool) == [5, 6, 7]
    assert spool.stats().dropped == {"spool_full": 2}
    spool.close()


def test_a_batch_keeps_its_byte_bounds_but_holds_at_least_one(spool: Spool) -> None:
    """Both the packed and the inflated size end a batch."""
    fill(spool, 10)
    row = spool.oldest(1, 1, 1)
    assert len(row) == 1
    spool.release(row)
    two = spool.oldest(10, 1 << 20, 2 * row[0].raw_bytes)
    assert [each.seq for each in two] == [1, 2]
    spool.release(two)
    first = spool.oldest(3, 1 << 20, 1 << 20)
    spool.release(first)
    three = spool.oldest(10, sum(len(each.packed) for each in first), 1 << 20)
    assert [each.seq for each in three] == [1, 2, 3]


def test_the_newest_is_given_once(spool: Spool) -> None:
    """The sender asks for what is newer than its last."""
    fill(spool, 3)
    row = spool.newest(0)
    assert row is not None
    assert row.seq == 3
    spool.acknowledge([row])
    assert spool.newest(row.id) is None
    assert drain(spool) == [1, 2]


def test_a_damaged_file_is_renamed_and_kept(
    spool_config: SpoolConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    """The agent starts with a new spool and stream, keeps the old file and says so."""
    path = Path(spool_config.path)
    path.parent.mkdir()
    path.write_bytes(b"this is not a database, not even nearly" * 100)
    spool = Spool(spool_config)
    assert fill(spool, 2)[-1].seq == 2
    spool.close()
    aside = [p for p in path.parent.iterdir() if ".damaged-" in p.name]
    assert len(aside) == 1
    assert aside[0].read_bytes().startswith(b"this is not")
    assert "damaged" in capsys.readouterr().err


@pytest.mark.parametrize("state", ["[1]", "no json", '{"stream": "s", "next_seq": "x"}'])
def test_a_file_with_a_damaged_state_is_kept_too(spool_config: SpoolConfig, state: str) -> None:
    """A file that opens but makes no sense is damaged as well."""
    spool = Spool(spool_config)
    fill(spool, 1)
    spool.close()
    database = sqlite3.connect(spool_config.path)
    database.execute("UPDATE state SET value = ?", (state,))
    database.commit()
    database.close()
    again = Spool(spool_config)
    assert fill(again, 1)[0].seq == 1
    assert again.stream.id != spool.stream.id
    again.close()


def test_a_file_damaged_while_in_use_is_replaced(spool_config: SpoolConfig) -> None:
    """Sampling goes on in a new stream, and what the file held is counted as lost."""
    spool = Spool(spool_config)
    for n in range(200):
        spool.append(T0 + n * 10_000, lambda _sample_id: os.urandom(2000))
    spool.close()
    spool = Spool(spool_config)
    with Path(spool_config.path).open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * (Path(spool_config.path).stat().st_size - 8192))
    drain(spool)
    fill(spool, 3, T0 + 10_000_000)
    assert spool.stats().dropped.get("spool_damaged")
    assert spool.stats().in_memory == 0
    assert len(drain(spool)) == 3
    spool.close()


def test_an_unwritable_spool_keeps_samples_in_memory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a file everything works but a restart, and it is said once."""
    (tmp_path / "file").write_text("in the way")
    config = SpoolConfig(path=str(tmp_path / "file" / "spool.db"), min_free_bytes=0)
    spool = Spool(config)
    fill(spool, 5)
    assert spool.stats().in_memory == 5
    assert drain(spool) == [1, 2, 3, 4, 5]
    assert capsys.readouterr().err.count("cannot be used") == 1
    spool.close()


def test_a_spool_that_becomes_writable_takes_what_waited(tmp_path: Path) -> None:
    """Samples found in the file and samples from memory are both delivered, in order."""
    config = SpoolConfig(path=str(tmp_path / "place" / "spool.db"), min_free_bytes=0)
    spool = Spool(config)
    fill(spool, 3)
    spool.close()
    (tmp_path / "place").rename(tmp_path / "aside")
    (tmp_path / "place").write_text("in the way")
    spool = Spool(config)
    fill(spool, 3, T0 + 100_000)
    (tmp_path / "place").unlink()
    (tmp_path / "aside").rename(tmp_path / "place")
    fill(spool, 3, T0 + 200_000)
    assert spool.stats().in_memory == 0
    assert drain(spool) == [1, 2, 3, 1, 2, 3, 4, 5, 6]
    spool.close()


def test_a_failing_disk_begins_a_stream_so_that_no_number_is_used_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the file promises to the next start is left to it."""
    config = SpoolConfig(path=str(tmp_path / "spool.db"), min_free_bytes=0)
    spool = Spool(config)
    before = fill(spool, 2)
    blocker = sqlite3.connect(config.path, isolation_level=None)
    blocker.execute(
        "CREATE TRIGGER full BEFORE INSERT ON sample BEGIN SELECT RAISE(ABORT, 'x'); END"
    )
    during = fill(spool, 2, T0 + 100_000)
    assert during[0].stream != before[0].stream
    assert [sample_id.seq for sample_id in during] == [1, 2]
    blocker.execute("DROP TRIGGER full")
    blocker.close()
    after = spool.append(T0 + 200_000, make)
    assert (after.stream, after.seq) == (during[0].stream, 3)
    assert spool.stats().in_memory == 0
    assert drain(spool) == [1, 2, 1, 2, 3]
    logged = capsys.readouterr().err
    assert logged.count("cannot be used") == 1
    assert logged.count("is written again") == 1
    spool.close()


def test_low_disk_keeps_samples_in_memory_and_their_numbers(
    spool_config: SpoolConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    """Under the floor the file does not grow; above it all goes there; one stream throughout."""
    free = [1 << 40]
    spool = Spool(spool_config._replace(min_free_bytes=1 << 30), free_bytes=lambda _path: free[0])
    first = fill(spool, 2)
    free[0] = 1 << 20
    fill(spool, 3, T0 + 100_000)
    assert spool.stats().in_memory == 3
    assert capsys.readouterr().err.count("MiB free") == 1
    free[0] = 1 << 40
    last = spool.append(T0 + 200_000, make)
    assert spool.stats().in_memory == 0
    assert (last.stream, last.seq) == (first[0].stream, 6)
    assert drain(spool) == [1, 2, 3, 4, 5, 6]
    spool.close()


def test_memory_is_bounded_while_the_disk_is_low(spool_config: SpoolConfig) -> None:
    """Two mebibytes wait in memory at most; what goes is counted as no_disk."""
    config = spool_config._replace(min_free_bytes=1 << 30)
    spool = Spool(config, free_bytes=lambda _path: 0)
    for n in range(30):
        spool.append(T0 + n * 10_000, lambda _sample_id: os.urandom(100_000))
    stats = spool.stats()
    assert stats.bytes <= (2 << 20) + 101_000
    assert stats.dropped == {"no_disk": 30 - stats.samples}
    spool.close()


def test_a_spool_has_one_agent(spool: Spool, spool_config: SpoolConfig) -> None:
    """A second agent is refused with what to do; after the first ends it may."""
    with pytest.raises(SpoolBusyError, match="another hostpulse-agent"):
        Spool(spool_config)
    spool.close()
    Spool(spool_config).close()


def test_a_drained_backlog_is_flushed_and_shrinks(spool_config: SpoolConfig) -> None:
    """The file is given back to the host after an outage."""
    spool = Spool(spool_config)
    for n in range(600):
        spool.append(T0 + n * 10_000, lambda _sample_id: os.urandom(1500))
    drain(spool)
    spool.append(T0 + 20_000_000, make)
    spool.close()
    assert Path(spool_config.path).stat().st_size < 300_000


@given(st.lists(st.integers(0, 10**13), min_size=1, max_size=50))
def test_times_grow_strictly_in_a_stream_even_if_the_clock_jumps(stamps: list[int]) -> None:
    """Within a stream numbers grow by one and times strictly."""
    stream = Stream()
    last: dict[str, Any] = {}
    for stamp in stamps:
        sample_id = stream.next_id(stamp)
        before = last.get(sample_id.stream)
        if before is None:
            assert sample_id.seq == 1
        else:
            assert sample_id.seq == before.seq + 1
            assert sample_id.time_ms > before.time_ms
        assert sample_id.time_ms >= stamp
        last[sample_id.stream] = sample_id


def test_a_small_step_back_stays_in_the_stream() -> None:
    """Seconds backwards cost precision, not a stream; hours backwards begin a new one."""
    stream = Stream()
    first, second = stream.next_id(T0), stream.next_id(T0 - 30_000)
    assert (second.stream, second.time_ms) == (first.stream, T0 + 1)
    third = stream.next_id(T0 - 7_200_000)
    assert third.stream != first.stream
    assert third.time_ms == T0 - 7_200_000


class SpoolMachine(RuleBasedStateMachine):
    """Any order of appends, deliveries, failures, restarts and low disk, against a plain model."""

    MAX = 12

    @initialize()
    def begin(self) -> None:
        """Make a spool."""
        self.directory = tempfile.TemporaryDirectory()
        self.config = SpoolConfig(
            path=str(Path(self.directory.name) / "spool.db"),
            max_samples=self.MAX,
            min_free_bytes=100,
        )
        self.free = 1000
        self.now = T0
        self.made: list[int] = []
        self.delivered: list[int] = []
        self.open()

    def open(self) -> None:
        """Open the spool."""
        self.spool = Spool(self.config, free_bytes=lambda _path: self.free)

    @rule(count=st.integers(1, 6))
    def append(self, count: int) -> None:
        """Sample."""
        for _ in range(count):
            self.now += 10_000
            self.made.append(self.spool.append(self.now, make).seq)

    @rule(count=st.integers(1, 8))
    def deliver(self, count: int) -> None:
        """Send some of the oldest."""
        rows = self.spool.oldest(count, 1 << 20, 1 << 20)
        assert [json.loads(wire.decompress(row.packed))["seq"] for row in rows] == [
            row.seq for row in rows
        ]
        self.spool.acknowledge(rows)
        self.delivered += [row.seq for row in rows]

    @rule()
    def fail(self) -> None:
        """Take some and put them back."""
        self.spool.release(self.spool.oldest(5, 1 << 20, 1 << 20))

    @rule()
    def restart(self) -> None:
        """Stop and start."""
        self.spool.close()
        self.open()

    @rule(low=st.booleans())
    def disk(self, low: bool) -> None:  # noqa: FBT001 -- drawn by hypothesis
        """Fill or free the disk."""
        self.free = 10 if low else 1000

    @invariant()
    def nothing_is_lost_doubled_or_out_of_order(self) -> None:
        """Made = delivered + waiting + dropped, each once and in order."""
        if not hasattr(self, "spool"):
            return
        stats = self.spool.stats()
        assert stats.samples <= self.MAX
        assert self.made == list(range(1, len(self.made) + 1))
        assert self.delivered == sorted(set(self.delivered))
        dropped = sum(stats.dropped.values())
        assert len(self.made) == len(self.delivered) + stats.samples + dropped

    def teardown(self) -> None:
        """Close everything."""
        if hasattr(self, "spool"):
            self.spool.close()
            self.directory.cleanup()


TestSpoolMachine = SpoolMachine.TestCase
TestSpoolMachine.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
