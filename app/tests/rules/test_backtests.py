"""``rules backtest``: what rules would have told of stored samples."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.installation import Installation

from hostpulse_server.rule_testing.sample_history import PAGE_MS
from hostpulse_server.runtime.clock import SYSTEM
from hostpulse_server.store.embedded import EmbeddedStore
from hostpulse_server.values.points import StorePoint

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

INTERVAL_MS = 10_000
HOUR = 360  # samples

RULES = """\
rules:
  - name: cpu_usage
    measurement: cpu
    field: usage_percent
    where: {core: total}
    for: 5m
    levels:
      warning: {above: 80, clear_below: 75}
      critical: {above: 95, clear_below: 90}
  - name: disk_usage
    measurement: disk
    field: used_percent
    levels: {warning: {above: 80}}
    overrides:
      - match: {label.env: test}
        enabled: false
  - name: never
    measurement: memory
    field: used_percent
    levels: {warning: {above: 101}}
  - {name: liveness, kind: liveness}
"""
MILDER = """\
rules:
  - name: cpu_usage
    levels: {warning: {above: 91}}
"""


class BacktestSite(Installation):
    """A data directory with six hours of three servers: two have trouble, one of them twice."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        (directory / "pack.yml").write_text(RULES)
        (directory / "site.yml").write_text(MILDER)
        self.start_ms = (SYSTEM.now_ms() // 60_000 - 370) * 60_000 + 137
        self.make_database()
        self.registry.apply(
            [{"id": "web-01"}, {"id": "web-02"}, {"id": "test-01", "labels": {"env": "test"}}]
        )
        self.close()
        with closing(EmbeddedStore(directory / "store.db")) as store:
            for server_id in ("web-01", "web-02", "test-01"):
                store.write([point for n in range(6 * HOUR) for point in self.sample(server_id, n)])

    def sample(self, server_id: str, number: int) -> list[StorePoint]:
        """Return one sample's points."""
        time_ms = self.start_ms + number * INTERVAL_MS
        busy = {"web-01": 90 if HOUR <= number < 2 * HOUR else 99 if number > 5 * HOUR else 10}
        used = 85 if number == 4 * HOUR and server_id != "web-01" else 50

        def point(measurement: str, tags: dict[str, str], **fields: float) -> StorePoint:
            return StorePoint(server_id, measurement, tuple(tags.items()), time_ms, fields)

        return [
            point("cpu", {"core": "total"}, usage_percent=busy.get(server_id, 20), user=1.0),
            point("disk", {"mount": "/"}, used_percent=used),
            point("disk", {"mount": "/srv"}, used_percent=50),
            point("system", {}, uptime_seconds=1000.0 + number),
        ]

    def __call__(self, *arguments: str, stdin: Any = None) -> Result:
        """Run ``rules backtest`` on the pack over all that is stored."""
        # a page of reading ends while the first alert is pending
        start_ms = self.start_ms - PAGE_MS + 63 * 60_000
        span = ("--start", str(start_ms), "--end", str(self.start_ms + 6 * 3_600_000))
        pack = f"{self.folder}/pack.yml"
        return super().__call__("rules", "backtest", pack, *span, *arguments, stdin=stdin)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> BacktestSite:
    """Return the site; nothing here changes it."""
    return BacktestSite(tmp_path_factory.mktemp("site"))


def minutes(site: BacktestSite, spell: dict[str, Any]) -> tuple[float, float | None]:
    """Return when a spell began and ended, in minutes."""
    until = None if spell["until"] is None else (spell["until"] - site.start_ms) / 60_000
    return (spell["from"] - site.start_ms) / 60_000, until


def test_history_fires_as_it_would_have_live(site: BacktestSite) -> None:
    """Across pages, by server and tags, with overrides by label; the last one is not over."""
    rules = site.json()["sides"][0]["rules"]
    assert list(rules) == ["cpu_usage", "disk_usage", "never"]
    first, second = rules["cpu_usage"]
    assert (first["server_id"], first["tags"]) == ("web-01", {"core": "total"})
    assert (first["severity"], first["worst"], minutes(site, first)) == ("warning", 90, (65, 120))
    assert (second["severity"], second["worst"]) == ("critical", 99)
    assert minutes(site, second) == (300 + 10 / 60 + 5, None)
    (disk,) = rules["disk_usage"]
    assert (disk["server_id"], disk["tags"]) == ("web-02", {"mount": "/"})
    assert minutes(site, disk) == (240, 240 + 10 / 60)
    assert rules["never"] == []


def test_people_read_a_sentence_and_a_table(site: BacktestSite) -> None:
    """Each rule that would have fired, and the names of those that would not."""
    lines = site().stdout.splitlines()
    assert "cpu_usage: would have fired 2 times on 1 server: web-01 (2)" in lines
    assert "disk_usage: would have fired once on 1 server: web-02 (1)" in lines
    assert "would not have fired: never" in lines
    rows = [line.split() for line in lines if line.startswith("web-")]
    assert [row[:3] for row in rows] == [
        *(["web-01", "core=total", "warning"], ["web-01", "core=total", "critical"]),
        ["web-02", "mount=/", "warning"],
    ]
    assert [row[-2:] for row in rows] == [["55m", "90"], ["end", "99"], ["10s", "85"]]


def test_a_start_before_all_that_is_kept_begins_where_that_does(site: BacktestSite) -> None:
    """A start in the year 1970 would read two million empty pages."""
    found = site("--start", "5", "--json")
    report = json.loads(found.stdout)
    assert "raw values are kept for 7 days; it begins there" in found.stderr
    kept_ms = SYSTEM.now_ms() - 7 * 86_400_000
    assert kept_ms - 600_000 <= report["start"] <= kept_ms
    assert report["sides"] == site.json()["sides"]


def test_a_server_that_nobody_knows_is_an_error(site: BacktestSite) -> None:
    """A typing error must not read as "would not have fired"."""
    found = site("--server", "web-1")
    assert found.exit_code == 2
    assert "there is no server 'web-1'" in found.stderr


def test_two_files_are_compared(site: BacktestSite) -> None:
    """What fires with one only; the critical one fires with both."""
    pack, milder = f"{site.folder}/pack.yml", f"{site.folder}/site.yml"
    sides = site.json("--against", pack, "--against", milder)["sides"]
    assert [[one["severity"] for one in side["only_here"]] for side in sides] == [["warning"], []]
    text = " ".join(site("--against", pack, "--against", milder).stdout.split())
    assert f"only with {pack}: 1" in text
    assert f"only with {pack} + {milder}: 0" in text


def test_one_rule_and_one_server_are_enough(site: BacktestSite) -> None:
    """Names that do not exist are refused."""
    found = site.json("--rule", "cpu_usage", "--server", "web-02")
    assert (found["servers"], found["sides"][0]["rules"]) == (1, {"cpu_usage": []})
    refused = site("--rule", "cpu")
    assert refused.exit_code == 2
    assert "there is no rule 'cpu'" in refused.stderr


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        *(("yesterday", "now", "is not a time"), ("now", "-1h", "must be before --end")),
        ("2026-01-01T00:00:00", "now", "has no offset"),
    ],
)
def test_times_are_those_of_queries(site: BacktestSite, start: str, end: str, said: str) -> None:
    """RFC 3339, relative or epoch milliseconds."""
    result = site("--start", start, "--end", end)
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_time_before_raw_retention_is_noted(site: BacktestSite) -> None:
    """Nothing fires there, which is not the same as quiet."""
    assert "raw values are kept for 7 days" in site("--start", "-10d", "--end", "-9d").stderr


def test_no_store_is_said(tmp_path: Path) -> None:
    """As other commands say it."""
    (tmp_path / "a.yml").write_text(RULES)
    result = Installation(tmp_path)("rules", "backtest", f"{tmp_path}/a.yml")
    assert "there is no store" in str(result.exception)
