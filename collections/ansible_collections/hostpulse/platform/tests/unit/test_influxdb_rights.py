"""What the token of each purpose can do in the real server, and that it can do nothing else."""

from __future__ import annotations

import http.client
import json
import time
import uuid
from contextlib import closing
from typing import Any
from urllib.parse import quote

import pytest

BOTH = ["raw", "rollup"]
PURPOSES: dict[str, dict[str, list[str]]] = {
    "write": {"write": BOTH, "read": ["raw"]},
    "query": {"read": BOTH},
    "grafana": {"read": BOTH},
    "backup": {"read": BOTH},
}


class Holder:
    """Has the token of one purpose and tries things with it."""

    def __init__(self, estate: Any, token: str) -> None:
        self.estate = estate
        self.token = token

    def request(self, method: str, path: str, body: str = "") -> tuple[int, str]:
        """Return (status, body)."""
        port = self.estate.influxd.port
        with closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
            headers = {"Authorization": f"Token {self.token}", "Content-Type": "application/json"}
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")

    def writes(self, bucket: str, org: str = "") -> bool:
        """Tell whether a point gets into the bucket."""
        path = f"/api/v2/write?org={quote(org or self.estate.org)}&bucket={bucket}"
        status, _ = self.request("POST", path, f"m,try={uuid.uuid4().hex} v=1 {time.time_ns()}")
        return status == 204

    def reads(self, bucket: str, org: str = "") -> bool:
        """Tell whether a query gives points of the bucket."""
        flux = f'from(bucket: "{bucket}") |> range(start: -1h) |> limit(n: 1)'
        document = json.dumps({"query": flux, "type": "flux"})
        path = f"/api/v2/query?org={quote(org or self.estate.org)}"
        status, answer = self.request("POST", path, document)
        return status == 200 and "_value" in answer

    def deletes(self, bucket: str) -> bool:
        """Tell whether points of the bucket can be deleted."""
        span = {"start": "2001-01-01T00:00:00Z", "stop": "2002-01-01T00:00:00Z"}
        path = f"/api/v2/delete?org={self.estate.org}&bucket={bucket}"
        return self.request("POST", path, json.dumps(span))[0] == 204

    def alters(self, bucket: str) -> bool:
        """Tell whether settings of the bucket can be changed."""
        path = f"/api/v2/buckets/{self.estate.ids[bucket]}"
        return self.request("PATCH", path, json.dumps({"description": "x"}))[0] == 200

    def administrates(self) -> list[str]:
        """Return what it manages to see or do beside points."""
        org, ids = self.estate.org_id, self.estate.ids
        permission = {"action": "read", "resource": {"type": "buckets", "orgID": org}}
        new_token = {"orgID": org, "permissions": [permission]}
        done = []
        for path in ("authorizations", "orgs", "users"):
            status, answer = self.request("GET", f"/api/v2/{path}?orgID={org}")
            if status < 400 and json.loads(answer)[path]:
                done.append(f"list {path}")
        for method, path, document in (
            ("GET", "/api/v2/backup/metadata", None),
            ("GET", f"/api/v2/orgs/{org}/secrets", None),
            ("POST", "/api/v2/buckets", {"orgID": org, "name": "more"}),
            ("POST", "/api/v2/authorizations", new_token),
            ("POST", "/api/v2/orgs", {"name": f"more than {org}"}),
            ("POST", "/api/v2/users", {"name": f"more than {org}"}),
            ("DELETE", f"/api/v2/buckets/{ids['other']}", None),
            ("DELETE", f"/api/v2/orgs/{org}", None),
        ):
            status, _ = self.request(method, path, json.dumps(document) if document else "")
            if status < 400:
                done.append(f"{method} {path}")
        return done


@pytest.fixture
def holder(estate: Any, request: pytest.FixtureRequest) -> Holder:
    """Make both buckets, a third, and the purpose's token; every bucket has a point."""
    estate.ids = {name: estate.run("bucket", name=name)["id"] for name in (*BOTH, "other")}
    operator = Holder(estate, estate.influxd.operator_token)
    assert all(operator.writes(bucket) for bucket in estate.ids)
    elsewhere = {"org": f"beside {estate.org_id}"}
    estate.run("organization", name=elsewhere["org"])
    estate.run("bucket", **elsewhere, name="raw")
    assert operator.writes("raw", elsewhere["org"])
    assert operator.reads("raw", elsewhere["org"])
    assert operator.deletes("raw")
    said = estate.run("authorization", name=request.param, **PURPOSES[request.param])
    return Holder(estate, said["token"])


@pytest.mark.parametrize("holder", PURPOSES, indirect=True)
def test_a_purpose_can_do_its_job_and_nothing_else(
    holder: Holder, request: pytest.FixtureRequest
) -> None:
    """Points of our buckets as CONTRACT says; no other bucket, organization, token or object."""
    purpose = PURPOSES[request.node.callspec.params["holder"]]
    may = {
        "read": [name for name in holder.estate.ids if holder.reads(name)],
        "write": [name for name in holder.estate.ids if holder.writes(name)],
    }
    assert may == {"read": purpose["read"], "write": purpose.get("write", [])}
    # InfluxDB has no right to write points without those to delete them and to change the bucket.
    assert [name for name in holder.estate.ids if holder.deletes(name)] == may["write"]
    assert [name for name in holder.estate.ids if holder.alters(name)] == may["write"]
    elsewhere = f"beside {holder.estate.org_id}"
    assert not holder.reads("raw", elsewhere)
    assert not holder.writes("raw", elsewhere)
    assert holder.administrates() == []


@pytest.mark.parametrize("holder", ["query"], indirect=True)
def test_the_operator_can_do_what_a_purpose_cannot(holder: Holder) -> None:
    """So that the test above does not pass because its requests are wrong."""
    holder.token = holder.estate.influxd.operator_token
    estate = holder.estate
    assert len(holder.administrates()) == 11
    more = f"more than {estate.org_id}"
    assert estate.run("organization", name=more, state="absent")["changed"]
    assert estate.run("user", name=more, state="absent", org="hostpulse")["changed"]
