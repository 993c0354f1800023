"""Who may speak to the api: keys, roles, disabled servers, source networks, changes in force."""

from __future__ import annotations

import subprocess
import sys
import time
import timeit
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostpulse_server.errors import (
    AuthenticationError,
    PermissionDeniedError,
    StateUnavailableError,
)
from hostpulse_server.registry import ROLES, Identity, Registry
from hostpulse_server.registry.keys import key_id_of, make_key, matches
from hostpulse_server.runtime.clock import SYSTEM

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from hostpulse_server.runtime.clock import Clock

HERE = "127.0.0.1"


def key_of(registry: Registry, **settings: object) -> str:
    """Add a server ``web-01`` and return its key's text."""
    key = registry.add({"id": "web-01", **settings}).key
    assert key is not None
    return key.text


def test_a_key_has_the_form_of_the_contract_and_is_known_by_its_hash(
    registry: Registry, tmp_path: Path
) -> None:
    """The text never reaches the disk, only its SHA-256."""
    text = key_of(registry)
    assert len(text) == 59
    prefix, key_id, secret = text.split("_")
    assert (prefix, len(key_id), len(secret)) == ("hp", 12, 43)
    assert (key_id + secret).isalnum()
    assert registry.authenticate(text, HERE) == Identity(key_id, "agent", "web-01")
    for path in tmp_path.iterdir():
        assert secret.encode() not in path.read_bytes()


@given(st.text(max_size=80) | st.from_regex(r"hp_[a-z0-9]{12}_[A-Za-z0-9]{43}", fullmatch=True))
def test_no_text_but_the_key_itself_matches_its_hash(text: str) -> None:
    """Taking a key apart and comparing accept any text without an error."""
    key = make_key()
    digest = bytes.fromhex(key.sha256)
    assert matches(key.text, digest)
    assert not matches(text, digest)
    assert key_id_of(text) is None or len(key_id_of(text) or "") == 12
    assert key_id_of(key.text) == key.id
    assert key.text not in repr(key)


def test_a_wrong_missing_or_altered_key_is_refused(registry: Registry) -> None:
    """Each kind of wrong key gives the same answer."""
    text = key_of(registry)
    altered = text[:-1] + ("a" if text[-1] != "a" else "b")
    for wrong in (None, "", "hp_", altered, text.upper(), text + "x", make_key().text, "ключ" * 15):
        with pytest.raises(AuthenticationError) as caught:
            registry.authenticate(wrong, HERE)
        assert text[16:] not in str(caught.value)


@pytest.mark.parametrize(
    ("role", "granted"),
    [
        ("agent", {"agent"}),
        ("reader", {"reader"}),
        ("operator", {"reader", "operator"}),
        ("admin", {"reader", "operator", "admin"}),
    ],
)
def test_a_role_grants_what_the_contract_says(role: str, granted: set[str]) -> None:
    """An admin does everything but write samples; an agent does nothing else."""
    identity = Identity("k" * 12, role, None)  # type: ignore[arg-type]  # parametrized
    assert {one for one in ROLES if identity.allows(one)} == granted
    with pytest.raises(PermissionDeniedError, match="has role"):
        identity.require(*(set(ROLES) - granted))


def test_a_revoked_key_is_refused_at_once_and_the_other_goes_on(registry: Registry) -> None:
    """Two keys live side by side while a host goes over; revoking ends one."""
    old = key_of(registry)
    new = registry.rotate("web-01").text
    assert registry.authenticate(old, HERE) != registry.authenticate(new, HERE)
    registry.revoke(old.split("_")[1])
    registry.authenticate(new, HERE)
    with pytest.raises(AuthenticationError):
        registry.authenticate(old, HERE)


def test_a_disabled_server_is_refused_until_it_is_enabled(registry: Registry) -> None:
    """Disabling keeps the key known but without rights."""
    text = key_of(registry)
    assert registry.disable("web-01")
    assert not registry.disable("web-01")
    with pytest.raises(PermissionDeniedError, match="web-01 is disabled"):
        registry.authenticate(text, HERE)
    assert registry.enable("web-01")
    registry.authenticate(text, HERE)


