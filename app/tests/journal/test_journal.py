"""The journal keeps what it acknowledged, in order, and says no when it cannot."""

from __future__ import annotations

import gzip
import json
import multiprocessing
import os
import sqlite3
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest
from tests.support.clock import ManualClock
from tests.support.polling import wait_until

from hostpulse_server.errors import JournalFullError, JournalUnavailableError
from hostpulse_server.journal import Entry, Journal, SamplesRecord
from hostpulse_server.runtime.clock import SYSTEM
from hostpulse_server.runtime.expiry import ExpiryGuard

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEADLINE = 30.0


def open_journal(folder: Path, *, max_bytes: int = 2**26, min_free_bytes: int = 0) -> Journal:
    """Open the journal in ``folder``."""
    return Journal.open(
        folder / "journal.db", max_bytes=max_bytes, min_free_bytes=min_free_bytes, clock=SYSTEM
    )


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """Open an empty journal."""
    with closing(open_journal(tmp_path)) as opened:
        yield opened


@contextmanager
def tiny_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount a disk of ``size`` at ``folder``."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def append_from_another_process(path: Path, body: bytes) -> None:
    """Append one entry; runs in a process of its own."""
    with closing(open_journal(path)) as other:
        other.append(body, "samples", 5)


def test_entries_come_back_as_they_were_in_order(journal: Journal) -> None:
    """Small, large and already compressed bodies alike, with kind and time."""
    bodies = [b"x", b"y" * 100_000, b'{"a": 1}']
    ids = [journal.append(body, "samples", 7) for body in bodies[:2]]
    ids.append(journal.append(gzip.compress(bodies[2]), "note", 8, packed=True))
    assert ids == [1, 2, 3]
    assert journal.read(0, 10, 10**6) == [
        Entry(1, "samples", 7, bodies[0]),
        Entry(2, "samples", 7, bodies[1]),
        Entry(3, "note", 8, bodies[2]),
    ]
    assert [entry.id for entry in journal.read(1, 1, 10**6)] == [2]


def test_the_journal_is_read_by_its_owner_alone(tmp_path: Path) -> None:
    """Whatever the umask; the write-ahead log too, which holds the same samples."""
    before = os.umask(0)
    try:
        with closing(open_journal(tmp_path)) as journal:
            journal.append(b"{}", "samples", 1)
            made = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("*.db*")}
    finally:
        os.umask(before)
    assert {"journal.db", "journal.db-wal"} <= made.keys()
    assert {mode for name, mode in made.items() if not name.endswith(".wake")} == {0o600}, made


def test_a_read_keeps_to_its_bytes_but_gives_one_entry(journal: Journal) -> None:
    """An entry larger than the bound would otherwise stop its consumer for ever."""
    for _ in range(3):
        journal.append(b"z" * 1000, "samples", 1)
    assert len(journal.read(0, 10, 10)) == 1
    assert len(journal.read(0, 10, 2500)) == 2


def test_many_threads_get_an_id_each(journal: Journal) -> None:
    """Group commit mixes nobody up: every id leads to the body of its caller."""
    with ThreadPoolExecutor(16) as pool:
        bodies = [f"body {number}".encode() for number in range(400)]
        ids = list(pool.map(lambda body: journal.append(body, "samples", 1), bodies))
    found = {entry.id: entry.body for entry in journal.read(0, 1000, 10**7)}
    assert found == dict(zip(ids, bodies, strict=True))


def test_epoch_and_ids_outlive_a_restart_and_a_trim(tmp_path: Path) -> None:
    """An id is never used twice in an epoch, not even when nothing is left."""
    with closing(open_journal(tmp_path)) as first:
        epoch = first.epoch
        first.append(b"a", "samples", 1)
        first.hint("shipper", 1)
        assert first.trim() == 1
    with closing(open_journal(tmp_path)) as second:
        assert second.epoch == epoch
        assert second.append(b"b", "samples", 1) == 2
    with closing(open_journal(tmp_path / "other")) as third:
        assert third.epoch != epoch


def test_a_trim_leaves_what_the_slowest_consumer_needs(journal: Journal) -> None:
    """Without any hint nothing goes."""
    for number in range(10):
        journal.append(b"x", "samples", 100 + number)
    assert journal.trim() == 0
    journal.hint("shipper", 8)
    journal.hint("other", 3)
    assert journal.trim() == 3
    stats = journal.stats()
    assert (stats.entries, stats.oldest_id, stats.newest_id, stats.oldest_ms) == (7, 4, 10, 103)
    journal.hint("other", 10)
    journal.hint("shipper", 10)
    journal.trim()
    assert journal.stats().entries == 0
    assert journal.stats().oldest_ms is None


