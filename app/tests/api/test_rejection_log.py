"""Refused requests leave a note by which the alert engine knows that the path is broken."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from hostpulse_server.errors import StateUnavailableError
from hostpulse_server.shipper.deliveries import decode

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.tests.api.conftest import Api

FROM = {"REMOTE_ADDR": "10.0.0.7"}


def notes(api: Api) -> list[tuple[str, str]]:
    """Return the notes in the journal as (server, reason)."""
    entries = [one for one in api.journal.read(0, 1000, 10**8) if one.kind == "refused"]
    assert all(decode(entry).points == [] for entry in entries)
    documents = [json.loads(entry.body) for entry in entries]
    return [(one["server_id"], one["reason"]) for one in documents]


def test_a_revoked_key_still_tells_whose_it_was(api: Api) -> None:
    """It is the most common reason that a live host falls silent."""
    api.registry.revoke(api.keys["agent"][3:15])
    api.clock.move(5)
    assert api.post().status_code == 401
    assert notes(api) == [("web-01", "its key was revoked")]


def test_who_knows_no_more_than_a_key_s_id_is_not_taken_for_its_server(api: Api) -> None:
    """Ids are public; a stranger must not be able to write notes about a host."""
    key = api.keys["agent"]
    assert api.post(key=key[:-4] + "AAAA").status_code == 401
    assert notes(api) == []


def test_an_unknown_key_from_a_registered_address_is_that_host_s(api: Api) -> None:
    """A rebuilt host has made itself another key, which nobody has told the server of."""
    api.registry.patch("web-01", {"address": "10.0.0.7"})
    api.post(key="hp_aaaaaaaaaaaa_" + "b" * 43, environ_overrides=FROM)
    assert notes(api) == [("web-01", "its key is not known here")]


def test_an_address_that_two_servers_share_names_neither(api: Api) -> None:
    """Behind it may be a whole site."""
    for server_id in ("web-01", "web-02"):
        api.registry.patch(server_id, {"address": "10.0.0.7"})
    api.post(key=None, environ_overrides=FROM)
    assert notes(api) == []


@pytest.mark.parametrize(
    ("changes", "status", "reason"),
    [
        ({"server_id": "web-02"}, 403, "this key writes server web-01, not web-02"),
        ({"schema": 7}, 422, "its requests are not valid"),
    ],
)
def test_what_a_known_key_does_wrong_is_noted(
    api: Api, changes: dict[str, object], status: int, reason: str
) -> None:
    """The note says what the agent was told."""
    assert api.post(api.envelope(**changes)).status_code == status
    assert notes(api) == [("web-01", reason)]


def test_a_foreign_source_address_is_noted(api: Api) -> None:
    """The key is good, but not from there."""
    api.registry.patch("web-01", {"allow_from": ["10.1.0.0/16"]})
    api.clock.move(5)
    assert api.post(environ_overrides=FROM).status_code == 403
    assert notes(api) == [("web-01", "server web-01 may not send from 10.0.0.7")]


def test_samples_that_are_all_rejected_are_noted(api: Api) -> None:
    """Nothing else would say that a host whose clock is far off is alive."""
    envelope = api.envelope()
    envelope["samples"][0]["time"] += 3_600_000
    assert api.post(envelope).get_json()["accepted"] == 0
    assert notes(api) == [("web-01", "all its samples are rejected: clock")]


def test_one_note_a_minute(api: Api) -> None:
    """An agent that tries each second must not fill the journal."""
    for _ in range(5):
        api.post(api.envelope(schema=7))
        api.clock.move(10)
    assert len(notes(api)) == 1
    api.clock.move(20)
    api.post(api.envelope(schema=7))
    assert len(notes(api)) == 2


def test_keys_of_people_leave_no_note(api: Api) -> None:
    """They belong to no server."""
    api.post(key="admin")
    assert notes(api) == []


def test_a_refusal_stays_what_it_is_where_nothing_can_be_noted(
    make_api: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full journal or a lost database must not turn 401 or 422 into another answer."""
    api = make_api(journal='min_free_bytes = "1000000TiB"')

    def lost(*_: object) -> None:
        raise StateUnavailableError("gone")

    monkeypatch.setattr(api.registry, "trace", lost)
    assert api.post(key="hp_aaaaaaaaaaaa_" + "b" * 43).status_code == 401
    assert api.post().status_code == 503
    assert api.post(api.envelope(schema=7)).status_code == 422
    assert notes(api) == []
