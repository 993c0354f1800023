"""What the server measures about its hosts and itself: one entry a minute, each part for itself."""

from __future__ import annotations

import json
import logging
import subprocess
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.clock import ManualClock
from tests.support.installation import Installation
from tests.support.polling import wait_until
from tools.docs.server_metrics import render

from hostpulse_server.errors import JournalFullError
from hostpulse_server.journal import Journal, SamplesRecord
from hostpulse_server.journal.records import INTERNAL, SAMPLES
from hostpulse_server.runtime import shared_counters
from hostpulse_server.runtime.shared_counters import SharedCounters
from hostpulse_server.self_metrics.sampling import SelfMetrics, server_point
from hostpulse_server.services.shipper import ship
from hostpulse_server.shipper.deliveries import decode
from hostpulse_server.shipper.last_seen import LastSeenReader
from hostpulse_server.shipper.state import ShipperState
from hostpulse_server.values.server_metrics import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hostpulse_server.values.points import StorePoint

MINUTE = 61.0
BODY = b"x" * 200


class MetricsSite(Installation):
    """A data directory with everything that is measured, and a shipper's measures over it."""

    def __init__(self, folder: Path) -> None:
        self.clock: ManualClock
        super().__init__(
            folder,
            f'[site]\ncertificates = ["{folder}/monitor.pem"]\n'
            '[journal]\nmax_bytes = "1MiB"\nmin_free_bytes = "0B"\n[shipper]\nbatch_points = 1\n',
            clock=ManualClock(),
        )
        self.shipper_state = ShipperState(self.config.paths.shipper, 300_000)
        self.journal = Journal.open(
            self.config.paths.journal, max_bytes=2**20, min_free_bytes=0, clock=self.clock
        )
        self.measures = SelfMetrics(
            self.config,
            journal=self.journal,
            registry=self.registry,
            seen=LastSeenReader(self.config.paths.shipper, clock=self.clock),
            shipper_state=self.shipper_state,
            clock=self.clock,
        )

    def close(self) -> None:
        """Close all files."""
        self.journal.close()
        self.shipper_state.close()
        super().close()

    def minute(self) -> dict[str, list[StorePoint]]:
        """Let a minute go by; return measurement → points of the entry that it made."""
        self.clock.move(MINUTE)
        newest = self.journal.stats().newest_id
        self.measures.turn()
        self.measures.turn()
        found: dict[str, list[StorePoint]] = {}
        entries = self.journal.read(newest, 10, 2**20)
        assert len(entries) <= 1
        for entry in entries:
            assert entry.kind == INTERNAL
            for point in decode(entry).points:
                assert point.time_ms == self.clock.ms
                declared = CATALOGUE[point.measurement]
                assert dict(point.tags).keys() <= declared.tags.keys()
                assert point.fields.keys() <= declared.fields.keys()
                found.setdefault(point.measurement, []).append(point)
        return found

    def pipeline(self) -> dict[str, float]:
        """Return the fields of the minute's ``pipeline``."""
        (point,) = self.minute()["pipeline"]
        assert (point.server_id, point.tags) == ("", ())
        return dict(point.fields)

    def ship(self) -> None:
        """Run a shipper until everything is in the store."""
        stop = threading.Event()
        shipper = threading.Thread(
            target=ship, args=(self.config, stop), kwargs={"clock": self.clock}
        )
        shipper.start()
        newest = self.journal.stats().newest_id
        wait_until(
            lambda: self.shipper_state.position(self.journal.epoch) >= newest,
            "everything is shipped",
        )
        stop.set()
        shipper.join()

    def fill(self) -> None:
        """Append until the journal refuses."""
        while True:
            self.journal.append(BODY * 50, "x", self.clock.ms, packed=True)

    def hear(
        self,
        server_id: str,
        seqs: Iterable[int],
        begin_ms: int | None = None,
        spool_seconds: float = 0.0,
    ) -> None:
        """Take samples of a server in and ship them; each of its own time since the beginning."""
        agent_point = {"measurement": "agent", "fields": {"spool_oldest_seconds": spool_seconds}}
        samples = [
            {
                "seq": seq,
                "time": self.clock.ms if begin_ms is None else begin_ms + seq * 10_000,
                "interval_ms": 10_000,
                "points": [{"measurement": "cpu", "fields": {"usage_percent": 1.0}}, agent_point],
            }
            for seq in seqs
        ]
        agent = {"version": "0.1.0", "stream": "s"}
        record = SamplesRecord(server_id, self.clock.ms, agent, samples)
        self.journal.append(record.encode(), SAMPLES, self.clock.ms)
        self.ship()

    def backup(self, name: str, **changes: Any) -> None:
        """Write what a backup says of itself."""
        folder = self.folder / "backups"
        folder.mkdir(exist_ok=True)
        said = {
            "kind": name,
            "finished_ms": self.clock.ms,
            "bytes": 1234,
            "verified": True,
            "error": "",
            **changes,
        }
        (folder / f"{name}.json").write_text(json.dumps(said))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[MetricsSite]:
    """Give a site with a state database."""
    with closing(MetricsSite(tmp_path)) as made:
        made.make_database()
        yield made


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings so far and forget them."""
    found = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    caplog.clear()
    return found


def test_hosts_are_measured_by_status_and_completeness(site: MetricsSite) -> None:
    """Labels that switch dashboards are tags; the others would split series."""
    site.registry.add({"id": "web-01", "labels": {"env": "prod", "tier": "x"}})
    site.registry.add({"id": "web-02"})
    site.hear("web-01", (1, 2, 4))
    first, second = site.minute()["server"]
    assert first.tags == (("agent_version", "0.1.0"), ("env", "prod"))
    assert first.fields == {"status": 2.0, "completeness_percent": 75.0, "alerts_firing": 0.0}
    assert (second.server_id, second.tags) == ("web-02", ())
    assert second.fields == {"status": 3.0, "alerts_firing": 0.0}


def quarter(site: MetricsSite) -> float | None:
    """Return the completeness of a quarter of an hour, a minute from now."""
    (point,) = site.minute()["server"]
    return point.fields.get("completeness_15m_percent")


def test_a_host_that_loses_samples_is_seen_by_their_numbers(site: MetricsSite) -> None:
    """Of the time from 20 to 5 minutes ago; a host that was silent has taken none."""
    site.registry.add({"id": "web-01"})
    begin_ms = site.clock.ms - 20 * 60_000
    lost = {seq for seq in range(30, 60) if seq % 2}
    seqs = [seq for seq in range(1, 121) if seq not in lost]
    site.hear("web-01", seqs, begin_ms)
    # of 90 samples half of 30 are lost; the window is a minute further on by then
    assert quarter(site) == pytest.approx(100 * (1 - 15 / 90), abs=1.5)
    site.clock.move(600)
    assert quarter(site) is None


def test_what_may_still_come_is_not_missing(site: MetricsSite) -> None:
    """While a host has older samples in its spool, or the store is behind."""
    site.registry.add({"id": "web-01"})
    begin_ms = site.clock.ms - 20 * 60_000
    site.hear("web-01", [*range(1, 40), 119], begin_ms, spool_seconds=700)
    assert quarter(site) is None
    site.hear("web-01", [120], begin_ms, spool_seconds=0)
    percent = quarter(site)
    assert percent is not None
    assert percent < 60
    site.journal.append(BODY, SAMPLES, site.clock.ms)
    site.clock.move(30)
    assert quarter(site) is None


@pytest.mark.parametrize("version", ["1\\", "a\\ b", "a\nb"])
def test_a_tag_that_no_store_could_keep_does_not_cost_the_status(
    site: MetricsSite, version: str
) -> None:
    """What an agent calls its version is only a text."""
    site.registry.add({"id": "web-01", "labels": {"env": "prod"}})
    server = replace(site.registry.servers()[0], agent_version=version)
    assert server_point(server, None, 1).tags == (("env", "prod"),)


def test_a_removed_server_is_forgotten_once_its_samples_are_gone(
    site: MetricsSite,
) -> None:
    """Raw retention after it was last heard of; one that is registered is known for ever."""
    for server_id in ("web-01", "web-02"):
        site.registry.add({"id": server_id})
        site.hear(server_id, (1,))
    site.registry.remove("web-01")
    site.minute()
    reader = LastSeenReader(site.config.paths.shipper, clock=site.clock)
    assert reader.get().keys() == {"web-01", "web-02"}
    site.clock.move(site.config.retention.raw)
    site.minute()
    site.clock.move(1)
    assert reader.get().keys() == {"web-02"}


def test_a_clock_set_ahead_does_not_forget_removed_servers(site: MetricsSite) -> None:
    """When they were seen last is deleted by age, too."""
    site.registry.add({"id": "web-01"})
    site.hear("web-01", (1,))
    site.registry.remove("web-01")
    site.clock.move(3600)
    site.clock.set(400 * 86_400)
    site.minute()
    site.clock.move(1)
    reader = LastSeenReader(site.config.paths.shipper, clock=site.clock)
    assert reader.get().keys() == {"web-01"}


def test_the_pipeline_counts_what_all_processes_of_the_api_did(site: MetricsSite) -> None:
    """Per second since a minute ago; a first reading has no rate."""
    one, other = (
        SharedCounters(site.config.paths.counters),
        SharedCounters(site.config.paths.counters),
    )
    one.row(shared_counters.REQUESTS, "ingest", "POST", "200").add(100)
    for key in (shared_counters.SAMPLES, shared_counters.REJECTED):
        one.row(key)  # as the api does when it starts
    assert "requests_per_second" not in site.pipeline()
    one.row(shared_counters.REQUESTS, "ingest", "POST", "200").add(61)
    other.row(shared_counters.REQUESTS, "healthz", "GET", "200").add(61)
    one.row(shared_counters.SAMPLES).add(122)
    other.row(shared_counters.SAMPLES).add(122)
    other.row(shared_counters.REJECTED).add(30.5)
    found = site.pipeline()
    assert found["requests_per_second"] == pytest.approx(2)
    assert found["samples_per_second"] == pytest.approx(4)
    assert found["rejected_points_per_second"] == pytest.approx(0.5)
    found = site.pipeline()
    assert (found["requests_per_second"], found["samples_per_second"]) == (0, 0)


def test_counters_that_begin_anew_give_no_rate(site: MetricsSite) -> None:
    """Never a negative one."""
    made = SharedCounters(site.config.paths.counters)
    made.row(shared_counters.SAMPLES).add(100)
    site.pipeline()
    (site.config.paths.counters / "0").unlink()
    SharedCounters(site.config.paths.counters).row(shared_counters.SAMPLES).add(3)
    assert "samples_per_second" not in site.pipeline()
    assert site.pipeline()["samples_per_second"] == 0


def test_before_the_first_batch_what_the_shipper_knows_is_absent(
    site: MetricsSite,
) -> None:
    """Unknown is not zero."""
    assert set(site.pipeline()) == {"journal_bytes", "store_lag_seconds", "journal_hours_left"}


def test_the_pipeline_says_how_shipping_goes(site: MetricsSite) -> None:
    """Lag, dirty windows, quarantine; a write that failed took no time."""
    site.hear("web-01", (1,))
    found = site.pipeline()
    assert found["store_lag_seconds"] == 0.0
    assert found["rollup_dirty_windows"] == 1.0
    assert found["quarantine_points"] == 0.0
    assert found["store_write_ms"] >= 0.0
    site.journal.append(BODY, "samples", site.clock.ms)
    site.shipper_state.store_down("no route to host")
    found = site.pipeline()
    assert found["store_lag_seconds"] == MINUTE
    assert "store_write_ms" not in found


def test_the_room_of_the_journal_is_told_in_hours_while_the_store_is_down(
    site: MetricsSite,
) -> None:
    """From how it grew since the store kept up; 30 days at most, and while nothing grows."""
    site.ship()
    assert site.pipeline()["journal_hours_left"] == 720.0
    site.ship()
    before = site.pipeline()["journal_bytes"]
    for _ in range(3):
        site.journal.append(bytes(range(256)) * 200, "x", site.clock.ms, packed=True)
        found = site.pipeline()
    growth = (found["journal_bytes"] - before) / (3 * MINUTE)
    expected = (2**20 - found["journal_bytes"]) / growth / 3600
    assert found["journal_hours_left"] == pytest.approx(expected)
    assert 0 < expected < 1
    site.ship()
    assert site.pipeline()["journal_hours_left"] == 720.0


def test_without_a_state_database_only_the_hosts_are_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, nothing is raised, and the rest is measured."""
    with closing(MetricsSite(tmp_path)) as site:
        site.backup("state")
        assert set(site.minute()) == {"pipeline", "backup"}
    (line, *_) = warnings(caplog)
    assert line.startswith("the measurement server is missing this minute")