def test_alerts_may_hold_entries_for_an_hour_and_the_store_for_ever(tmp_path: Path) -> None:
    """An engine that is away must not fill the disk; what the store lacks is kept."""
    clock = ManualClock()
    expiry = ExpiryGuard(clock)
    path = tmp_path / "journal.db"
    with closing(Journal.open(path, max_bytes=2**26, min_free_bytes=0, clock=clock)) as journal:
        for _ in range(100):
            journal.append(b"x", "samples", clock.ms)
            clock.move(60)
        journal.hint("alerts", 7)
        journal.hint("shipper", 90)
        assert journal.trim(expiry) == 40  # the first was received 100 minutes ago
        assert journal.stats().oldest_id == 41
        journal.hint("shipper", 50)
        clock.move(3600)
        journal.hint("alerts", 60)
        assert journal.trim(expiry) == 10
        journal.hint("shipper", 100)
        assert journal.trim(expiry) == 50
        assert (journal.stats().entries, journal.last_id()) == (0, 100)


def test_alerts_hold_entries_while_the_clock_may_be_wrong(tmp_path: Path) -> None:
    """Set ahead for a moment, it would make them all look older than an hour."""
    clock = ManualClock()
    expiry = ExpiryGuard(clock)
    path = tmp_path / "journal.db"
    with closing(Journal.open(path, max_bytes=2**26, min_free_bytes=0, clock=clock)) as journal:
        journal.append(b"x", "samples", clock.ms)
        journal.hint("alerts", 0)
        journal.hint("shipper", 1)
        clock.move(3600)
        clock.set(2 * 3600)
        assert journal.trim(expiry) == 0
        clock.set(-2 * 3600)
        clock.move(3599)
        assert journal.trim(expiry) == 0
        clock.move(3601)
        assert journal.trim(expiry) == 1


@pytest.mark.parametrize(
    ("minutes_ago", "trimmed"),
    [
        ([180] * 5 + [10] * 7 + [130] * 8 + [9] * 12, 5),  # the clock was two hours back
        ([180] * 5 + [-60] * 7 + [170] * 8 + [9] * 12, 20),  # it was ahead, then right again
        ([180] * 5 + [-60] * 7 + [9] * 20, 5),
        ([180] * 5 + [-60] * 27, 5),  # it was ahead, and nothing came since
        ([-60] * 3 + [180] * 29, 32),
        ([10] * 32, 0),
    ],
)
def test_entries_are_held_in_the_order_of_their_ids(
    tmp_path: Path, minutes_ago: list[int], trimmed: int
) -> None:
    """A clock that was set gives times that do not grow with the ids."""
    clock = ManualClock()
    expiry = ExpiryGuard(clock)
    clock.move(3600)
    path = tmp_path / "journal.db"
    with closing(Journal.open(path, max_bytes=2**26, min_free_bytes=0, clock=clock)) as journal:
        for minutes in minutes_ago:
            journal.append(b"x", "samples", clock.ms - minutes * 60_000)
        journal.hint("alerts", 0)
        journal.hint("shipper", 32)
        assert journal.trim(expiry) == trimmed
        assert journal.trim(expiry) == 0


def test_wait_tells_at_once_that_there_is_something(journal: Journal) -> None:
    """No socket is needed for what is already there, and a timeout is a timeout."""
    assert not journal.wait(0, 0.01)
    journal.append(b"x", "samples", 1)
    assert journal.wait(0, 0)
    assert not journal.wait(1, 0.01)


def test_an_append_in_another_process_wakes_a_waiting_consumer(tmp_path: Path) -> None:
    """By a datagram, well before the fallback of a second would look."""
    context = multiprocessing.get_context("spawn")
    with closing(open_journal(tmp_path)) as journal:
        waited: list[tuple[bool, float]] = []

        def consume() -> None:
            answer = journal.wait(0, DEADLINE)
            waited.append((answer, time.time()))

        consumer = threading.Thread(target=consume)
        consumer.start()
        writer = context.Process(target=append_from_another_process, args=(tmp_path, b"news"))
        writer.start()
        consumer.join(DEADLINE)
        writer.join(DEADLINE)
        writer.close()
        assert waited[0][0]
        assert journal.read(0, 10, 100)[0].body == b"news"


def test_a_socket_left_by_a_dead_consumer_is_removed(tmp_path: Path) -> None:
    """A consumer that was killed costs the writer one refused datagram."""
    with closing(open_journal(tmp_path)) as journal:
        assert not journal.wait(0, 0)
        folder = tmp_path / "journal.db.wake"
        (alive,) = folder.iterdir()
        left = folder / "1-dead"
        alive.rename(left)
        journal._ears[0]._socket.close()
        journal.append(b"x", "samples", 1)
        deadline = time.monotonic() + DEADLINE
        while left.exists() and time.monotonic() < deadline:
            journal.append(b"x", "samples", 1)
        assert not left.exists()


