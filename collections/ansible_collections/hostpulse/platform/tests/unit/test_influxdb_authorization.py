"""The module ``influxdb_authorization`` against the real server: purposes, rotation, crashes."""

from __future__ import annotations

import hashlib
import http.client
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.http_server import QuietHandler, serving, url_of

if TYPE_CHECKING:
    from collections.abc import Iterator

WRITE: dict[str, Any] = {"name": "hostpulse write", "read": ["raw"], "write": ["raw", "rollup"]}
QUERY: dict[str, Any] = {"name": "hostpulse query", "read": ["raw", "rollup"]}


@pytest.fixture
def buckets(estate: Any) -> dict[str, str]:
    """Make the buckets; give their ids."""
    return {name: estate.run("bucket", name=name)["id"] for name in ("raw", "rollup")}


def held(said: dict[str, Any]) -> str:
    """Return the fingerprint of the token that the module returned."""
    return hashlib.sha256(said["token"].encode()).hexdigest()


def opens(estate: Any, token: str) -> bool:
    """Tell whether the server knows the token."""
    with closing(http.client.HTTPConnection("127.0.0.1", estate.influxd.port)) as connection:
        headers = {"Authorization": f"Token {token}"}
        connection.request("GET", "/api/v2/buckets", headers=headers)
        return connection.getresponse().status == 200


@pytest.mark.usefixtures("buckets")
def test_a_token_is_made_once_and_known_by_its_fingerprint(estate: Any) -> None:
    """The consumer that holds the token's fingerprint gets no second one."""
    dry = estate.run("authorization", check=True, **WRITE)
    assert (dry["changed"], dry["created"], "token" in dry) == (True, True, False)
    assert not estate.authorizations()
    made = estate.run("authorization", **WRITE)
    assert made["fingerprint"] == held(made)
    one = estate.authorizations()[made["id"]]
    assert one["description"] == f"hostpulse write [sha256:{held(made)}]"
    assert one["token"] == ""
    for check in (True, False):
        again = estate.run("authorization", check=check, **WRITE, fingerprint=held(made))
        assert not again["changed"]
        assert (again["id"], again["fingerprint"]) == (made["id"], held(made))
        assert again["diff"]["before"] == again["diff"]["after"]
    assert list(estate.authorizations()) == [made["id"]]


@pytest.mark.usefixtures("buckets")
def test_a_rotation_makes_proves_and_then_ends(estate: Any) -> None:
    """Both tokens work until the older one is ended, and only that one is."""
    old = estate.run("authorization", **WRITE)
    other = estate.run("authorization", **QUERY)
    new = estate.run("authorization", **WRITE, fingerprint=held(old), rotate=True)
    assert new["older"] == [old["id"]]
    assert opens(estate, old["token"])
    assert opens(estate, new["token"])
    ending = {"name": WRITE["name"], "state": "absent", "keep": [held(new)]}
    assert estate.run("authorization", check=True, **ending)["ended"] == [old["id"]]
    assert opens(estate, old["token"])
    assert estate.run("authorization", **ending)["ended"] == [old["id"]]
    assert not opens(estate, old["token"])
    assert opens(estate, new["token"])
    assert opens(estate, other["token"])
    assert not estate.run("authorization", **ending)["changed"]


def test_a_token_that_is_not_right_is_replaced(estate: Any, buckets: dict[str, str]) -> None:
    """Lost by its consumer, of other buckets, switched off, or of a bucket that was made anew."""
    first = estate.run("authorization", **QUERY)
    lost = estate.run("authorization", **QUERY, fingerprint="")
    assert lost["older"] == [first["id"]]
    mine = held(lost)
    assert estate.run("authorization", name=QUERY["name"], read=["raw"], fingerprint=mine)[
        "created"
    ]
    path = f"/api/v2/authorizations/{lost['id']}"
    estate.influxd.call("PATCH", path, {"status": "inactive"})
    assert estate.run("authorization", **QUERY, fingerprint=mine)["created"]
    estate.influxd.call("PATCH", path, {"status": "active"})
    assert not estate.run("authorization", **QUERY, fingerprint=mine)["changed"]
    estate.influxd.call("DELETE", f"/api/v2/buckets/{buckets['raw']}")
    estate.run("bucket", name="raw")
    assert estate.run("authorization", **QUERY, fingerprint=mine)["created"]


@pytest.mark.usefixtures("buckets")
def test_consumers_are_not_cut_off_by_an_unknown_fingerprint(estate: Any) -> None:
    """A keep that fits nothing ends nothing; an empty one ends all."""
    made = estate.run("authorization", **QUERY)
    ending = {"name": QUERY["name"], "state": "absent"}
    for keep in (["0" * 64], [""]):
        said = estate.run("authorization", **ending, keep=keep)
        assert "would be cut off" in said["msg"]
        dry = estate.run("authorization", check=True, **ending, keep=keep)
        assert not dry["changed"]
        assert "would be cut off" in str(dry["warnings"])
    assert opens(estate, made["token"])
    assert estate.run("authorization", **ending)["ended"] == [made["id"]]
    assert not estate.run("authorization", **ending, keep=["0" * 64])["changed"]


