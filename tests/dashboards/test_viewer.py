"""What a viewer, made as the role makes one, cannot do in Grafana or through it.

Dashboards, folders, users and settings: molecule/hostpulse_grafana asks on a host.
"""

from __future__ import annotations

import base64
import importlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from testbed.grafana.local import ADMIN
from testbed.influxdb.local import ORG
from testbed.server import EngineError
from tests.dashboards import installed
from tests.templates.render import evaluate, loader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.grafana.local import Grafana
    from testbed.influxdb.local import Influxd

pytestmark = pytest.mark.grafana

RAW, ROLLUP, FOREIGN = "viewed_raw", "viewed_rollup", "viewed_by_nobody"
VERA = ("vera", "a-long-password")
UTILITIES = "ansible_collections.hostpulse.platform.plugins.module_utils"
SOURCE = f"/api/datasources/uid/{installed.UID}"
SILENCE = {
    "comment": "x", "createdBy": "vera", "startsAt": "2100-01-01T00:00:00Z",
    "endsAt": "2100-01-02T00:00:00Z",
    "matchers": [{"name": "a", "value": "b", "isRegex": False, "isEqual": True}],
}  # fmt: skip
RULE = {"title": "x", "ruleGroup": "x", "folderUID": "hostpulse", "condition": "A", "data": []}
GROUP = {"name": "x", "interval": "1m", "rules": []}
# no viewer's: what is told and to whom, and what is read from
DENIED = [
    ("POST", "/api/v1/provisioning/alert-rules", RULE),
    ("GET", "/api/v1/provisioning/alert-rules", None),
    ("PUT", "/api/v1/provisioning/policies", {"receiver": "x"}),
    ("POST", "/api/v1/provisioning/contact-points", {"name": "x", "type": "slack"}),
    ("POST", "/api/ruler/grafana/api/v1/rules/hostpulse", GROUP),
    ("POST", "/api/alertmanager/grafana/config/api/v1/alerts", {}),
    ("POST", "/api/alertmanager/grafana/api/v2/silences", SILENCE),
    ("DELETE", SOURCE, None),
    ("POST", "/api/datasources", {"name": "x", "type": "influxdb", "access": "proxy"}),
]


@dataclass(frozen=True)
class Viewed:
    """A Grafana with a viewer, and the token that its data source reads with."""

    grafana: Grafana
    token: str

    def refusal(self, method: str, path: str, document: Any = None) -> str:
        """Return how a request of the viewer's is refused: status and reason."""
        with pytest.raises(EngineError) as refused:
            self.grafana.api(method, path, document, VERA)
        return re.sub(rf"^{method} {re.escape(path)}: ", "", str(refused.value))

    def asked(self, flux: str) -> tuple[str, str, dict[str, Any]]:
        """Return the request for a query of the data source."""
        source = {"type": "influxdb", "uid": installed.UID}
        query = {"refId": "A", "datasource": source, "query": flux}
        return "POST", "/api/ds/query", {"queries": [query], "from": "now-1h", "to": "now"}


# of the session: a module's is made anew when tests of another came between, in the same influxd
@pytest.fixture(scope="session")
def viewed(tmp_path_factory: pytest.TempPathFactory, influxd: Influxd) -> Iterator[Viewed]:
    """Give it, with rights on our folder as they are by default."""
    for name in (RAW, ROLLUP, FOREIGN):
        influxd.bucket(name)
        influxd.write(name, "cpu,server_id=web-01,core=total usage_percent=12", "ms")
    folder = tmp_path_factory.mktemp("role")
    with installed.start(folder, influxd, RAW, ROLLUP) as grafana:
        installed.dashboards(grafana)  # with them comes the folder
        loader()
        client = importlib.import_module(f"{UTILITIES}.grafana").Client(grafana.url)
        client.sign_in(grafana.password, ADMIN)
        access = importlib.import_module(f"{UTILITIES}.grafana_people").Access(client, dry=False)
        access.user({"login": VERA[0], "password": VERA[1], "role": "viewer"})
        permissions = evaluate(installed.ROLE, "hostpulse_grafana_permissions")
        access.permissions("hostpulse", permissions)
        yield Viewed(grafana, (folder / "influxdb_grafana_token").read_text())


@pytest.mark.parametrize(("method", "path", "document"), DENIED)
def test_alerting_and_data_sources_are_not_a_viewers(
    viewed: Viewed, method: str, path: str, document: Any
) -> None:
    """Whom Grafana tells is a secret, too."""
    assert viewed.refusal(method, path, document).startswith("403 ")


@pytest.mark.parametrize("path", ["/api/frontend/settings", "/api/datasources", SOURCE])
def test_nobody_is_shown_the_token_of_the_data_source(viewed: Viewed, path: str) -> None:
    """A browser works with the data source by its uid."""
    for login in (VERA, None):
        given = json.dumps(viewed.grafana.api("GET", path, login=login))
        assert f'"{installed.UID}"' in given
        assert viewed.token not in given


def test_through_the_data_source_a_viewer_reads_our_buckets_only(viewed: Viewed) -> None:
    """Any Flux may be asked, and the token decides what it sees."""
    for name in (RAW, ROLLUP):
        frames = viewed.grafana.api(*viewed.asked(_some(name)), VERA)["results"]["A"]["frames"]
        assert frames[0]["data"]["values"]
    assert "could not find bucket" in viewed.refusal(*viewed.asked(_some(FOREIGN)))


def test_through_the_data_source_a_viewer_writes_nothing(viewed: Viewed, influxd: Influxd) -> None:
    """Not by Flux, and not by the proxy that hands requests on with the token."""
    flux = f'{_some(RAW)} |> set(key: "server_id", value: "forged") |> to(bucket: "{{}}")'
    for name in (RAW, FOREIGN):
        assert viewed.refusal(*viewed.asked(flux.format(name)))
    login = base64.b64encode(":".join(VERA).encode()).decode()
    for name in (RAW, ROLLUP, FOREIGN):
        path = f"/api/datasources/proxy/uid/{installed.UID}/api/v2/write?org={ORG}&bucket={name}"
        with pytest.raises(EngineError, match="Authentication to data source failed"):
            viewed.grafana.request(
                "POST",
                path,
                b"cpu,server_id=forged usage_percent=1",
                {"Authorization": f"Basic {login}"},
            )
    written = "".join(influxd.query(_some(name)) for name in (RAW, ROLLUP, FOREIGN))
    assert "web-01" in written
    assert "forged" not in written


def _some(bucket: str) -> str:
    return f'from(bucket: "{bucket}") |> range(start: -1h)'