def test_the_byte_bound_refuses_and_a_trim_opens_again(tmp_path: Path) -> None:
    """Nothing of what is refused is kept; the caller learns when to come back."""
    with closing(open_journal(tmp_path, max_bytes=200_000)) as journal:
        body = gzip.compress(os.urandom(5000))
        acknowledged = fill(journal, body)
        assert journal.stats().newest_id == len(acknowledged)
        with pytest.raises(JournalFullError) as refused:
            journal.append(body, "samples", 1)
        assert refused.value.retry_after > 0
        journal.hint("shipper", acknowledged[-1])
        journal.trim()
        wait_until(lambda: fill(journal, body), "there is room again", DEADLINE)
        assert journal.stats().newest_id > len(acknowledged)


def test_the_free_disk_floor_refuses(tmp_path: Path) -> None:
    """Others on this disk need room, too."""
    with (
        closing(open_journal(tmp_path, min_free_bytes=2**60)) as journal,
        pytest.raises(JournalFullError, match="bytes free"),
    ):
        journal.append(b"x", "samples", 1)


def fill(journal: Journal, body: bytes) -> list[int]:
    """Append ``body`` until the journal refuses; return the acknowledged ids."""
    acknowledged: list[int] = []
    try:
        while True:
            acknowledged.append(journal.append(body, "samples", 1, packed=True))
    except (JournalUnavailableError, JournalFullError):
        return acknowledged


@pytest.mark.root
def test_a_full_disk_never_acknowledges_and_recovers(tmp_path: Path) -> None:
    """On a real disk of 1 MiB: what was acknowledged is there, and room makes it go on."""
    with tiny_disk(tmp_path / "disk", "1m") as disk:
        with closing(open_journal(disk)) as journal:
            assert journal.stats().entries == 0  # a consumer has it open, as in service
            large, small = gzip.compress(os.urandom(2000)), gzip.compress(b"x")
            acknowledged = fill(journal, large) + fill(journal, small)
            assert len(acknowledged) > 20
            with pytest.raises((JournalUnavailableError, JournalFullError)):
                journal.append(large, "samples", 1)
            assert [entry.id for entry in journal.read(0, 10**6, 10**9)] == acknowledged
            subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
            # free space is looked at a few times a second
            more = wait_until(lambda: fill(journal, large), "there is room", DEADLINE)
        subprocess.run(["mount", "-o", "remount,size=16m", disk], check=True)
        with closing(open_journal(disk)) as again:
            assert [entry.id for entry in again.read(0, 10**6, 10**9)] == acknowledged + more


def test_a_closed_journal_takes_nothing(tmp_path: Path) -> None:
    """An append after the close is an error, not a wait for ever; closing twice is fine."""
    journal = open_journal(tmp_path)
    journal.append(b"x", "samples", 1)
    journal.close()
    journal.close()
    with pytest.raises(JournalUnavailableError):
        journal.append(b"x", "samples", 1)
    with pytest.raises(JournalUnavailableError):
        journal.read(0, 1, 1)


def test_a_file_that_is_no_journal_is_told(tmp_path: Path) -> None:
    """The message names the file."""
    (tmp_path / "journal.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(JournalUnavailableError, match=r"journal\.db"):
        open_journal(tmp_path)


def test_check_says_whether_the_journal_can_be_written(tmp_path: Path) -> None:
    """Another program that holds the file for ever would be seen."""
    with closing(open_journal(tmp_path)) as journal:
        journal.check()
        journal._connect().execute("PRAGMA busy_timeout=10")
        with closing(sqlite3.connect(tmp_path / "journal.db")) as holder:
            holder.execute("BEGIN IMMEDIATE")
            with pytest.raises(JournalUnavailableError, match="locked"):
                journal.check()


def test_a_record_reads_the_same_encoded_and_as_sent(journal: Journal) -> None:
    """The body of a request that was accepted whole may be kept as it came."""
    sample = {"seq": 1, "time": 2, "interval_ms": 3, "points": []}
    record = SamplesRecord(
        "web-01", 9, {"version": "1"}, [sample], {"os": "Debian"}, [{"kind": "stopping"}]
    )
    sent = {
        "schema": 1,
        "server_id": "web-01",
        "sent_at": 8,
        "agent": {"version": "1"},
        "samples": [sample],
        "facts": {"os": "Debian"},
        "events": [{"kind": "stopping"}],
        "ext": {},
    }
    journal.append(record.encode(), "samples", 9)
    journal.append(json.dumps(sent).encode(), "samples", 9)
    first, second = journal.read(0, 10, 10**6)
    assert SamplesRecord.decode(first) == SamplesRecord.decode(second) == record
