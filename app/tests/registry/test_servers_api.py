"""The servers API over the real application: lists, changes, keys, errors."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from hostpulse_server import config
from hostpulse_server.api.app import create_app
from hostpulse_server.api.services import EXTENSION
from hostpulse_server.evaluation.accounting import StreamAccount
from hostpulse_server.shipper.last_seen import LastSeen, LastSeenReader, StreamReport
from hostpulse_server.shipper.ranges import Range
from hostpulse_server.state import writing
from hostpulse_server.state.alert_models import AlertProgressRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from flask.testing import FlaskClient

    from hostpulse_server.registry import Registry

ROOT = "/api/v1/servers"


class SeenServers(LastSeenReader):
    """What the shipper would have written; the reader of its file has tests of its own."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.known: dict[str, LastSeen] = {}

    def see(self, server_id: str, at_ms: int) -> None:
        """Note a sample that arrived at ``at_ms``."""
        self.known[server_id] = LastSeen(server_id, at_ms, at_ms, 10_000, "0.1.0", 99.5)

    def get(self, server_ids: Iterable[str] | None = None) -> dict[str, LastSeen]:
        """Return what was noted."""
        return {one: seen for one, seen in self.known.items() if one in set(server_ids or ())}

    def ledger(self, server_id: str) -> list[StreamReport]:
        """Return one stream with a gap."""
        del server_id
        ranges = (Range(1, 4, 10, 40), Range(6, 7, 60, 70))
        return [StreamReport("s1", ranges, 6, 1, {"spool_full": 1})]


@pytest.fixture
def seen(tmp_path: Path) -> SeenServers:
    """Return what the shipper knows: nothing yet."""
    return SeenServers(tmp_path / "shipper.db")


@pytest.fixture
def client(
    tmp_path: Path, registry: Registry, seen: SeenServers, clock: Any
) -> Iterator[FlaskClient]:
    """Return a client of the whole application without a key."""
    settings = {"HOSTPULSE_API_RATE_LIMIT": "1000/second"}
    path = tmp_path / "server.toml"
    path.write_text(f'data_dir = "{tmp_path}"\n')
    app = create_app(config.load(path, settings), registry=registry, seen=seen, clock=clock)
    yield app.test_client()
    parts = app.extensions[EXTENSION]
    parts.journal.close()
    parts.store.close()


@pytest.fixture
def admin(registry: Registry) -> dict[str, str]:
    """Return the headers of an admin."""
    return {"Authorization": f"Bearer {registry.create_key('admin').text}"}


@pytest.fixture
def reader(registry: Registry) -> dict[str, str]:
    """Return the headers of a reader."""
    return {"X-API-Key": registry.create_key("reader").text}


def test_a_server_is_added_with_a_key_shown_once(
    client: FlaskClient, admin: dict[str, str], registry: Registry
) -> None:
    """201 with the key and its place; the key works and never shows again."""
    body = {"id": "web-01", "labels": {"env": "prod"}, "allow_from": ["10.0.0.0/8"]}
    answer = client.post(ROOT, json=body, headers=admin)
    assert answer.status_code == 201
    assert answer.json is not None
    assert answer.headers["Location"].endswith(f"{ROOT}/web-01")
    assert answer.headers["Cache-Control"] == "no-store"
    text = answer.json["key"]
    assert registry.authenticate(text, "10.0.0.1").server_id == "web-01"
    again = client.get(f"{ROOT}/web-01", headers=admin)
    assert text not in again.text
    assert client.post(ROOT, json=body, headers=admin).status_code == 409


def test_the_list_shows_status_and_pages_through_filters(
    client: FlaskClient, reader: dict[str, str], registry: Registry, seen: SeenServers, clock: Any
) -> None:
    """Every server once, in order, across pages; status and labels filter."""
    registry.apply([{"id": f"s{n}", "labels": {"half": str(n % 2)}} for n in range(7)])
    registry.disable("s6")
    for number, age_s in enumerate((0, 29, 30, 59, 60)):
        seen.see(f"s{number}", clock.ms - age_s * 1000)
    found: list[dict[str, Any]] = []
    query = f"{ROOT}?limit=3"
    while True:
        page = client.get(query, headers=reader).json
        assert page is not None
        found += page["servers"]
        if page["next"] is None:
            break
        query = f"{ROOT}?limit=3&cursor={page['next']}"
    assert {one["id"]: one["status"] for one in found} == {
        "s0": "up",
        "s1": "up",
        "s2": "late",
        "s3": "late",
        "s4": "down",
        "s5": "never_seen",
        "s6": "disabled",
    }
    assert len(found) == 7
    assert found[0]["last_seen"] == clock.ms
    assert found[0]["completeness"] == 99.5
    assert found[5]["last_seen"] is None
    late = client.get(f"{ROOT}?status=late&label.half=1", headers=reader).json
    assert late is not None
    assert [one["id"] for one in late["servers"]] == ["s3"]
    first = client.get(f"{ROOT}?status=late&limit=1", headers=reader).json
    assert first is not None
    assert first["next"] == "s2"


