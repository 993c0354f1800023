"""Which rules are in force: read at the start, again when a file changes, never broken ones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from app.tests.engine.conftest import RULES, AlertsSite, cpu, disk

from hostpulse_server.engine.rules_reloader import RulesReloader

if TYPE_CHECKING:
    from pathlib import Path

BROKEN = "rules:\n  - name: cpu_usage\n    levels: 7\n"


def notices(site: AlertsSite) -> list[str]:
    """Return the kinds of messages about ourselves."""
    return [row["document"] for row in site.rows("outbox") if row["kind"] == "notice"]


def test_a_changed_threshold_holds_within_seconds(site: AlertsSite) -> None:
    """Without a restart; what goes on for the same alert goes on."""
    site.cpu("web-01", *[85] * 4)
    site.write_rules("rules: [{name: cpu_usage, levels: {warning: {above: 90}}}]", "z.yml")
    site.run(3)
    site.cpu("web-01", 85)
    assert site.events() == ["firing", "resolved"]


def test_a_rule_taken_away_ends_its_alerts(site: AlertsSite) -> None:
    """With the reason, and so does one that is disabled; no host needs to report for it."""
    site.send("web-01", [disk("/", 99.0)])
    site.cpu("web-02", *[85] * 4)
    site.write_rules(RULES.split("  - name: disk_usage")[0])
    site.run(3)
    assert [(row["rule"], row["reason"]) for row in site.rows("alerts")] == [
        ("disk_usage", "rule_removed"),
        ("cpu_usage", ""),
    ]
    site.write_rules("rules: [{name: cpu_usage, enabled: false}]", "z.yml")
    site.run(3)
    assert [row["reason"] for row in site.rows("alerts")] == ["rule_removed", "disabled"]


def test_a_rule_taken_away_while_no_engine_runs_ends_its_alerts(site: AlertsSite) -> None:
    """The next engine finds alerts that no rule stands behind."""
    site.cpu("web-01", *[85] * 4)
    site.run(2)
    site.write_rules("rules: []")
    site.restart()
    site.run(3)
    (row,) = site.rows("alerts")
    assert (row["state"], row["reason"]) == ("resolved", "rule_removed")


def test_a_broken_file_keeps_the_rules_and_is_told_once(
    site: AlertsSite, caplog: pytest.LogCaptureFixture
) -> None:
    """Until it is mended, which is told once as well; then the new ones hold."""
    site.cpu("web-01", 85)
    site.write_rules(BROKEN)
    site.run(10)
    site.cpu("web-01", *[85] * 3)
    assert site.alerts() == [("web-01", "cpu_usage", "firing", "warning")]
    assert "site.yml" in site.cursor()["rules_fault"]
    (notice,) = notices(site)
    assert "site.yml" in notice
    assert len([one for one in caplog.records if "rules files are wrong" in one.message]) == 1
    site.restart()
    site.write_rules(RULES)
    site.run(5)
    assert site.cursor()["rules_fault"] == ""
    (_, mended) = notices(site)
    assert "The rules files are right again. Rules in force: 2" in mended
    site.restart()
    site.write_rules(BROKEN)
    site.run(5)
    assert len(notices(site)) == 3


def test_an_engine_that_starts_with_a_broken_file_waits_for_a_right_one(site: AlertsSite) -> None:
    """Where none are kept it says so, touches no alert and forgets nothing; then it goes on."""
    site.cpu("web-01", *[85] * 4)
    site.run(2)
    site.write_rules(BROKEN)
    site.config.paths.kept_rules.write_text(
        json.dumps({"read_ms": 1, "files": [["a", "rules: 1"]]})
    )
    site.restart()
    site.send("web-01", [disk("/", 99.0)])
    site.run(5)
    assert site.alerts() == [("web-01", "cpu_usage", "firing", "warning")]
    assert site.cursor()["rules"] == 0
    assert len(notices(site)) == 1
    site.restart()
    site.run(5)
    assert len(notices(site)) == 1
    site.write_rules(RULES)
    site.run(5)
    assert site.alerts()[1:] == [("web-01", "disk_usage", "firing", "warning")]
    assert site.events() == ["firing", "firing"]


@pytest.mark.parametrize("left", [BROKEN, "", None])
def test_an_engine_that_starts_with_wrong_files_goes_by_the_last_good_ones(
    site: AlertsSite, left: str | None
) -> None:
    """Broken, empty or gone: what was watched stays watched; who is notified knows since when."""
    site.cpu("web-01", *[85] * 4)
    site.run(2)
    file = site.folder / "rules" / "site.yml"
    file.unlink()
    if left is not None:
        file.write_text(left)
    site.restart()
    site.send("web-01", [disk("/", 99.0)])
    site.run(5)
    assert site.events() == ["firing", "firing"]
    assert site.cursor()["rules"] == 2
    (notice,) = notices(site)
    assert "wrong, the last good ones, read at 2027-01-15 08:00:" in notice
    assert "stay in force until they are mended" in notice
    site.write_rules(RULES)
    site.run(3)
    assert site.cursor()["rules_fault"] == ""
    assert site.events() == ["firing", "firing"]
    assert "right again" in notices(site)[1]


def test_wrong_files_are_notified_daily_until_they_are_mended(site: AlertsSite) -> None:
    """Whether the engine restarts meanwhile, the fault changes, or the clock is set."""
    reloader = site.rules
    document: dict[str, object] = {}

    def day(hours: float = 24) -> int:
        site.clock.move(hours * 3600)
        reloader.turn()
        return len(reloader.report(document))

    site.write_rules(BROKEN)
    assert [day(1), day(1), day(22), day(1), day(1)] == [1, 0, 0, 1, 0]
    assert "still wrong" in reloader.report({**document, "rules_notified_ms": 0})[0]
    site.restart()
    reloader = site.rules
    assert [day(1), day(22)] == [0, 1]
    document["rules_notified_ms"] = site.clock.ms + 10 * 86_400_000  # by a clock that was wrong
    assert [day(1), day(24)] == [0, 1]
    site.write_rules(RULES)
    assert [day(), day()] == [1, 0]
    site.write_rules(BROKEN)
    assert day(1) == 1


def test_rules_that_cannot_be_kept_are_in_force_all_the_same(
    site: AlertsSite, caplog: pytest.LogCaptureFixture
) -> None:
    """The folder may be full; that is said."""
    site.config.paths.kept_rules.with_suffix(".new").mkdir()
    site.cpu("web-01", *[85] * 4)
    assert site.events() == ["firing"]
    assert "rules were not kept" in caplog.text


def test_without_any_rules_everything_goes_on(site: AlertsSite) -> None:
    """An empty folder is no fault."""
    (site.folder / "rules" / "site.yml").unlink()
    site.restart()
    site.send("web-01", [cpu(99)])
    site.run(3)
    cursor = site.cursor()
    assert (cursor["rules"], cursor["rules_fault"]) == (0, "")
    assert cursor["position"] == 1


@pytest.mark.parametrize("left", [None, ""])
def test_rules_that_go_with_their_files_stay_in_force(site: AlertsSite, left: str | None) -> None:
    """Files gone, or cut to nothing, are an accident: else all is well, and nothing watched."""
    site.cpu("web-01", *[85] * 4)
    file = site.folder / "rules" / "site.yml"
    file.unlink()
    if left is not None:
        file.write_text(left)
    site.run(3)
    site.send("web-02", [disk("/", 99.0)])
    site.run(3)
    assert site.events() == ["firing", "firing"]
    (notice,) = notices(site)
    assert "gone or empty" in notice
    site.write_rules("rules: []")
    site.run(3)
    assert site.events()[2:] == ["resolved", "resolved"]
    assert site.cursor()["rules_fault"] == ""


def test_labels_changed_in_the_registry_choose_the_override(site: AlertsSite) -> None:
    """Within seconds."""
    site.write_rules(
        RULES + "    overrides: [{match: {label.env: test}, levels: {warning: {above: 99}}}]\n"
    )
    site.run(3)
    site.send("web-02", [disk("/", 90.0)])
    site.run(2)
    assert site.alerts() == [("web-02", "disk_usage", "firing", "warning")]
    site.registry.patch("web-02", {"labels": {"env": "test"}})
    site.run(3)
    site.send("web-02", [disk("/", 90.0)])
    site.run(2)
    assert site.alerts() == [("web-02", "disk_usage", "resolved", "warning")]


def test_files_are_read_again_only_when_they_changed_or_somebody_asks(
    site: AlertsSite, tmp_path: Path
) -> None:
    """A new file, another content, a file gone; looked at every two seconds."""
    read: list[int] = []
    folder = tmp_path / "more"
    folder.mkdir()

    def load(*_texts: object) -> object:
        read.append(1)
        return site.rules.rules

    site.drain()
    reloader = RulesReloader([f"{folder}/*.yml"], site.clock, None, load)  # type: ignore[arg-type]

    def look() -> int:
        site.clock.move(2)
        reloader.turn()
        reloader.turn()
        return len(read)

    assert look() == look() == 1
    (folder / "a.yml").write_text("a")
    assert look() == look() == 2
    (folder / "a.yml").write_text("bc")
    assert look() == look() == 3
    (folder / "a.yml").unlink()
    assert look() == look() == 4
    reloader.ask()
    assert look() == look() == 5
