"""The stand-in of Grafana's HTTP API: it says what it is, and takes what is documented.

What it answers is held to tests/servers/grafana_exchanges.json (test_grafana_exchanges.py).
"""

from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from testbed.server import EngineError
from tests.servers.grafana_api.archive import pack
from tests.servers.grafana_api.local import StandIn
from tests.servers.grafana_api.server import NOTED, VERSION
from tests.servers.grafana_api.settings import Settings, SettingsError, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

SOURCE = {"name": "store", "uid": "store", "type": "influxdb", "access": "proxy"}
POINT = {
    "name": "ops",
    "receivers": [{"uid": "ops", "type": "slack", "settings": {"url": "http://127.0.0.1:1"}}],
}
RULE: dict[str, Any] = {
    "uid": "one", "title": "One", "condition": "B", "for": "1m",
    "data": [
        {"refId": "A", "datasourceUid": "store", "model": {"query": "x"}},
        {"refId": "B", "datasourceUid": "__expr__",
         "model": {"type": "threshold", "expression": "A",
                   "conditions": [{"evaluator": {"type": "gt", "params": [1]}}]}},
    ],
}  # fmt: skip
GROUP = {"name": "g", "folder": "f", "interval": "1m", "rules": [RULE]}
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """Give one that provisions nothing."""
    with StandIn.start(tmp_path_factory.mktemp("stand-in")) as running:
        yield running


def provisioned(folder: Path, document: dict[str, Any]) -> StandIn:
    """Start one with a data source and a file of alerting."""
    for kind, content in (("datasources", {"datasources": [SOURCE]}), ("alerting", document)):
        (folder / kind).mkdir()
        (folder / kind / "one.json").write_text(json.dumps({"apiVersion": 1, **content}))
    return StandIn.start(folder / "server", provisioning=folder)


def test_every_answer_says_that_it_is_no_grafanas(server: StandIn) -> None:
    """With the version that it imitates, and when that was written down."""
    answer = requests.get(f"{server.url}/api/health", timeout=10)
    assert answer.headers["X-Stand-In"] == f"of Grafana's HTTP API {VERSION}, noted {NOTED}"
    exchanges = json.loads((HERE / "grafana_exchanges.json").read_text("utf-8"))
    assert (exchanges["version"], exchanges["noted"]) == (VERSION, NOTED)


def test_nothing_that_it_does_not_imitate_is_answered(server: StandIn) -> None:
    """A module that asks for more has to say what Grafana answers to that, first."""
    with pytest.raises(EngineError, match="404"):
        server.api("GET", "/api/playlists")


def test_its_archive_has_the_shape_that_the_role_installs(tmp_path: Path) -> None:
    """One folder with the program, the defaults and the public files; the same bytes each time."""
    packed, again = tmp_path / "one.tar.gz", tmp_path / "two.tar.gz"
    pack(packed, "10.0.0")
    pack(again, "10.0.0")
    assert packed.read_bytes() == again.read_bytes()
    with tarfile.open(packed) as archive:
        names = [Path(name) for name in archive.getnames()]
    subprocess.run(["tar", "--extract", "--file", packed], cwd=tmp_path, check=True)
    assert {name.parts[0] for name in names} == {"grafana-10.0.0"}
    inside = {str(name.relative_to(name.parts[0])) for name in names}
    assert {"conf/defaults.ini", "conf/provisioning", "public/views/index.html"} <= inside
    program = tmp_path / "grafana-10.0.0/bin/grafana"
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert said.stdout == f"grafana version {VERSION}\n"


def test_what_documentation_has_is_taken(tmp_path: Path) -> None:
    """The cases below differ from this one in one place each."""
    policy = {"receiver": "ops", "routes": [{"object_matchers": [["severity", "=", "critical"]]}]}
    document = {"groups": [GROUP], "contactPoints": [POINT], "policies": [policy]}
    with provisioned(tmp_path, document) as running:
        assert running.api("GET", "/api/v1/provisioning/policies")["receiver"] == "ops"
        (rule,) = running.api("GET", "/api/v1/provisioning/alert-rules")
        assert (rule["uid"], rule["provenance"]) == ("one", "file")


def _threshold(**changed: Any) -> dict[str, Any]:
    """Return groups whose rule has another expression."""
    query, expression = RULE["data"]
    return _rule(data=[query, {**expression, "model": {**expression["model"], **changed}}])


def _point(kind: str, **settings: Any) -> dict[str, Any]:
    """Return a contact point."""
    receiver = {"uid": "x", "type": kind, "settings": settings}
    return {"contactPoints": [{"name": "x", "receivers": [receiver]}]}


