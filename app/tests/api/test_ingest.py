"""POST /api/v1/metrics: what is taken, what is refused and how, and what is on disk then."""

from __future__ import annotations

import gzip
import json
import subprocess
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from hostpulse_server.journal import SamplesRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from app.tests.api.conftest import Api
    from werkzeug.test import TestResponse

CPU = {"measurement": "cpu", "fields": {"usage": 1.5}}


def refused(response: TestResponse, status: int) -> dict[str, Any]:
    """Check that this is a problem of ``status`` and return it."""
    assert response.status_code == status, response.text
    assert response.content_type == "application/problem+json"
    problem: dict[str, Any] = json.loads(response.data)
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert response.headers["X-Request-ID"]
    return problem


def test_a_sample_is_on_disk_when_it_is_answered(api: Api) -> None:
    """The answer counts it, and the journal has it with server, agent and time."""
    response = api.post()
    assert response.status_code == 200
    assert response.json == {"accepted": 1, "rejected": [], "server_time": api.clock.ms}
    (entry,) = api.journal.read(0, 10, 10**6)
    record = SamplesRecord.decode(entry)
    assert (record.server_id, record.received_ms) == ("web-01", api.clock.ms)
    assert record.samples == api.envelope()["samples"]


def test_gzip_is_taken_and_kept_as_the_same_record(api: Api) -> None:
    """Whether packed or not, consumers read one form."""
    body = gzip.compress(json.dumps(api.envelope()).encode())
    assert api.post(body, headers={"Content-Encoding": "gzip"}).status_code == 200
    assert api.bodies() == [api.envelope()]


