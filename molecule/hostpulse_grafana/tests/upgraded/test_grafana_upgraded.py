"""After a rotation, a change of mode, and an upgrade."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from testinfra.host import Host

    SeenBy = Callable[..., Any]

CHECKOUT = Path(__file__).resolve().parents[4]
DASHBOARDS = {path.stem for path in (CHECKOUT / "grafana/dashboards").glob("*.json")}
HOME = "/opt/hostpulse/grafana"
WATCHED = {"ingest_silent", "journal_lag", "alert_engine_stalled"}


def test_passwords_changed_with_the_inventory(seen_by: SeenBy, monitor: Host) -> None:
    """The new ones let in, and the old ones do not."""
    assert seen_by("admin", "molecule-admin-2").get("/api/user")["isGrafanaAdmin"] is True
    assert seen_by("vera", "molecule-vera-2").get("/api/user")["login"] == "vera"
    for old in (("vera", "molecule-vera-1"), ("ed", "molecule-ed-1")):
        assert seen_by(*old).answers(("GET", "/api/search", None))[0][0] != 200
    file = monitor.file("/etc/hostpulse/grafana/admin_password")
    assert (file.content_string, file.mode) == ("molecule-admin-2\n", 0o600)


def test_what_is_no_longer_shipped_went_and_what_is_others_stayed(seen_by: SeenBy) -> None:
    """A team's dashboards are theirs, even in our folder."""
    found = {one["uid"] for one in seen_by().get("/api/search?type=dash-db")}
    assert found == DASHBOARDS | {"theirs-1", "theirs-2"}


def test_as_a_watchdog_it_keeps_three_rules_and_the_other_ones_went(
    seen_by: SeenBy, monitor: Host
) -> None:
    """Grafana itself would keep the rules of a file that has them no more."""
    found = seen_by().get("/api/v1/provisioning/alert-rules")
    assert {one["labels"]["rule"] for one in found} == WATCHED
    assert "-2+" in monitor.check_output(f"readlink {HOME}/current")
    assert not monitor.file(f"{HOME}/current/etc/provisioning/alerting/leftovers.json").exists