@pytest.mark.parametrize(
    ("address", "admitted"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("192.0.2.7", True),
        ("192.0.2.8", False),
        ("11.0.0.1", False),
        ("2001:db8::5", True),
        ("2001:db9::5", False),
        ("", False),
        ("unix:", False),
    ],
)
def test_source_networks_admit_what_they_hold(
    registry: Registry, address: str, *, admitted: bool
) -> None:
    """IPv4, IPv6, single addresses and IPv4 seen through an IPv6 socket."""
    text = key_of(registry, allow_from=["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"])
    if admitted:
        assert registry.authenticate(text, address).server_id == "web-01"
        return
    with pytest.raises(PermissionDeniedError, match="may not send from"):
        registry.authenticate(text, address)


def test_a_change_by_another_process_is_in_force_within_two_seconds(
    registry: Registry, engine: Engine, clock: Clock
) -> None:
    """The snapshot of a running service follows the revision."""
    text = key_of(registry)
    registry.authenticate(text, HERE)
    Registry(engine, clock).disable("web-01")
    registry.authenticate(text, HERE)  # within a second nothing is looked up
    clock.move(1.0)  # type: ignore[attr-defined]  # the manual clock's
    with pytest.raises(PermissionDeniedError):
        registry.authenticate(text, HERE)


def test_while_the_database_is_away_the_last_snapshot_serves(
    registry: Registry,
    engine: Engine,
    clock: Clock,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Samples are taken in while the state database is unreachable; a first start is refused."""
    text = key_of(registry)
    registry.authenticate(text, HERE)
    engine.dispose()
    for path in tmp_path.glob("state.db*"):
        path.unlink()
    (tmp_path / "state.db").mkdir()
    clock.move(60)  # type: ignore[attr-defined]  # the manual clock's
    assert registry.authenticate(text, HERE).server_id == "web-01"
    assert "may be out of date" in caplog.text
    with pytest.raises(StateUnavailableError):
        registry.check()
    with pytest.raises(StateUnavailableError):
        Registry(engine, clock).authenticate(text, HERE)


def test_a_state_database_without_tables_is_not_well(
    registry: Registry, engine: Engine, tmp_path: Path
) -> None:
    """A file that was moved away comes back empty, which answers queries but knows nobody."""
    registry.check()
    engine.dispose()
    for path in tmp_path.glob("state.db*"):
        path.unlink()
    with pytest.raises(StateUnavailableError):
        registry.check()


def test_authenticating_costs_microseconds(registry: Registry) -> None:
    """A generous bound that a database look-up a request would break."""
    text = key_of(registry, allow_from=["127.0.0.0/8"])
    registry.authenticate(text, HERE)
    calls = timeit.Timer(lambda: registry.authenticate(text, HERE), timer=time.thread_time)
    best = min(calls.repeat(5, 500))
    assert best / 500 < 100e-6


CHANGER = """
import sys
from hostpulse_server import state
from hostpulse_server.registry import Registry
url, name = sys.argv[1:]
engine = state.open_engine(url)
registry = Registry(engine)
for number in range(8):
    registry.add({"id": f"{name}-{number}"})
    registry.patch(f"{name}-{number}", {"labels": {"round": str(number)}})
    registry.disable(f"{name}-{number}")
registry.disable("web-01")
engine.dispose()
"""


def refused_within(seconds: float, service: Registry, text: str) -> bool:
    """Authenticate without pause until the server is disabled; tell whether that came in time."""
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            service.authenticate(text, HERE)
    except PermissionDeniedError:
        return True
    return False


@pytest.mark.integration
def test_two_processes_change_the_registry_while_a_third_authenticates(
    engine: Engine, tmp_path: Path
) -> None:
    """No change is lost, no look-up fails, and the last change takes force."""
    service = Registry(engine, SYSTEM)
    text = key_of(service)
    command = [sys.executable, "-c", CHANGER, f"sqlite:///{tmp_path}/state.db"]
    changers = [subprocess.Popen([*command, name]) for name in ("a", "b")]
    try:
        assert refused_within(60, service, text)
    finally:
        codes = [changer.wait(60) for changer in changers]
    assert codes == [0, 0]
    found = service.servers()
    assert len(found) == 17
    assert all(server.disabled for server in found)
    assert {server.labels["round"] for server in found[:-1]} == {str(n) for n in range(8)}
