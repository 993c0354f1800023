"""``apply`` makes the registry as a list says: idempotent, all or nothing, nothing by surprise."""

from __future__ import annotations

import hashlib
import re
import string
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostpulse_server.errors import (
    AuthenticationError,
    InvalidItemError,
    RegistryError,
    UnknownKeyError,
    UnknownServerError,
)
from hostpulse_server.registry.keys import NewKey, make_key
from hostpulse_server.registry.schemas import load_item, load_items

if TYPE_CHECKING:
    from hostpulse_server.registry import Registry

HERE = "127.0.0.1"


def listed(*keys: NewKey) -> list[dict[str, str]]:
    """Return keys as an item lists them."""
    return [{"id": key.id, "sha256": key.sha256} for key in keys]


def keys_of(registry: Registry, server_id: str) -> list[str]:
    """Return a server's live key ids, the oldest first."""
    return list(registry.server(server_id).keys)


def test_a_second_apply_changes_nothing(registry: Registry) -> None:
    """Two runs of one list: all added, then all unchanged, in the order of ids."""
    items = [
        {"id": "web-02"},
        {
            "id": "web-01",
            "name": "Web 1",
            "address": "192.0.2.1",
            "labels": {"env": "prod"},
            "allow_from": ["192.0.2.1", "2001:DB8::/32"],
            "keys": listed(make_key()),
        },
    ]
    first = registry.apply(items)
    assert first.ids("added") == ["web-01", "web-02"]
    second = registry.apply(items)
    assert second.ids("unchanged") == ["web-01", "web-02"]
    assert not second.changed
    server = registry.server("web-01")
    assert server.allow_from == ("192.0.2.1/32", "2001:db8::/32")
    assert registry.server("web-02").name == "web-02"


def test_what_an_item_leaves_out_stays(registry: Registry) -> None:
    """A list with fewer fields is no order to clear them; an empty one is."""
    registry.apply([{"id": "a", "name": "A", "address": "h", "labels": {"x": "1"}}])
    registry.apply([{"id": "a", "name": "B"}])
    server = registry.server("a")
    assert (server.name, server.address, server.labels) == ("B", "h", {"x": "1"})
    result = registry.apply([{"id": "a", "address": None, "labels": {}}])
    assert result.ids("changed") == ["a"]
    assert (registry.server("a").address, registry.server("a").labels) == (None, {})


def test_check_says_the_same_and_writes_nothing(registry: Registry) -> None:
    """A dry run tells what the real run then does."""
    registry.apply([{"id": "a"}, {"id": "b"}])
    items = [{"id": "a", "name": "A", "keys": listed(make_key())}, {"id": "c"}]
    dry = registry.apply(items, purge=True, check=True)
    assert [server.id for server in registry.servers()] == ["a", "b"]
    assert keys_of(registry, "a") == []
    assert registry.apply(items, purge=True) == dry
    assert dry.as_json() == {
        "added": ["c"],
        "changed": ["a"],
        "unchanged": [],
        "removed": ["b"],
        "is_changed": True,
    }


def test_nothing_is_removed_without_purge_and_never_everything(registry: Registry) -> None:
    """A list that got lost on the way must not empty the registry."""
    registry.apply([{"id": "a"}, {"id": "b"}])
    assert registry.apply([{"id": "a"}]).ids("removed") == []
    with pytest.raises(RegistryError, match="would remove every server"):
        registry.apply([], purge=True)
    assert registry.apply([{"id": "a"}], purge=True).ids("removed") == ["b"]
    with pytest.raises(UnknownServerError, match="'b'"):
        registry.server("b")


def test_a_rebuilt_host_gets_its_new_key_while_the_old_goes_on(registry: Registry) -> None:
    """Two keys live; with a third the oldest unlisted one ends, and purge ends all unlisted."""
    first, second, third = make_key(), make_key(), make_key()
    for key, live in ((first, [first]), (second, [first, second]), (third, [second, third])):
        registry.apply([{"id": "a", "keys": listed(key)}])
        assert keys_of(registry, "a") == [one.id for one in live]
    with pytest.raises(AuthenticationError):
        registry.authenticate(first.text, HERE)
    registry.authenticate(second.text, HERE)
    result = registry.apply([{"id": "a", "keys": listed(third)}], purge=True)
    assert result.ids("changed") == ["a"]
    assert keys_of(registry, "a") == [third.id]