def test_a_chunked_body_is_taken(api: Api) -> None:
    """A sender that does not know the length beforehand is fine."""
    import io  # noqa: PLC0415  # used here only

    body = io.BytesIO(json.dumps(api.envelope()).encode())
    client = api.app.test_client()
    response = client.post(
        "/api/v1/metrics",
        input_stream=body,
        headers={"Authorization": f"Bearer {api.keys['agent']}", "Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
        content_type="application/json",
    )
    assert response.status_code == 200, response.text


def test_x_api_key_is_as_good_as_bearer(api: Api) -> None:
    """Both headers are documented."""
    headers = {"X-API-Key": api.keys["agent"]}
    assert api.post(key=None, headers=headers).status_code == 200


def test_a_bad_point_costs_that_point_and_the_rest_is_kept(api: Api) -> None:
    """NaN and infinity are refused where they stand, as are wrong types."""
    sample = api.envelope()["samples"][0]
    points = [
        CPU,
        {"measurement": "cpu", "fields": {"usage": float("nan")}},
        {"measurement": "cpu", "fields": {"usage": float("-inf")}},
        {"measurement": "cpu", "fields": {"usage": "high"}},
        {"measurement": "cpu", "fields": {"usage": 10**400}},
    ]
    response = api.post(api.envelope(samples=[{**sample, "seq": 41, "points": points}]))
    assert response.json is not None
    assert response.json["accepted"] == 1
    assert response.json["rejected"] == [
        {"seq": 41, "point": point, "field": "usage", "reason": reason}
        for point, reason in (
            (1, "not finite"),
            (2, "not finite"),
            (3, "not a number"),
            (4, "not finite"),
        )
    ]
    assert api.bodies()[0]["samples"][0]["points"] == [CPU]


def test_a_time_in_the_future_or_too_old_costs_the_sample(api: Api) -> None:
    """5 minutes ahead is the limit, and as old as raw values are kept."""
    now, week = api.clock.ms, 7 * 86_400_000
    sample = api.envelope()["samples"][0]
    times = [now, now + 300_001, now - week - 1]
    samples = [{**sample, "seq": seq, "time": time} for seq, time in enumerate(times)]
    response = api.post(api.envelope(samples=samples))
    assert response.json is not None
    assert response.json["accepted"] == 1
    assert [entry["reason"] for entry in response.json["rejected"]] == ["clock", "clock"]
    assert [kept["seq"] for kept in api.bodies()[0]["samples"]] == [0]


def test_a_request_with_nothing_to_keep_writes_no_samples(api: Api) -> None:
    """All rejected: the answer says so, and the journal only that the host is refused."""
    response = api.post(api.envelope(samples=[{"seq": 1}]))
    assert response.json is not None
    assert response.json["accepted"] == 0
    assert [entry.kind for entry in api.journal.read(0, 10, 2**20)] == ["refused"]


def test_a_flood_of_rejections_is_cut_and_counted(api: Api) -> None:
    """The answer stays small however bad the request is."""
    sample = api.envelope()["samples"][0]
    response = api.post(api.envelope(samples=[{**sample, "points": [{}] * 1500}]))
    assert response.json is not None
    assert len(response.json["rejected"]) == 1000
    assert response.json["rejected_omitted"] == 500


@pytest.mark.parametrize(
    "body", [b"", b"cpu=1", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a": ' + b"1" * 5000 + b"}"]
)
def test_what_is_not_json_is_400(api: Api, body: bytes) -> None:
    """Cut off, not UTF-8, too deep, a number too long: none of them crashes."""
    refused(api.post(body), 400)


@pytest.mark.parametrize("server_id", [["web-01"], {"a": 1}, None, 1, True, "web-01\n"])
def test_a_server_id_that_is_none_is_422(api: Api, server_id: Any) -> None:
    """Also one that no set can hold, behind a header that was right before."""
    assert api.post().status_code == 200
    errors = refused(api.post(api.envelope(server_id=server_id)), 422)["errors"]
    assert set(errors) == {"/server_id"}


@pytest.mark.parametrize("name", ["facts", "ext", "processes", "fields"])
def test_what_is_nested_too_deep_for_others_is_400(api: Api, name: str) -> None:
    """Python reads 900 levels; the shipper and the engine, deeper in their own calls, do not."""
    nested: Any = {}
    for _ in range(900):
        nested = {"a": nested}
    body = api.envelope()
    if name == "processes":
        body["samples"][0]["processes"] = [nested]
    elif name == "fields":
        body["samples"][0]["points"][0]["fields"] = nested
    else:
        body[name] = nested
    refused(api.post(body), 400)
    assert api.bodies() == []


def test_a_body_shorter_than_its_length_is_408(api: Api) -> None:
    """The network's fault, not the sample's: agents send it again."""
    body = json.dumps(api.envelope()).encode()
    longer = {"CONTENT_LENGTH": str(len(body) + 1)}
    detail = refused(api.post(body, environ_overrides=longer), 408)["detail"]
    assert detail == f"Of {len(body) + 1} bytes {len(body)} came; send the request again."
    assert api.bodies() == []


def test_a_wrong_envelope_is_422_with_pointers(api: Api) -> None:
    """All faults at once, each at its JSON pointer."""
    body = api.envelope(schema=2, colour="red", agent={"version": 1, "stream": "x"})
    errors = refused(api.post(body), 422)["errors"]
    assert set(errors) == {"/schema", "/colour", "/agent/version", "/agent/stream"}
    assert errors["/colour"] == ["Unknown field."]


def test_a_body_over_the_limit_is_413_unread(make_api: Callable[..., Api]) -> None:
    """As sent, with and without a length, and inflated."""
    api = make_api('max_body = "4KiB"')
    refused(api.post(b" " * 4097), 413)
    packed = gzip.compress(b" " * (8 * 4096 + 1))
    refused(api.post(packed, headers={"Content-Encoding": "gzip"}), 413)


def test_a_bomb_of_500_mb_is_413(api: Api) -> None:
    """It is never inflated further than 8 times the limit."""
    packer = zlib.compressobj(9, wbits=31)
    block = bytes(10**6)
    bomb = b"".join(packer.compress(block) for _ in range(500)) + packer.flush()
    refused(api.post(bomb, headers={"Content-Encoding": "gzip"}), 413)


def test_other_media_are_415(api: Api) -> None:
    """Neither forms nor brotli."""
    refused(api.post(content_type="application/x-www-form-urlencoded"), 415)
    refused(api.post(headers={"Content-Encoding": "br"}), 415)


def test_no_key_or_an_unknown_one_is_401(api: Api) -> None:
    """The header says what is wanted."""
    for key in (None, "hp_" + "a" * 12 + "_" + "b" * 43, "nonsense", "ключ"):
        headers = {} if key is None else {"X-API-Key": key.encode().decode("latin-1")}
        response = api.post(key=None, headers=headers)
        refused(response, 401)
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert api.bodies() == []


def test_another_hosts_key_is_403(api: Api) -> None:
    """A key writes its own server only."""
    refused(api.post(key="web-02"), 403)
    assert api.bodies() == []


@pytest.mark.parametrize("role", ["reader", "operator", "admin"])
def test_only_agents_write_samples(api: Api, role: str) -> None:
    """Not even an admin does."""
    refused(api.post(key=role), 403)


def test_a_revoked_key_and_a_removed_host_are_401_a_disabled_one_403(api: Api) -> None:
    """Changes are in force within seconds."""
    api.registry.disable("web-01")
    api.clock.move(5)
    refused(api.post(), 403)
    api.registry.revoke(api.keys["agent"][3:15])
    api.clock.move(5)
    refused(api.post(), 401)
    api.registry.remove("web-02")
    api.clock.move(5)
    refused(api.post(api.envelope(server_id="web-02"), key="web-02"), 401)


def test_two_machines_under_one_id_are_409(api: Api) -> None:
    """The first keeps it; a new key binds the id anew."""

    def send(machine: str, key: str = "agent") -> TestResponse:
        agent = {**api.envelope()["agent"], "machine": machine * 64}
        return api.post(api.envelope(agent=agent), key=key)

    assert send("a").status_code == 200
    api.clock.move(5)
    refused(send("b"), 409)
    assert send("a").status_code == 200
    assert len(api.bodies()) == 2
    newer = api.registry.create_key("agent", "web-01").text
    api.clock.move(5)
    assert send("b", key=newer).status_code == 200


def test_facts_and_offset_reach_the_registry(api: Api) -> None:
    """What an agent says about its host, without any sample."""
    body = api.envelope(samples=[], facts={"os": "Debian"}, sent_at=api.clock.ms - 90_000)
    assert api.post(body).status_code == 200
    (found,) = api.registry.servers(ids=["web-01"])
    assert found.facts == {"os": "Debian"}
    assert found.clock_offset_ms == -90_000


def test_a_key_that_sends_too_often_is_429_and_others_are_not(
    make_api: Callable[..., Api],
) -> None:
    """The limit is a key's own; Retry-After says when to come back."""
    api = make_api('rate_limit = "3/hour"')
    statuses = [api.post().status_code for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    response = api.post()
    refused(response, 429)
    assert int(response.headers["Retry-After"]) > 0
    assert api.post(api.envelope(server_id="web-02"), key="web-02").status_code == 200


@pytest.mark.parametrize(
    "addresses",
    [
        [f"2001:db8:1:2::{number:x}" for number in range(40)],
        ["192.0.2.1", "::ffff:192.0.2.1", "::FFFF:c000:201", "::ffff:c000:0201"] * 10,
        ["2001:db8::1", "2001:DB8:0:0::1", "2001:0db8::0001"] * 15,
    ],
    ids=["a host's network", "IPv4", "spellings"],
)
def test_an_address_is_one_however_it_is_spelt(api: Api, addresses: list[str]) -> None:
    """Failed authentications are counted by IPv4 address and by IPv6 /64."""
    statuses = [
        api.post(key="x", environ_overrides={"REMOTE_ADDR": one}).status_code for one in addresses
    ]
    assert (statuses[0], statuses[-1]) == (401, 429)
    other = api.post(key="x", environ_overrides={"REMOTE_ADDR": "2001:db8:9::1"})
    assert other.status_code == 401


def test_failed_authentications_are_limited_per_address_and_never_shut_a_valid_key_out(
    api: Api,
) -> None:
    """Guessing is slowed down; the host behind the same address goes on."""
    statuses = [api.post(key="hp_guess").status_code for _ in range(40)]
    assert statuses[0] == 401
    assert statuses[-1] == 429
    assert int(api.post(key="hp_guess").headers["Retry-After"]) > 0
    assert api.post().status_code == 200
    elsewhere = api.post(key="hp_guess", environ_base={"REMOTE_ADDR": "192.0.2.9"})
    assert elsewhere.status_code == 401


def test_the_address_is_the_proxys_word_only_if_the_proxy_is_trusted(
    make_api: Callable[..., Api],
) -> None:
    """A stranger cannot choose its own address."""
    for api, status in ((make_api(), 401), (make_api("trusted_proxies = 1"), 429)):
        for _ in range(40):
            headers = {"X-Forwarded-For": "198.51.100.7"}
            api.post(key="hp_guess", headers=headers, environ_base={"REMOTE_ADDR": "127.0.0.1"})
        response = api.post(key="hp_guess", environ_base={"REMOTE_ADDR": "198.51.100.7"})
        assert response.status_code == (401 if status == 401 else 429)


def test_a_journal_at_its_bound_is_503_with_retry_after(make_api: Callable[..., Api]) -> None:
    """Never a 2xx for what was not kept."""
    api = make_api(journal='max_bytes = "1B"\nmin_free_bytes = "0B"')
    response = api.post()
    refused(response, 503)
    assert int(response.headers["Retry-After"]) > 0
    assert api.bodies() == []


def test_a_closed_journal_is_503(api: Api) -> None:
    """A service that is stopping says so."""
    api.journal.close()
    refused(api.post(), 503)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[None]:
    """Put the data directory on a disk of its own, of 3 MiB."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", tmp_path], check=True)
    yield
    subprocess.run(["umount", "-l", tmp_path], check=True)


@pytest.mark.root
def test_a_full_disk_never_gets_a_2xx_for_what_is_not_kept(
    tiny_disk: None, make_api: Callable[..., Api]
) -> None:
    """Until the disk is full every answer is true, and from then on it is 503."""
    api = make_api('rate_limit = "1000000/second"', 'min_free_bytes = "0B"')
    api.journal.stats()
    accepted = []
    for seq in range(5000):
        sample = api.envelope()["samples"][0]
        filler = [{"name": f"{seq}-{i}", "pid": hash((seq, i))} for i in range(50)]
        response = api.post(api.envelope(samples=[{**sample, "seq": seq, "processes": filler}]))
        if response.status_code != 200:
            break
        accepted.append(seq)
    refused(response, 503)
    assert int(response.headers["Retry-After"]) > 0
    assert accepted
    assert [body["samples"][0]["seq"] for body in api.bodies()] == accepted
