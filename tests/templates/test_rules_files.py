"""What hosts want of rules becomes files that the server reads, and that give each host its own."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.template import Templar, trust_as_template
from tests.policy.repository import ROOT
from tests.templates.render import loader

from hostpulse_server.rules.loading import load_texts

PACK = (ROOT / "roles/hostpulse_server/files/rules/hostpulse.yml").read_text(encoding="utf-8")
LABELS: dict[str, str] = {}


def filtered(**given: Any) -> dict[str, Any]:
    """Return what the filter gives a template of Ansible's."""
    templar = Templar(loader(), {"given": {"pack": PACK, **given}})
    template = trust_as_template("{{ given | hostpulse.platform.rules_files }}")
    return dict(templar.template(template))


def made(site: Any = (), server: Any = None, **hosts: Any) -> dict[str, Any]:
    """Return what the filter makes of the pack, the site's files and the hosts' thresholds."""
    named = {name.replace("_", "-"): wanted for name, wanted in hosts.items()}
    return filtered(site=list(site), hosts=named, server=server)


def level(files: dict[str, str], rule: str, host: str, severity: str = "warning") -> Any:
    """Return (threshold, what clears it) as the server reads it for a host; ``None`` for none."""
    tags = {"core": "total"} if rule == "cpu_usage" else {"mount": "/"}
    effective = load_texts(files).effective(rule, host, tags, LABELS)
    assert effective is not None
    levels = {one.severity: (one.threshold, one.clear) for one in effective.levels}
    return levels.get(severity)  # type: ignore[call-overload]


def test_without_a_wish_there_is_only_the_pack() -> None:
    """No file is there that nobody asked for, and the rules are those that ship."""
    assert made(web_01={}, web_02=None) == {"files": {"10-hostpulse.yml": PACK}, "faults": []}


def test_what_all_hosts_want_becomes_the_rules_own() -> None:
    """It then holds for a host, too, that was registered without the inventory."""
    files = made(web_01={"cpu_usage": {"warning": 90}}, web_02={"cpu_usage": {"warning": 90}})
    assert files["faults"] == []
    assert "overrides" not in files["files"]["90-thresholds.yml"]
    assert level(files["files"], "cpu_usage", "anybody") == (90, 84.375)
    assert level(files["files"], "cpu_usage", "web-01", "critical") == (95, 90)


def test_a_host_of_its_own_gets_an_override() -> None:
    """The others keep what ships; the long form says what clears, the short one takes it along."""
    long = {"levels": {"warning": {"above": 70, "clear_below": 60}}, "for": "1m"}
    files = made(a={}, b={}, c={"disk_usage": long}, d={"disk_usage": {"critical": "97"}})["files"]
    assert [level(files, "disk_usage", host) for host in "abcd"] == [
        (80, 78), (80, 78), (70, 60), (80, 78)
    ]  # fmt: skip
    assert level(files, "disk_usage", "d", "critical") == (97, 94.844444)
    rule = load_texts(files).effective("disk_usage", "c", {"mount": "/"}, LABELS)
    assert rule is not None
    assert {one.for_ms for one in rule.levels} == {60_000}


def test_a_host_that_differs_from_most_keeps_what_ships() -> None:
    """Most hosts' value is the rule's; who wants another, or none, does not get theirs."""
    most = {"disk_usage": {"warning": 60, "critical": 70, "info": 50}}
    files = made(a=most, b=most, c=most, d={}, e={"disk_usage": {"critical": None}})["files"]
    shown = {host: level(files, "disk_usage", host) for host in "abcde"}
    assert shown == {
        "a": (60, 58.5),
        "b": (60, 58.5),
        "c": (60, 58.5),
        "d": (80, 78),
        "e": (80, 78),
    }
    assert level(files, "disk_usage", "a", "info") == (50, None)
    assert level(files, "disk_usage", "d", "info") is None
    assert level(files, "disk_usage", "d", "critical") == (90, 88)
    assert level(files, "disk_usage", "e", "critical") is None


def test_a_threshold_below_which_it_fires_keeps_its_direction() -> None:
    """What the server measures of itself follows its own host."""
    files = made(server={"certificate_expiry": {"warning": 42}}, a={}, b={})["files"]
    assert level(files, "certificate_expiry", "") == (42, 44)


