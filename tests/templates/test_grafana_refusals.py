"""What preflight refuses of Grafana's variables, before anything changes."""

from __future__ import annotations

from typing import Any

import pytest
from tests.templates.render import evaluate
from tests.templates.test_grafana_templates import BESIDE


def refused(**given: Any) -> list[str]:
    """Return what preflight says, each fault on one line."""
    found = evaluate("hostpulse_grafana", "__hostpulse_grafana_wrong", **{**BESIDE, **given})
    return [" ".join(fault.split()) for fault in found]


@pytest.mark.parametrize(
    "name",
    [
        *("../../evil", "..", ".hidden", "a b", "a/b", "", "a\nb"),
        *("secret_key", "admin_password", "influxdb_grafana_token", "channel_ops"),
    ],
)
def test_a_secret_is_no_path_and_none_of_ours(name: str) -> None:
    """It would be written elsewhere, or in the place of one that the role keeps there itself."""
    (fault,) = refused(hostpulse_grafana_secrets={"ldap.toml": "hush", name: "hush"})
    assert fault.startswith('hostpulse_grafana_secrets has "')
    assert "Give it another" in fault
    assert "hush" not in fault


CREW = {"team": "crew", "permission": "view"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"users": [{"login": "ada"}, {"password": "hush"}]}, "users number 2 has no login"),
        ({"users": ["hush"]}, "users number 1 has no login. Give it one"),
        ({"teams": [{"members": ["ada"]}]}, 'teams has {"members": ["ada"]}, which has no name'),
        ({"teams": ["crew"]}, 'teams has "crew", which has no name. Give it one'),
        ({"permissions": [CREW]}, "names the team crew, which hostpulse_grafana_teams does not"),
        (
            {"permissions": [CREW], "teams": [{"name": "crew", "state": "absent"}]},
            "{name: crew}, which leaves its members as they are, or correct the name.",
        ),
        ({"memory_max": "lots"}, 'memory_max is "lots"; give it as systemd takes it'),
        ({"log_level": "bogus"}, 'log_level is "bogus"; let it be debug, info, warn, error or'),
    ],
)
def test_what_would_fail_half_way_is_told_before(given: dict[str, Any], told: str) -> None:
    """Preflight has a sentence of its own for each, with what to write."""
    (fault,) = refused(**{f"hostpulse_grafana_{name}": value for name, value in given.items()})
    assert told in fault
    assert "hush" not in fault


@pytest.mark.parametrize(
    "given",
    [
        {"permissions": [CREW], "teams": [{"name": "crew"}]},
        {"memory_max": "1.5G"},
        {"memory_max": 1073741824},
        {"memory_max": "50%"},
        {"memory_max": "infinity"},
        {"log_level": "debug"},
    ],
)
def test_what_works_is_taken(given: dict[str, Any]) -> None:
    """A team that is made with its rights, and limits in any form that systemd has."""
    assert not refused(**{f"hostpulse_grafana_{name}": value for name, value in given.items()})


def test_teams_of_a_given_grafana_are_known_to_it_alone() -> None:
    """There a permission may be for a team that somebody else keeps."""
    told = refused(
        hostpulse_grafana_install=False,
        hostpulse_grafana_alerts="off",
        hostpulse_grafana_permissions=[CREW],
    )
    assert len(told) == 1
    assert "Give both." in told[0]
