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