def test_a_revoked_key_does_not_come_back_by_a_list(registry: Registry) -> None:
    """Revoking is for ever, whatever an inventory still says."""
    key = make_key()
    item = {"id": "a", "keys": listed(key)}
    registry.apply([item])
    registry.revoke(key.id)
    with pytest.raises(RegistryError, match=f"{key.id} was revoked and stays so"):
        registry.apply([item])


def test_a_key_belongs_to_one_server_and_one_hash(registry: Registry) -> None:
    """A cloned host or a damaged key file is named; nothing of the list is written."""
    key, other = make_key(), make_key()
    registry.apply([{"id": "a", "keys": listed(key)}])
    reader = registry.create_key("reader")
    wrong: list[tuple[list[dict[str, str]], str]] = [
        (listed(key), f"server b: key {key.id} belongs to server a"),
        (listed(reader), "belongs to server (none)"),
        ([{"id": other.id, "sha256": key.sha256}], f"has the hash of key {key.id}"),
    ]
    for keys, said in wrong:
        with pytest.raises(RegistryError, match=re.escape(said)):
            registry.apply([{"id": "c"}, {"id": "b", "keys": keys}])
    with pytest.raises(RegistryError, match="stored with another hash"):
        registry.apply([{"id": "a", "keys": [{"id": key.id, "sha256": other.sha256}]}])
    assert [server.id for server in registry.servers()] == ["a"]


def test_every_fault_is_told_with_its_place(registry: Registry) -> None:
    """One run names all faults, by JSON pointer, and writes nothing."""
    items: Any = [
        {"id": "ok"},
        {"id": "Bad"},
        {"id": "c", "labels": {"A/b": "x", "rule": "x", "y": "", "z": 3}, "colour": 1},
        {"id": "d", "allow_from": ["10.0.0.1/8", 5], "address": "two words", "name": "a\nb"},
        {"id": "e", "keys": [{"id": "short", "sha256": "AB"}]},
        7,
    ]
    with pytest.raises(InvalidItemError) as caught:
        registry.apply(items)
    assert sorted(caught.value.errors) == [
        "/1/id",
        "/2/colour",
        "/2/labels/A~1b",
        "/2/labels/rule",
        "/2/labels/y",
        "/2/labels/z",
        "/3/address",
        "/3/allow_from/0",
        "/3/allow_from/1",
        "/3/name",
        "/4/keys/0/id",
        "/4/keys/0/sha256",
        "/5",
    ]
    assert "'Bad'" in str(caught.value)
    assert registry.servers() == []


@pytest.mark.parametrize(
    ("given_list", "pointer"),
    [
        ({"id": "a"}, ""),
        ([{"id": "a"}, {"id": "a"}], "/1/id"),
        (
            [{"id": name, "keys": [{"id": "k" * 12, "sha256": "0" * 64}]} for name in "ab"],
            "/1/keys/0/id",
        ),
        ([{"id": "a\n"}], "/0/id"),
        ([{"id": "a", "keys": [{"id": "k" * 12 + "\n", "sha256": "0" * 64}]}], "/0/keys/0/id"),
        ([{"id": "a", "labels": {f"l{n}": "x" for n in range(65)}}], "/0/labels"),
        ([{"id": "a", "keys": [{"id": c * 12, "sha256": c * 64} for c in "abc"]}], "/0/keys"),
    ],
)
def test_lists_that_contradict_themselves_are_refused(given_list: Any, pointer: str) -> None:
    """Repeated ids and keys, line ends, too many of anything, no list at all."""
    with pytest.raises(InvalidItemError) as caught:
        load_items(given_list)
    assert pointer in caught.value.errors


ID = re.compile(r"[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?")
LABEL = re.compile(r"[a-z][a-z0-9_]{0,63}")


def taken(item: dict[str, Any]) -> bool:
    """Tell whether a server of this form is accepted."""
    try:
        load_item(item)
    except InvalidItemError:
        return False
    return True


@given(
    st.text(max_size=8)
    | st.text(alphabet="ab0._-A\n", max_size=8)
    | st.integers(250, 256).map(lambda length: "a" * length)
)
def test_an_id_is_taken_exactly_when_the_contract_allows_it(text: str) -> None:
    """The pattern of the contract, with the whole text and nothing after it."""
    assert taken({"id": text}) == bool(ID.fullmatch(text))


@given(st.text(max_size=6) | st.text(alphabet="ab_9\n", max_size=70), st.text(max_size=300))
def test_a_label_is_taken_exactly_when_name_and_value_are_sane(name: str, value: str) -> None:
    """Names as everywhere in hostpulse; values printable and 1 to 255 characters long."""
    sane = bool(LABEL.fullmatch(name)) and 1 <= len(value) <= 255 and value.isprintable()
    storable = not value.endswith("\\") and "\\ " not in value
    assert taken({"id": "a", "labels": {name: value}}) == (sane and storable)