def test_one_server_shows_keys_and_ledger(
    client: FlaskClient, reader: dict[str, str], registry: Registry
) -> None:
    """What is stored, what is missing and why, and which keys live; unknown ids are 404."""
    registry.add({"id": "web-01"})
    body = client.get(f"{ROOT}/web-01", headers=reader).json
    assert body is not None
    assert [key["role"] for key in body["keys"]] == ["agent"]
    assert body["ledger"] == [
        {
            "stream": "s1",
            "stored": 6,
            "missing": 1,
            "dropped": {"spool_full": 1},
            "ranges": [[1, 4, 10, 40], [6, 7, 60, 70]],
        }
    ]
    missing = client.get(f"{ROOT}/nobody", headers=reader)
    assert (missing.status_code, missing.mimetype) == (404, "application/problem+json")


def test_completeness_says_what_became_of_each_sample(
    client: FlaskClient, reader: dict[str, str], registry: Registry
) -> None:
    """Taken is stored, refused, dropped and missing; and what the alert engine made of it."""
    registry.add({"id": "web-01"})
    account = StreamAccount("s1", 3, 1, 4, [(3, 3)], [(3, 3)], {"late": 1})
    order = {
        "position": ["s1", 4, None, 0],
        "accounts": [account.as_json()],
        "gap": {"arrived": [[6, 0], [7, 0]]},
    }
    with writing(registry.engine) as session:
        session.add(
            AlertProgressRow(
                server_id="web-01", origin="samples", time_ms=0, document={"order": order}
            )
        )
    body = client.get(f"{ROOT}/web-01/completeness", headers=reader).json
    assert body is not None
    (stream,) = body["streams"]
    assert stream == {
        "stream": "s1",
        "taken": 7,
        "stored": {"count": 6, "ranges": [[1, 4, 10, 40], [6, 7, 60, 70]]},
        "refused": {"count": 0},
        "dropped": {"count": 1, "reasons": {"spool_full": 1}},
        "missing": {"count": 0, "ranges": [[5, 5]]},
        "evaluated": {
            "count": 3,
            "ranges": [[1, 2], [4, 4]],
            "left_out": {"late": 1, "waiting": 2},
            "passed_over": [[3, 3]],
        },
    }
    assert body["quarantined"] == {"points": 0, "reasons": {}}
    assert client.get(f"{ROOT}/nobody/completeness", headers=reader).status_code == 404
    assert client.get(f"{ROOT}/web-01/completeness").status_code == 401


def test_a_server_is_changed_and_removed(
    client: FlaskClient, admin: dict[str, str], registry: Registry
) -> None:
    """PATCH changes what it names, disabling included; DELETE forgets."""
    registry.add({"id": "web-01", "labels": {"env": "prod"}})
    changes = {"name": "Web", "disabled": True}
    answer = client.patch(f"{ROOT}/web-01", json=changes, headers=admin)
    assert answer.json is not None
    assert (answer.json["name"], answer.json["status"]) == ("Web", "disabled")
    assert answer.json["labels"] == {"env": "prod"}
    assert client.delete(f"{ROOT}/web-01", headers=admin).status_code == 204
    assert client.delete(f"{ROOT}/web-01", headers=admin).status_code == 404
    assert client.patch(f"{ROOT}/web-01", json={}, headers=admin).status_code == 404