def test_a_silence_is_told_later_where_that_is_wanted() -> None:
    """Of liveness the short form is a duration, also as a number of seconds."""
    files = made(a={"liveness": {"critical": "5m", "warning": 1200}}, b={}, c={})["files"]
    rule = load_texts(files).effective("liveness", "a", {}, LABELS)
    assert rule is not None
    assert [(one.severity, one.for_ms) for one in rule.liveness] == [
        ("warning", 1_200_000),
        ("critical", 300_000),
    ]


def test_what_a_rule_overrides_itself_still_holds_on_hosts_with_thresholds() -> None:
    """A list is replaced where files are laid over each other, so it has to come along."""
    over = {"match": {"mount": "/boot"}, "levels": {"warning": {"above": 85, "clear_below": 84}}}
    site = [{"name": "boot", "rules": [{"name": "disk_usage", "overrides": [over]}]}]
    files = made(site, a={"disk_usage": {"warning": 60}}, b={}, c={})["files"]
    rules = load_texts(files)
    shown = {}
    for host in "ab":
        for mount in ("/", "/boot"):
            rule = rules.effective("disk_usage", host, {"mount": mount}, LABELS)
            assert rule is not None
            shown[host, mount] = rule.levels[0].threshold
    assert shown == {("a", "/"): 60, ("a", "/boot"): 85, ("b", "/"): 80, ("b", "/boot"): 85}


def test_the_sites_own_rules_have_thresholds_too() -> None:
    """Inline or as a file, in the order of the list; thresholds are laid over them."""
    rule = {"name": "load", "measurement": "system", "field": "load1"}
    text = "rules:\n- name: load\n  levels: {warning: {above: 8, clear_below: 4}}\n"
    site = [{"name": "first", "rules": [rule]}, {"name": "second", "text": text}]
    files = made(site, a={"load": {"warning": 4}}, b={}, c={})["files"]
    assert list(files) == [
        "10-hostpulse.yml", "50-01-first.yml", "50-02-second.yml", "90-thresholds.yml"
    ]  # fmt: skip
    assert [level(files, "load", host) for host in "ab"] == [(4, 2), (8, 4)]


def test_the_same_wishes_make_the_same_file() -> None:
    """The order of hosts in the inventory changes nothing on the server."""
    one, two = {"cpu_usage": {"warning": 90}}, {"cpu_usage": {"warning": 70}}
    assert made(a=one, b=two, c={}) == made(c={}, b=two, a=one)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"cpu_usge": {"warning": 90}}, 'there is no rule "cpu_usge"; did you mean cpu_usage?'),
        ({"cpu_usage": 90}, "cpu_usage must say what changes, such as {warning: 90}."),
        ({"cpu_usage": {"warning": "much"}}, "cpu_usage.warning must be a number"),
        ({"cpu_usage": {"levels": 90}}, "cpu_usage.levels must be a mapping"),
        ({"liveness": {"warning": True}}, "liveness.warning must be how long a silence may last"),
        ([], ""),
        (["cpu_usage"], "it must say rule by rule what changes"),
    ],
)
def test_a_wish_that_cannot_be_is_named_with_what_to_write(wanted: Any, said: str) -> None:
    """All hosts that have it are named once."""
    faults = made(web_01=wanted, web_02=wanted)["faults"]
    if said:
        (fault,) = faults
        assert fault.startswith(f"hostpulse_thresholds of web-01, web-02: {said}")
    else:
        assert faults == []


@pytest.mark.parametrize("site", ["rules.yml", {"name": "x"}, [{"rules": []}], [{"name": "../x"}]])
def test_site_rules_of_another_shape_are_refused(site: Any) -> None:
    """A path that was meant for a list, or a name that would lead elsewhere."""
    (fault,) = filtered(site=site)["faults"]
    assert "hostpulse_server_rules" in fault


def test_a_file_that_is_no_yaml_is_named() -> None:
    """Before anything is sent to the host."""
    (fault,) = made([{"name": "mine", "text": "rules: [\n"}])["faults"]
    assert fault.startswith("50-01-mine.yml of hostpulse_server_rules:")