def test_other_authorizations_stay_untouched(estate: Any, buckets: dict[str, str]) -> None:
    """Those made by hand, of longer names, or whose description only looks like ours."""
    names = [
        "hostpulse query",
        "hostpulse query 2 [pending]",
        "hostpulse query [sha256:short]",
        "hostpulse query [sha256:" + "0" * 64 + "] of Ada",
        "a hostpulse query [pending]",
        "hostpulse query[pending]",
        "hostpulse query (pending)",
        "",
    ]
    theirs = [estate.authorization(name, buckets["raw"]) for name in names]
    before = estate.authorizations()
    made = estate.run("authorization", **QUERY)
    estate.run("authorization", **QUERY, fingerprint=held(made), rotate=True)
    ended = estate.run("authorization", name=QUERY["name"], state="absent")["ended"]
    assert len(ended) == 2
    assert estate.authorizations() == before
    assert set(theirs) == set(before)


class Relay(QuietHandler):
    """Hands requests on to influxd until the first that it is told to lose, then loses all."""

    def respond(self) -> None:
        """Hand one request on, or drop the connection."""
        server: Any = self.server
        server.lost = server.lost or self.command == server.loses
        if server.lost and (self.command == server.loses or server.for_ever):
            self.close_connection = True
            return
        body = self.body()
        with closing(http.client.HTTPConnection("127.0.0.1", server.influxd)) as connection:
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            data = answer.read()
        self.reply(answer.status, data)


@contextmanager
def losing(estate: Any, method: str, *, for_ever: bool) -> Iterator[None]:
    """Lose the estate's requests of this method, or all from the first such on."""
    url = estate.url
    with serving(Relay) as server:
        vars(server).update(
            influxd=estate.influxd.port, loses=method, lost=False, for_ever=for_ever
        )
        estate.url = url_of(server)
        yield
        estate.url = url


@pytest.mark.usefixtures("buckets")
def test_a_token_whose_fingerprint_cannot_be_noted_is_ended(estate: Any) -> None:
    """Nobody would ever know it again."""
    with losing(estate, "PATCH", for_ever=False):
        assert "cannot be reached" in estate.run("authorization", **QUERY)["msg"]
    assert estate.authorizations() == {}


@pytest.mark.parametrize("later", ["present", "absent"])
@pytest.mark.usefixtures("buckets")
def test_what_a_dead_run_left_is_ended_by_the_next(estate: Any, later: str) -> None:
    """Between making a token and noting its fingerprint a run may die; the mark tells."""
    mine = estate.run("authorization", **QUERY)
    with losing(estate, "PATCH", for_ever=True):
        estate.run("authorization", **QUERY, rotate=True)
    (orphan,) = set(estate.authorizations()) - {mine["id"]}
    assert estate.authorizations()[orphan]["description"] == "hostpulse query [pending]"
    given = {**QUERY, "fingerprint": held(mine)}
    if later == "absent":
        given = {"name": QUERY["name"], "state": "absent", "keep": [held(mine)]}
    assert estate.run("authorization", check=True, **given)["ended"] == [orphan]
    assert orphan in estate.authorizations()
    said = estate.run("authorization", **given)
    assert (said["ended"], said["created"]) == ([orphan], False)
    assert list(estate.authorizations()) == [mine["id"]]
    assert not estate.run("authorization", **given)["changed"]


def test_an_operator_token_can_be_rotated(estate: Any) -> None:
    """It may do what the first may; the one in use is never ended by itself."""
    purpose = {"name": f"operator of {estate.org}", "operator": True, "org": "hostpulse"}
    made = estate.run("authorization", **purpose)
    assert not estate.run("authorization", **purpose, fingerprint=held(made))["changed"]
    estate.token_file.write_text(made["token"])
    ending = {"name": purpose["name"], "org": "hostpulse", "state": "absent"}
    assert estate.run("authorization", **ending)["ended"] == []
    newer = estate.run("authorization", **purpose, rotate=True)
    estate.token_file.write_text(newer["token"])
    ended = estate.run("authorization", **ending, keep=[held(newer)])["ended"]
    assert ended == [made["id"]]
    estate.token_file.write_text(estate.influxd.operator_token)
    assert estate.run("authorization", **ending)["ended"] == [newer["id"]]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"read": ["none"]}, "has no bucket 'none'; make it with influxdb_bucket"),
        ({}, "name at least one bucket"),
        ({"read": ["raw"], "operator": True}, "leave read and write out"),
        ({"operator": True}, "holds no operator token to copy"),
        ({"read": ["raw"], "fingerprint": "a-token?"}, "give the SHA-256"),
        ({"state": "absent", "keep": ["0" * 63]}, "give the SHA-256"),
    ],
)
@pytest.mark.usefixtures("buckets")
def test_what_cannot_be_made_is_told(estate: Any, given: dict[str, Any], reason: str) -> None:
    """Before anything changes; what may be a token by mistake is not repeated."""
    said = estate.run("authorization", name="x", **given)
    assert reason in said["msg"]
    assert "a-token" not in str(said)
    assert estate.authorizations() == {}


def test_buckets_to_come_are_a_change_in_a_dry_run(estate: Any) -> None:
    """All that a play may read of the result is there."""
    said = estate.run("authorization", check=True, **QUERY)
    assert (said["changed"], said["created"], said["fingerprint"]) == (True, True, "")
    gone = estate.run("authorization", name="x", org="nobody", state="absent")
    assert (gone["changed"], gone["ended"]) == (False, [])