def test_keys_are_added_up_to_two_and_revoked_by_their_server(
    client: FlaskClient, admin: dict[str, str], registry: Registry
) -> None:
    """A second live key, no third; a key is revoked only below its own server."""
    registry.apply([{"id": "a"}, {"id": "b"}])
    made = [client.post(f"{ROOT}/a/keys", headers=admin) for _ in range(3)]
    assert [answer.status_code for answer in made] == [201, 201, 409]
    first = made[0].json
    assert first is not None
    assert registry.authenticate(first["key"], "").key_id == first["id"]
    assert client.delete(f"{ROOT}/b/keys/{first['id']}", headers=admin).status_code == 404
    assert client.delete(f"{ROOT}/a/keys/{first['id']}", headers=admin).status_code == 204
    assert client.delete(f"{ROOT}/a/keys/{first['id']}", headers=admin).status_code == 404


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, {"/id"}),
        ({"id": "A", "colour": 1}, {"/id", "/colour"}),
        ({"id": "a", "labels": {"Env": "x"}}, {"/labels/Env"}),
        ({"id": "a", "allow_from": ["10.0.0.0/8", "x"]}, {"/allow_from/1"}),
        ({"id": "a", "keys": [{"id": "x", "sha256": "y"}]}, {"/keys/0/id", "/keys/0/sha256"}),
    ],
)
def test_wrong_values_are_told_by_pointer(
    client: FlaskClient, admin: dict[str, str], body: dict[str, Any], pointers: set[str]
) -> None:
    """422 as problem+json with a JSON pointer for each fault."""
    answer = client.post(ROOT, json=body, headers=admin)
    assert (answer.status_code, answer.mimetype) == (422, "application/problem+json")
    assert answer.json is not None
    assert set(answer.json["errors"]) == pointers


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", None])
def test_a_body_of_another_type_is_refused(
    client: FlaskClient, admin: dict[str, str], registry: Registry, content_type: str | None
) -> None:
    """415, and nothing of it is read: an empty change would have been 200."""
    registry.add({"id": "web-01"})
    for method, path in (("POST", ROOT), ("PATCH", f"{ROOT}/web-01")):
        answer = client.open(
            path, method=method, data='{"id": "a"}', content_type=content_type, headers=admin
        )
        assert (answer.status_code, answer.mimetype) == (415, "application/problem+json")
        assert "application/json" in answer.text


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_over_max_body_is_refused(
    client: FlaskClient, admin: dict[str, str], *, is_chunked: bool
) -> None:
    """413, whether it tells its length or comes in chunks; one just under it is read."""
    for size, status in ((2**20 + 1, 413), (2**20, 422)):
        body = json.dumps({"id": "A"}).encode().ljust(size)
        reported = {"wsgi.input_terminated": True} if is_chunked else {}
        answer = client.post(
            ROOT,
            input_stream=io.BytesIO(body),
            content_length=None if is_chunked else size,
            content_type="application/json; charset=utf-8",
            headers=admin,
            environ_overrides=reported,
        )
        assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")


@pytest.mark.parametrize(
    "query", ["status=asleep", "limit=0", "limit=1001", "limit=x", "cursor=..", "colour=1"]
)
def test_wrong_parameters_are_told_by_name(
    client: FlaskClient, reader: dict[str, str], query: str
) -> None:
    """422 names the parameter."""
    answer = client.get(f"{ROOT}?{query}", headers=reader)
    assert answer.status_code == 422
    assert answer.json is not None
    assert list(answer.json["errors"]) == [f"/{query.partition('=')[0]}"]


def test_only_admins_change_and_agents_do_not_even_read(
    client: FlaskClient, reader: dict[str, str], registry: Registry
) -> None:
    """Each view asks for its role."""
    key = registry.add({"id": "a"}).key
    assert key is not None
    changes = [("POST", ROOT), ("PATCH", f"{ROOT}/a"), ("DELETE", f"{ROOT}/a")]
    changes += [("POST", f"{ROOT}/a/keys"), ("DELETE", f"{ROOT}/a/keys/{key.id}")]
    for method, path in changes:
        assert client.open(path, method=method, json={}, headers=reader).status_code == 403
    agent = {"X-API-Key": key.text}
    for path in (ROOT, f"{ROOT}/a"):
        assert client.get(path, headers=agent).status_code == 403
        assert client.get(path).status_code == 401


def test_the_openapi_document_describes_the_servers_api(client: FlaskClient) -> None:
    """The contract is also the document."""
    document = client.get("/openapi.json").json
    assert document is not None
    paths = document["paths"]
    assert {"get", "post"} <= paths[ROOT].keys()
    assert {"get", "patch", "delete"} <= paths[f"{ROOT}/{{server_id}}"].keys()
    assert "post" in paths[f"{ROOT}/{{server_id}}/keys"]
    schema = document["components"]["schemas"]["ServerItem"]
    assert schema["required"] == ["id"]
