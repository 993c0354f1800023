"""Settings of an inventory in Grafana's ini file: what is read is what was meant, or refused.

Read by the stand-in, and by a real one where an archive is had.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.policy.repository import ROOT
from tests.servers.grafana_api.local import SERVERS
from tests.servers.grafana_api.settings import parse
from tests.support.golden import golden
from tests.templates.render import render
from tests.templates.test_grafana_refusals import refused
from tests.templates.test_grafana_templates import BESIDE

if TYPE_CHECKING:
    from pathlib import Path

    from testbed.grafana.local import Grafana

FILE = "$__file{/run/credentials/hostpulse-grafana.service/oidc}"
GIVEN: dict[str, Any] = {
    "scopes": ["openid", "email"],
    "allowed_organizations": ["One Crew", "other"],
    "allowed_domains": [],
    "login_attribute_path": '"quoted"',
    "role_attribute_path": "contains(groups[*], 'ops') && 'Admin' || 'Viewer' # not a comment\n",
    "use_refresh_token": True,
    "auth_url": None,
    "team_ids": [1, 2],
    "name": "A `name`; of C:\\",
}


@pytest.mark.parametrize("server", SERVERS)
def test_what_is_written_is_read_as_it_was_meant(server: type[Grafana], tmp_path: Path) -> None:
    """Lists as its own splitting takes them, nothing for null, and no value cut at a sign."""
    text = render(
        "hostpulse_grafana",
        "grafana.ini.j2",
        **BESIDE,
        hostpulse_grafana_settings={"auth.generic_oauth": GIVEN},
    )
    lines = text.split("[auth.generic_oauth]\n")[1].split("\n\n")[0].splitlines()
    written = dict(line.split(" = ", 1) for line in lines)
    assert "auth_url" not in written
    with server.start(tmp_path / "grafana", settings={"auth.generic_oauth": written}) as grafana:
        found = grafana.api("GET", "/api/admin/settings")["auth.generic_oauth"]
    assert {key: found[key] for key in written} == {
        "scopes": "openid,email",
        "allowed_organizations": '["One Crew", "other"]',
        "allowed_domains": "",
        "login_attribute_path": '"quoted"',
        "role_attribute_path": str(GIVEN["role_attribute_path"]).strip(),
        "use_refresh_token": "true",
        "team_ids": "1,2",
        "name": GIVEN["name"],
    }


def test_the_whole_file_is_as_it_was_looked_through() -> None:
    """A line that changes is a change of what is in force on a host; so is one that goes."""
    given = {"hostpulse_grafana_settings": {"smtp": {"enabled": True, "host": "mail:25"}}}
    text = render("hostpulse_grafana", "grafana.ini.j2", **BESIDE, **given)
    assert text == golden(__file__, "grafana.ini", text)


def test_every_setting_of_ours_is_one_that_grafana_documents() -> None:
    """It passes over one that it does not know, such as a misspelt one, without a word."""
    documented = parse((ROOT / "tests/servers/grafana_api/defaults.ini").read_text("utf-8"))
    ours = parse(render("hostpulse_grafana", "grafana.ini.j2", **BESIDE))
    unknown = {
        f"[{section}] {key}"
        for section, values in ours.items()
        for key in values
        if key not in documented.get(section, ())
    }
    assert not unknown


def test_null_leaves_a_setting_of_ours_to_grafana() -> None:
    """What is not written is as Grafana has it by itself."""
    given = {"hostpulse_grafana_settings": {"log": {"level": None}}}
    assert not refused(**given)
    assert "\nlevel =" not in render("hostpulse_grafana", "grafana.ini.j2", **BESIDE, **given)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["log"], "has no sections"),
        ({"log": "info"}, "has [log], which is no section"),
        ({"auth.ldap": None}, "has [auth.ldap], which is no section"),
        ({"log]\n[x": {"level": "info"}}, "which is no section"),
        ({"log": {"le\nvel": "info"}}, "which is no key"),
        ({"log": {"level": {"of": "hush"}}}, "in [log] level, whose value is neither"),
        ({"log": {"filters": [["hush"]]}}, "in [log] filters, whose value is neither"),
        ({"log": {"filters": ["hush", None]}}, "in [log] filters, whose value is neither"),
        ({"log": {"filters": 'hush """ hush'}}, 'in [log] filters, whose value has """'),
        ({"log": {"filters": "hush\rhush"}}, "or a carriage return"),
        ({"smtp": {"password": "hush"}}, "in [smtp] password, which is a secret"),
        ({"auth.x": {"client_secret": "hush"}}, "in [auth.x] client_secret, which is a secret"),
        ({"auth.x": {"client_secret": "${hush}"}}, "as NAME, and write here $__file{/run/cred"),
        ({"security": {"secret_key": "hush"}}, "Put it into hostpulse_grafana_secrets"),
        ({"rendering": {"renderer_token": "hush"}}, "which is a secret"),
        ({"enterprise": {"license_text": "hush"}}, "which is a secret"),
        ({"smtp": {"password": 12345678}}, "which is a secret"),
    ],
)
def test_what_grafana_could_not_read_or_everybody_would_is_refused(given: Any, told: str) -> None:
    """The variable, the section and the key are named, and never the value."""
    (fault,) = refused(hostpulse_grafana_settings=given)
    assert fault.startswith("hostpulse_grafana_settings has ")
    assert told in fault
    assert "hush" not in fault
    assert "12345678" not in fault


@pytest.mark.parametrize(
    "given",
    [
        {"auth": {"token_rotation_interval_minutes": 10, "api_key_max_seconds_to_live": -1}},
        {"auth.x": {"use_refresh_token": True, "client_secret": FILE}},
        {"auth.x": {"use_refresh_token": "true", "client_secret": ""}},
        {"smtp": {"password": "$__env{MAIL_PASSWORD}"}, "security": {"secret_key": None}},
    ],
)
def test_what_only_sounds_like_a_secret_is_taken(given: Any) -> None:
    """Numbers, switches, and references to where a secret is."""
    assert not refused(hostpulse_grafana_settings=given)
