"""What removing Grafana says that it leaves, which is another thing where Grafana is not ours."""

from __future__ import annotations

from typing import Any

from tests.policy.repository import ROOT, load
from tests.templates.render import evaluate
from tests.templates.test_grafana_templates import BESIDE


def told(**given: Any) -> str:
    """Return what the last task of removal says, on one line."""
    *_, last = load(ROOT / "roles/hostpulse_grafana/tasks/remove.yml")
    assert last["ansible.builtin.debug"]["msg"] == "{{ __hostpulse_grafana_removal_report | trim }}"
    text = evaluate(
        "hostpulse_grafana", "__hostpulse_grafana_removal_report", **{**BESIDE, **given}
    )
    return " ".join(text.split())


def test_of_ours_its_data_secrets_token_and_user_stay() -> None:
    """And the operator is given the commands that remove them."""
    said = told(hostpulse_grafana_data_dir="/srv/grafana")
    assert "Monitor: Grafana is gone. Take the host out of the group" in said
    paths = "/srv/grafana /etc/hostpulse/grafana /etc/hostpulse/influxdb_grafana_token"
    assert said.endswith(f"sudo rm -r {paths}; sudo userdel hostpulse-grafana")


def test_of_a_given_one_nothing_is_said_to_be_gone() -> None:
    """All that is ours is still there, and on the host nothing of Grafana ever was."""
    said = told(hostpulse_grafana_install=False, hostpulse_grafana_url="https://their.example.org")
    assert "nothing was removed from the Grafana at https://their.example.org, which is not" in said
    for left in ("the folder hostpulse", "the data source hostpulse", "hostpulse_grafana_teams"):
        assert left in said
    assert said.endswith("sudo rm /etc/hostpulse/influxdb_grafana_token")
    for wrong in ("is gone", "/var/lib", "userdel", "/etc/hostpulse/grafana "):
        assert wrong not in said