def _rule(**changed: Any) -> dict[str, Any]:
    return {"groups": [{**GROUP, "rules": [{**RULE, **changed}]}]}


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ({"alerts": []}, "unknown ['alerts']"),
        ({"policies": [{"receiver": "nobody"}]}, "no contact point 'nobody'"),
        ({"policies": [{"receiver": "grafana-default-email", "group_wait": "soon"}]}, "duration"),
        (
            {"policies": [{"receiver": "grafana-default-email", "mute_time_intervals": ["x"]}]},
            "no mute timing 'x'",
        ),
        ({"contactPoints": [{"name": "x", "receivers": [
            {"uid": "x", "type": "pigeon", "settings": {}}]}]}, "unknown type 'pigeon'"),
        ({"contactPoints": [{"name": "x", "receivers": [
            {"uid": "x", "type": "slack", "settings": {"text": "a"}}]}]}, "no url or token"),
        ({"contactPoints": [{"name": "x", "receivers": [
            {"uid": "x", "type": "slack", "settings":
                {"url": "http://127.0.0.1:1", "text": '{{ template "mine" . }}'}}]}]},
         "['mine'], which nobody defines"),
        (_rule(uid="a" * 41), "the uid is no uid"),
        (_rule(condition="C"), "condition C"),
        (_rule(colour="red"), "unknown ['colour']"),
        (_rule(noDataState="Panic"), "noDataState is 'Panic'"),
        (_rule(data=[{"refId": "B", "datasourceUid": "gone", "model": {}}]), "no data source"),
        (_rule(data=[{"refId": "B", "datasourceUid": "__expr__",
                      "model": {"type": "math", "expression": "$Z"}}]), "names what is nowhere"),
        (_rule(data=[{"refId": "B", "datasourceUid": "store", "model": {}}]), "missing ['query']"),
        (_rule(data=[{"refId": "B", "datasourceUid": "store",
                      "model": {"query": "x", "flux": "y"}}]), "unknown ['flux']"),
        (_rule(data=[{"refId": "B", "datasourceUid": "store",
                      "model": {"query": "x", "refId": "A"}}]), "another refId"),
        (_threshold(type="thresholds"), "unknown expression 'thresholds'"),
        (_threshold(expression="Z"), "names what is nowhere"),
        (_threshold(condition=[]), "unknown ['condition']"),
        (_threshold(conditions=[]), "a threshold has one condition"),
        (_threshold(conditions=[{"evaluator": {"type": "above", "params": [1]}}]), "no evaluator"),
        (_threshold(conditions=[{"evaluator": {"type": "gt", "params": ["1"]}}]), "no evaluator"),
        (_threshold(conditions=[{"evaluator": {"type": "gt", "params": [1]}, "unload": 1}]),
         "unknown ['unload']"),
        (_threshold(type="reduce", reducer="median"), "unknown ['conditions']"),
        (_point("slack", url="http://127.0.0.1:1", addresses="x"), "unknown ['addresses']"),
        (_point("email", addresses="x@y.z", single_email=True), "unknown ['single_email']"),
        (_point("webhook", url="http://127.0.0.1:1", method="PUT"), "unknown ['method']"),
        ({"apiVersion": 2}, "apiVersion is not 1"),
        ({"groups": [{**GROUP, "orgId": 2}]}, "groups has 2 as organization"),
        ({"deleteRules": [{"orgId": 2, "uid": "x"}]}, "deleteRules has 2 as organization"),
        ({"deleteRules": [{"orgId": 1, "name": "x"}]}, "unknown ['name'], missing ['uid']"),
        ({"resetPolicies": [2]}, "resetPolicies has 2 as organization"),
        ({"groups": [{**GROUP, "interval": "7s"}]}, "no multiple of 10 s"),
        ({"groups": [{**GROUP, "rules": [RULE, RULE]}]}, "a title twice"),
    ],
)  # fmt: skip
def test_alerting_that_cannot_be_ends_it_with_the_reason(
    document: dict[str, Any], fault: str, tmp_path: Path
) -> None:
    """As a role's gate sees it: the unit fails."""
    with pytest.raises(EngineError) as refused:
        provisioned(tmp_path, document)
    assert fault in str(refused.value)


PROVIDER = {"name": "p", "type": "file", "options": {"path": "/nowhere"}}