def test_a_full_journal_costs_the_minute_and_nothing_else(
    site: MetricsSite, caplog: pytest.LogCaptureFixture
) -> None:
    """The shipper, which makes room, goes on."""
    with pytest.raises(JournalFullError):
        site.fill()
    for _ in range(50):
        site.backup("x" * 60)
        site.registry.add({"id": f"web-{site.clock.ms}", "labels": {"env": "x" * 60}})
        site.clock.move(0.001)
    assert site.minute() == {}
    assert any("at its bound" in line for line in warnings(caplog))


def test_backups_are_measured_by_age_size_and_proof(site: MetricsSite) -> None:
    """Each kind a series; without the folder there is none."""
    assert "backup" not in site.minute()
    site.backup("state")
    site.backup("influxdb", verified=False, error="counts differ")
    site.clock.move(39)
    found = {point.tags: point.fields for point in site.minute()["backup"]}
    assert found == {
        (("kind", "influxdb"),): {"age_seconds": 100.0, "bytes": 1234.0, "verified": 0.0},
        (("kind", "state"),): {"age_seconds": 100.0, "bytes": 1234.0, "verified": 1.0},
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "State"},
        {"kind": 3},
        {"kind": "other"},
        {"finished_ms": "yesterday"},
        {"bytes": -1},
        {"bytes": True},
        {"verified": 1},
    ],
)
def test_a_bad_backup_status_costs_itself_and_is_logged_once(
    site: MetricsSite, caplog: pytest.LogCaptureFixture, changes: dict[str, Any]
) -> None:
    """Logged again only when it is wrong in another way, or again."""
    site.backup("good")
    site.backup("bad", **changes)
    for _ in range(3):
        assert [point.tags for point in site.minute()["backup"]] == [(("kind", "good"),)]
    (line,) = (text for text in warnings(caplog) if "bad.json" in text)
    assert "not measured" in line
    for text in ("{", "[" * 10_000, "[]", "\udcff"):
        (site.folder / "backups" / "bad.json").write_text(text, errors="surrogateescape")
        site.minute()
        assert len([one for one in warnings(caplog) if "bad.json" in one]) == 1
    site.backup("bad")
    assert len(site.minute()["backup"]) == 2
    site.backup("bad", **changes)
    site.minute()
    assert len([one for one in warnings(caplog) if "bad.json" in one]) == 1


@pytest.mark.integration
def test_certificates_are_measured_by_the_days_they_have_left(
    site: MetricsSite, caplog: pytest.LogCaptureFixture
) -> None:
    """Renewed ones are seen at the next minute; one that is not there is logged once."""
    for _ in range(2):
        assert "certificate" not in site.minute()
    assert len([line for line in warnings(caplog) if "monitor.pem" in line]) == 1
    command = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=m -days 30"
    subprocess.run(
        [*command.split(), "-keyout", "key.pem", "-out", "monitor.pem"],
        cwd=site.folder,
        check=True,
        capture_output=True,
    )
    made = site.config.paths.data_dir / "monitor.pem"
    (point,) = site.minute()["certificate"]
    assert point.tags == (("name", "monitor"),)
    expected = 30 + (made.stat().st_mtime - site.clock.ms / 1000) / 86_400
    assert point.fields["days_left"] == pytest.approx(expected, abs=0.01)


def test_the_document_is_what_the_catalogue_says() -> None:
    """Written anew after each change."""
    written = Path(__file__).parents[3] / "docs" / "server-metrics.md"
    assert written.read_text(encoding="utf-8") == render()
