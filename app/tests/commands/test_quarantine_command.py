"""``hostpulse-server quarantine`` beside a running shipper, as an operator uses it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.installation import Installation
from tests.support.polling import wait_until

from hostpulse_server.errors import QuarantineError
from hostpulse_server.journal import Journal, SamplesRecord
from hostpulse_server.journal.records import SAMPLES
from hostpulse_server.runtime.clock import SYSTEM
from hostpulse_server.shipper.last_seen import LastSeenReader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result

pytestmark = pytest.mark.integration

FORCE_SECONDS = 5


class QuarantineSite(Installation):
    """A server's data directory with two points that the embedded store cannot keep."""

    def __init__(self, directory: Path) -> None:
        super().__init__(
            directory, '[journal]\nmin_free_bytes = "1MiB"\n[shipper]\nbatch_seconds = 0.05\n'
        )

    def __call__(self, *arguments: str, stdin: Any = None) -> Result:
        """Run ``quarantine`` with arguments; expected errors are in ``exception``."""
        return super().__call__("quarantine", *arguments, stdin=stdin)

    def listed(self) -> list[dict[str, Any]]:
        """Return what ``list --json`` prints."""
        found: list[dict[str, Any]] = self.json("list")
        return found

    def send(self) -> None:
        """Append a sample with one good point and two whose tag is half a surrogate pair."""
        now = SYSTEM.now_ms()
        points = [
            {"measurement": "disk", "tags": {"mount": mount}, "fields": {"used_percent": 1.0}}
            for mount in ("/", "/\ud800", "/\udc00")
        ]
        sample = {"seq": 1, "time": now, "interval_ms": 10_000, "points": points}
        record = SamplesRecord("web-01", now, {"version": "1", "stream": "s"}, [sample])
        with closing(
            Journal.open(self.config.paths.journal, max_bytes=2**30, min_free_bytes=0, clock=SYSTEM)
        ) as journal:
            journal.append(record.encode(), SAMPLES, now)

    @contextmanager
    def shipper(self) -> Iterator[None]:
        """Run the shipper's process, from when it has the directory."""
        lock = self.config.data_dir / "shipper.lock"
        code = "from hostpulse_server.cli import main; main()"
        command = [sys.executable, "-c", code, "ship", "--config", str(self.path)]
        with subprocess.Popen(command, env=os.environ) as process:
            try:
                wait_until(
                    lambda: lock.exists() and lock.read_text() == f"{process.pid}\n",
                    "the shipper has its lock",
                )
                yield
            finally:
                process.send_signal(signal.SIGTERM)


@pytest.fixture
def site(tmp_path: Path) -> QuarantineSite:
    """Give a site whose shipper set two points aside and stopped."""
    made = QuarantineSite(tmp_path)
    made.send()
    with made.shipper():
        wait_until(LastSeenReader(made.config.paths.shipper).status, "the shipper has a status")
        wait_until(lambda: len(made.listed()) == 2, "two points are set aside")
    return made


def test_list_shows_each_point_with_its_reason(site: QuarantineSite) -> None:
    """For people a line each, for programs all there is."""
    lines = site("list").output.splitlines()
    assert lines[0].split() == ["ID", "WHEN", "SERVER", "MEASUREMENT", "REASON", "DETAIL"]
    assert [line.split()[0] for line in lines[1:]] == ["2", "1"]
    assert "web-01" in lines[1]
    assert "cannot keep a value" in lines[1]
    newest, oldest = site.listed()
    assert (newest["id"], oldest["id"]) == (2, 1)
    assert oldest["point"]["tags"] == {"mount": "/\ud800"}
    assert oldest["measurement"] == "disk"
    assert len(site("list", "--limit", "1").output.splitlines()) == 2


def test_drop_asks_first_and_takes_what_was_named(site: QuarantineSite) -> None:
    """Without an answer nothing is dropped."""
    assert site("drop", "1").exit_code == 1
    assert len(site.listed()) == 2
    assert site("drop", "1", "--yes").output == "1 dropped\n"
    assert [row["id"] for row in site.listed()] == [2]
    assert site("drop", "--all", "--yes").output == "1 dropped\n"
    assert site("drop", "--all").output == "0 dropped\n"
    status = LastSeenReader(site.config.paths.shipper).status()
    assert status is not None
    assert (status.quarantine_points, status.set_aside) == (0, {"refused by the store": 2})


def ids(site: QuarantineSite) -> list[int]:
    """Return the ids of the points in quarantine, the newest first."""
    return [row["id"] for row in site.listed()]


@pytest.mark.parametrize("command", ["retry", "drop"])
def test_ids_and_all_exclude_each_other(site: QuarantineSite, command: str) -> None:
    """Neither and both are refused, and so are ids that are not there."""
    assert site(command).exit_code == 2
    assert site(command, "1", "--all").exit_code == 2
    assert isinstance(site(command, "99").exception, QuarantineError)
    assert len(site.listed()) == 2


def test_retry_is_in_force_in_a_running_shipper_within_five_seconds(
    site: QuarantineSite,
) -> None:
    """Here the points are refused again, and come back under new ids."""
    with site.shipper():
        assert site("retry", "1").output == "1 handed to the shipper again\n"
        wait_until(lambda: ids(site) == [3, 2], "the new ids", FORCE_SECONDS)
        assert site("retry", "--all").output == "2 handed to the shipper again\n"
        wait_until(lambda: ids(site) == [5, 4], "the new ids")


def test_an_empty_quarantine_has_nothing_to_do(tmp_path: Path) -> None:
    """Before the first start of the shipper, too."""
    site = QuarantineSite(tmp_path)
    assert site.listed() == []
    assert site("retry", "--all").output == "0 handed to the shipper again\n"
    assert [path.name for path in tmp_path.iterdir()] == ["server.toml"]