@pytest.mark.parametrize(
    ("kind", "document", "fault"),
    [
        ("datasources", {"apiVersion": 2, "datasources": [SOURCE]}, "apiVersion is not 1"),
        ("datasources", {"datasources": [SOURCE]}, "apiVersion is not 1"),
        ("datasources", {"apiVersion": 1, "datasources": [{**SOURCE, "access": "server"}]},
         "access is 'server', neither proxy nor direct"),
        ("datasources", {"apiVersion": 1, "datasources": [{**SOURCE, "orgId": 2}]}, "organization"),
        ("dashboards", {"apiVersion": 2, "providers": [PROVIDER]}, "apiVersion is not 1"),
        ("dashboards", {"apiVersion": 1, "providers": [{**PROVIDER, "type": "folder"}]},
         "the type of a provider is 'folder', not file"),
        ("dashboards", {"apiVersion": 1, "providers": [{**PROVIDER, "orgId": 2}]}, "organization"),
    ],
)  # fmt: skip
def test_other_provisioning_that_cannot_be_ends_it_with_the_reason(
    kind: str, document: dict[str, Any], fault: str, tmp_path: Path
) -> None:
    """As above, of data sources and of dashboards."""
    (tmp_path / kind).mkdir()
    (tmp_path / kind / "one.json").write_text(json.dumps(document))
    with pytest.raises(EngineError) as refused:
        StandIn.start(tmp_path / "server", provisioning=tmp_path)
    assert fault in str(refused.value)


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b'{"title": "Declared"}', "application/json; charset=utf-8", 200),
        (b'{"title": "Not declared"}', "", 415),
        (b'{"title": "A form"}', "application/x-www-form-urlencoded", 415),
        (b"title=none", "application/json", 400),
        (b" ", "application/json", 400),
        (b'["a list"]', "application/json", 400),
    ],
)
def test_a_body_is_declared_and_readable_json(
    server: StandIn, body: bytes, kind: str, status: int
) -> None:
    """Whatever a client sends by mistake is noticed."""
    answer = requests.post(
        f"{server.url}/api/folders",
        data=body,
        headers={"Content-Type": kind} if kind else {},
        auth=("admin", server.password),
        timeout=10,
    )
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("method", "path", "document"),
    [
        ("PATCH", "/api/org/users/1", {"role": "viewer"}),
        ("POST", "/api/folders/roles/permissions",
         {"items": [{"role": "viewer", "permission": 1}]}),
        ("PUT", "/api/users/1", {"email": "new@example.org", "name": "New"}),
        ("PUT", "/api/users/1", {"login": "admin", "email": "new@example.org"}),
        ("POST", "/api/datasources", {**SOURCE, "access": "server"}),
        ("POST", "/api/v1/provisioning/contact-points",
         {"name": "x", "type": "webhook", "settings": {"url": "http://127.0.0.1:1", "tls": {}}}),
        ("GET", "/api/search?limit=5001", None),
    ],
)  # fmt: skip
def test_what_is_not_documented_is_refused(
    server: StandIn, method: str, path: str, document: Any
) -> None:
    """Roles in lower case, a user without a login, settings of nobody's."""
    there = {"uid": "roles", "title": "Roles"}
    if not any(one["uid"] == "roles" for one in server.api("GET", "/api/folders")):
        server.api("POST", "/api/folders", there)
    with pytest.raises(EngineError, match=r": 400 "):
        server.api(method, path, document)


def test_answers_end_where_they_were_asked_to(tmp_path: Path) -> None:
    """Or, with a page of its own, where nobody asked; versions are an object if that is wanted."""
    settings = {"stand_in": {"page": "2", "versions": "object"}}
    with StandIn.start(tmp_path, settings=settings) as running:
        for name in "abc":
            running.api("POST", "/api/teams", {"name": name})
            running.api("POST", "/api/folders", {"title": name})
            board = {"uid": "board", "title": f"Board {name}"}
            running.api("POST", "/api/dashboards/db", {"dashboard": board, "overwrite": True})

        def found(path: str) -> int:
            answer = running.api("GET", path)
            return len(answer if isinstance(answer, list) else answer.popitem()[1])

        assert (found("/api/search"), found("/api/search?limit=3")) == (2, 3)
        versions = "/api/dashboards/uid/board/versions"
        assert (found(versions), found(f"{versions}?limit=3")) == (2, 3)
        teams = "/api/teams/search"
        assert len(running.api("GET", teams)["teams"]) == 2
        assert len(running.api("GET", f"{teams}?perpage=3")["teams"]) == 3
        (last,) = running.api("GET", f"{teams}?page=2")["teams"]
        assert last["name"] == "c"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a # b", "a"),
        ("a ; b", "a"),
        ('"""a # b; c"""', "a # b; c"),
        ("`a # b`", "a # b"),
        ('"a"', "a"),
        ('"""a\nb"""', "a\nb"),
        ("a = b", "a = b"),
    ],
)
def test_an_ini_value_is_read_as_documented(text: str, value: str) -> None:
    """Comments behind a value, and what protects one."""
    assert parse(f"[x]\nkey = {text}\nnext = 1\n") == {"x": {"key": value, "next": "1"}}


def test_a_secret_file_that_is_not_there_is_named(server: StandIn, tmp_path: Path) -> None:
    """The unit would not start without its credential."""
    path = tmp_path / "grafana.ini"
    path.write_text("[security]\nadmin_password = $__file{/nowhere/password}\n")
    with pytest.raises(SettingsError, match="/nowhere/password"):
        Settings(server.home(), path)
