"""Two backtests compared: what is gone, what is new, and what fires otherwise."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from hostpulse_server.rule_testing.backtest import Episode
from hostpulse_server.rule_testing.comparison import compare, difference
from hostpulse_server.rule_testing.report import WIDTH, Report, Side
from hostpulse_server.values.alert import AlertIdentity, Severity

MINUTE = 60_000
ALERT = AlertIdentity("disk_usage", "web-01", (("mount", "/srv"),))


def spell(
    start: int,
    until: int | None,
    severity: Severity = "warning",
    identity: AlertIdentity = ALERT,
) -> Episode:
    """Return an episode; times are minutes."""
    return Episode(
        identity, severity, start * MINUTE, None if until is None else until * MINUTE, 91.5
    )


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ([spell(5, 60)], [spell(10, 60)], "starts 5m later, lasts 5m less"),
        ([spell(5, 60)], [spell(2, 60)], "starts 3m earlier, lasts 3m longer"),
        ([spell(5, 60)], [spell(5, 70, "critical")], "lasts 10m longer, critical instead of"),
        ([spell(5, None)], [spell(5, 60)], "lasts 40m less, is over"),
        ([spell(5, 60)], [spell(5, 20), spell(30, 60)], "fires 2 times instead of once"),
    ],
)
def test_what_fires_with_both_is_told_apart(
    first: list[Episode], second: list[Episode], said: str
) -> None:
    """By its start, its length, its severity and how often it fires."""
    found = compare(first, second)
    assert (found.only, found.same) == (((), ()), 0)
    ((before, after),) = found.changed
    assert said in difference(before, after, 100 * MINUTE)


def test_what_only_one_has_and_what_both_have_alike() -> None:
    """Of one alert at two times, and of another one at the same time."""
    other = AlertIdentity("disk_usage", "web-02", (("mount", "/srv"),))
    alike, gone, new = spell(5, 10), spell(20, 30), spell(5, 10, identity=other)
    found = compare([alike, gone], [spell(5, 10), new])
    assert found.only == ((gone,), (new,))
    assert (found.changed, found.same) == ((), 1)


def test_the_text_fits_a_terminal() -> None:
    """Names that are long make two lines of a row, and none that is wider."""
    place = AlertIdentity("disk_usage", "shop-db-01.example.org", (("mount", "/var/lib/docker"),))
    quiet = tuple(f"quiet_rule_{number}" for number in range(20))
    sides = [
        Side(("pack.yml",), ("disk_usage", *quiet), (spell(5, 60, identity=place), spell(70, 80))),
        Side(("pack.yml", "site.yml"), ("disk_usage",), (spell(9, None, "critical", place),)),
    ]
    report = Report(0, 100 * MINUTE, 2, tuple(sides))
    lines = [line for section in report.sections() for line in section.lines()]
    assert max(map(len, lines)) <= WIDTH
    text = "\n".join(lines)
    assert "shop-db-01.example.org  mount=/var/lib/docker\n    warning" in text
    assert "with both, but otherwise: 1" in text
    seoul = [line for one in report.sections(ZoneInfo("Asia/Seoul")) for line in one.lines()]
    assert max(map(len, seoul)) <= WIDTH
    assert "pack.yml, 1970-01-01 09:00:00 KST to 1970-01-01 10:40:00 KST:" in seoul
    assert any("1970-01-01 09:05:00 KST" in line for line in seoul)
    document = report.as_json()
    (changed,) = document["changed"]
    assert (changed["first"][0]["from"], changed["second"][0]["from"]) == (5 * MINUTE, 9 * MINUTE)
    assert changed["difference"] in " ".join(text.split())
    assert document["same"] == 0