@pytest.mark.parametrize("value", ["x\\", "a\\ b"])
def test_a_label_that_no_store_could_keep_as_a_tag_is_refused(value: str) -> None:
    """Labels become tags of the measurement `server`."""
    assert not taken({"id": "a", "labels": {"env": value}})


server_ids = st.sampled_from(string.ascii_lowercase[:4])
items_lists = st.lists(
    st.fixed_dictionaries(
        {"id": server_ids},
        optional={
            "name": st.sampled_from(["x", "y"]),
            "address": st.sampled_from([None, "h"]),
            "labels": st.dictionaries(st.sampled_from(["l", "m"]), st.sampled_from("12")),
            "allow_from": st.lists(st.sampled_from(["10.0.0.0/8", "::1"]), max_size=2),
            "keys": st.just([]),
        },
    ),
    unique_by=lambda item: str(item["id"]),
    min_size=1,
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(items_lists, st.booleans(), st.integers(0, 2**32))
def test_any_list_applied_twice_is_unchanged_the_second_time(
    registry: Registry,
    items: list[dict[str, Any]],
    purge: bool,  # noqa: FBT001 - drawn, not passed
    seed: int,
) -> None:
    """Idempotence from whatever state the examples before left."""
    for item in items:
        if "keys" in item:
            text = f"{item['id']}{seed}"
            digest = hashlib.sha256(text.encode()).hexdigest()
            item["keys"] = [{"id": digest[:12], "sha256": digest}]
    dry = registry.apply(items, purge=purge, check=True)
    assert registry.apply(items, purge=purge) == dry
    again = registry.apply(items, purge=purge)
    assert not again.changed
    assert {server.id for server in registry.servers()} >= {item["id"] for item in items}


def test_keys_are_made_rotated_and_revoked_by_the_rules(registry: Registry) -> None:
    """Agent keys need a server, others must not have one, a server has two live keys at most."""
    registry.add({"id": "a"})
    with pytest.raises(RegistryError, match="needs its server"):
        registry.create_key("agent")
    with pytest.raises(RegistryError, match="belongs to no server"):
        registry.create_key("reader", "a")
    with pytest.raises(UnknownServerError):
        registry.create_key("agent", "nobody")
    registry.rotate("a")
    with pytest.raises(RegistryError, match="two live keys already"):
        registry.create_key("agent", "a")
    reader = registry.create_key("reader")
    assert registry.authenticate(registry.rotate(reader.id).text, HERE).role == "reader"
    registry.revoke(reader.id)
    for wrong in (reader.id, "nokey0000000"):
        with pytest.raises(UnknownKeyError):
            registry.revoke(wrong)
        with pytest.raises(UnknownKeyError):
            registry.rotate(wrong)
    assert reader.id not in [key.id for key in registry.list_keys()]
    assert reader.id in [key.id for key in registry.list_keys(revoked=True)]


def test_a_server_is_added_once_and_forgotten_with_its_keys(registry: Registry) -> None:
    """Adding twice is refused; removing ends the keys; the id may come again."""
    key = registry.add({"id": "a"}).key
    assert key is not None
    with pytest.raises(RegistryError, match="exists already"):
        registry.add({"id": "a"})
    registry.remove("a")
    with pytest.raises(AuthenticationError):
        registry.authenticate(key.text, HERE)
    assert registry.list_keys(revoked=True) == []
    assert registry.add({"id": "a", "keys": listed(key)}).key is None
    assert registry.authenticate(key.text, HERE).server_id == "a"


def test_resolve_gives_the_registered_ids_with_all_labels(registry: Registry) -> None:
    """What queries ask: by labels, by ids, by both, unknown ids left out."""
    registry.apply(
        [
            {"id": "a", "labels": {"env": "prod", "dc": "1"}},
            {"id": "b", "labels": {"env": "prod"}},
            {"id": "c"},
        ]
    )
    assert registry.resolve({}, []) == ["a", "b", "c"]
    assert registry.resolve({"env": "prod"}, []) == ["a", "b"]
    assert registry.resolve({"env": "prod", "dc": "1"}, []) == ["a"]
    assert registry.resolve({"env": "prod"}, ["c", "b", "x"]) == ["b"]
    assert [server.id for server in registry.servers(labels={"dc": "1"})] == ["a"]
