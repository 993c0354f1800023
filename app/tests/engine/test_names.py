"""Names of what ails on a host: in the summaries and the evidence of its alerts, and no more."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hostpulse_server.journal.records import SAMPLES, SamplesRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.tests.engine.conftest import AlertsSite

RULES = """
rules:
  - name: units_failed
    summary: "{{ value | counted('unit') }} failed on {{ server_id }}{{ ': ' ~ names if names }}"
    runbook: docs/runbooks.md#units_failed
    measurement: system
    field: units_failed
    levels:
      warning: {above: 0.5, clear_below: 0.5}
"""


def failed(
    site: AlertsSite,
    value: float,
    units: list[Any] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> str:
    """Let a host report a number of failed units, perhaps with their names; return the summary."""
    site.clock.move(10.0)
    site.seq["web-01"] += 1
    sample = {
        "seq": site.seq["web-01"],
        "time": site.clock.ms,
        "interval_ms": 10_000,
        "points": [{"measurement": "system", "fields": {"units_failed": value}}],
    }
    record = SamplesRecord(
        "web-01",
        site.clock.ms,
        {"version": "0.2.0", "stream": "s"},
        [sample],
        facts=facts,
        ext=None if units is None else {"names": {"units": units}},
    )
    site.journal.append(record.encode(), SAMPLES, site.clock.ms)
    site.drain()
    site.run(20.0)  # in which the values of firing alerts are refreshed
    return str(site.rows("alerts")[-1]["summary"])


def evidence(site: AlertsSite) -> dict[str, Any]:
    """Return the evidence of the newest alert."""
    found: dict[str, Any] = json.loads(site.rows("alerts")[-1]["evidence"])
    return found


def test_an_alert_names_what_failed_as_long_as_it_fires_and_after(site: AlertsSite) -> None:
    """One and many, another one, and when it is over those of the worst value."""
    site.write_rules(RULES)
    site.run(5.0)
    assert failed(site, 1, ["nginx.service"]) == "1 unit failed on web-01: nginx.service"
    both = "2 units failed on web-01: nginx.service, postgresql.service"
    assert failed(site, 2, ["nginx.service", "postgresql.service"]) == both
    other = "2 units failed on web-01: a.service, postgresql.service"
    assert failed(site, 2, ["a.service", "postgresql.service"]) == other
    assert failed(site, 1, ["postgresql.service"]) == "1 unit failed on web-01: postgresql.service"
    assert evidence(site)["names"] == ["postgresql.service"]
    assert failed(site, 0, []) == other
    assert site.alerts()[-1][2] == "resolved"


def test_names_survive_a_restart_and_are_no_part_of_evaluation(site: AlertsSite) -> None:
    """An agent sends them when they change, which may be long before the alert."""
    site.write_rules(RULES)
    site.run(5.0)
    failed(site, 1, ["nginx.service"])
    failed(site, 0)  # the number only: an hour may pass until the names come again
    site.restart()
    site.run(5.0)
    assert failed(site, 1) == "1 unit failed on web-01: nginx.service"
    progress = [json.loads(row["document"]) for row in site.rows("alert_progress", "server_id")]
    assert [one["names"] for one in progress if "names" in one] == [{"units": ["nginx.service"]}]


def test_an_agent_that_names_nothing_is_believed_by_its_count(site: AlertsSite) -> None:
    """Also one that was installed over one that did; names of another moment are not said."""
    site.write_rules(RULES)
    site.run(5.0)
    assert failed(site, 2) == "2 units failed on web-01"
    assert failed(site, 3, ["a.service"]) == "3 units failed on web-01"
    assert failed(site, 1) == "1 unit failed on web-01: a.service"
    assert failed(site, 1, facts={"os": "x"}).endswith("a.service"), "the alert has them already"
    failed(site, 0)
    assert failed(site, 1) == "1 unit failed on web-01"


def test_names_of_a_host_are_bounded_and_harmless(site: AlertsSite) -> None:
    """They are written by whoever has the host's key."""
    site.write_rules(RULES)
    site.run(5.0)
    names: list[Any] = ["a\n\u202eb" + "x" * 500, 7, {}, *(f"{n}.service" for n in range(50))]
    said = failed(site, 53, names)
    assert said.startswith("53 units failed on web-01")
    kept = evidence(site)["names"]
    assert len(kept) <= 20
    assert kept[0].startswith("a bxx")
    assert max(map(len, kept)) == 120
    failed(site, 53, [f"{n}.service" for n in range(50)])
    shown = "53 units failed on web-01: 0.service, 1.service, 2.service, 3.service, 4.service"
    assert failed(site, 53) == f"{shown} and 48 more"
