"""One playbook an operator intent; a play says which hosts get which role and nothing else."""

from __future__ import annotations

from tests.policy.repository import PLAYBOOKS, ROOT, play_tasks, plays, tracked

GROUPS = {
    *("hostpulse_server", "hostpulse_influxdb", "hostpulse_grafana", "hostpulse_agents"),
    "localhost",
}
# Entering a role at one of its phases, and telling the operator, are a play's own business.
OWN = ("import_role", "include_role", "assert", "debug", "fail", "meta", "group_by")


def test_the_playbooks_are_the_operators_intents() -> None:
    """Nobody has to guess which file to run."""
    assert tuple(sorted(path.stem for path in ROOT.glob("playbooks/*.yml"))) == PLAYBOOKS


def test_every_play_has_a_name_and_hosts_of_ours() -> None:
    """A play never runs on a group that somebody else's inventory may hold."""
    for path, play in plays():
        assert play.get("name"), path
        hosts = str(play["hosts"])
        if "{{" not in hosts:  # an expression chooses between hosts that the operator named
            assert set(hosts.replace("!", "").split(":")) <= GROUPS, f"{path.name}: {hosts}"


def test_plays_leave_the_work_to_roles() -> None:
    """Work in a playbook cannot be tested by a role's scenario."""
    for task in play_tasks():
        allowed = task.module.rpartition(".")[2] in OWN or task.path.stem == "build"
        assert allowed or not task.module, task


def test_yaml_files_end_in_yml() -> None:
    """One spelling, so that a search by name finds every file."""
    allowed = {".pre-commit-config.yaml"}  # the name its program looks for
    assert {path.name for path in tracked(".yaml")} <= allowed
