"""The host's secret."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from hostpulse_agent import keys, machine
from hostpulse_agent.errors import SecretError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_key_is_made_once_and_only_described(tmp_path: Path) -> None:
    """The file is 0600, the description is id and hash of the whole text, a second run keeps it."""
    path = tmp_path / "agent.key"
    described = keys.init(str(path))
    text = path.read_text().strip()
    assert keys.KEY.fullmatch(text)
    assert path.stat().st_mode & 0o777 == 0o600
    assert described == {"id": text[3:15], "sha256": hashlib.sha256(text.encode()).hexdigest()}
    assert keys.init(str(path)) == described
    assert list(tmp_path.iterdir()) == [path]


def test_keys_differ(tmp_path: Path) -> None:
    """Each host has its own."""
    assert len({keys.init(str(tmp_path / str(n)))["sha256"] for n in range(20)}) == 20


def test_a_key_that_others_can_read_is_refused(key_file: Path) -> None:
    """The message names the command, not the key."""
    key_file.chmod(0o644)
    with pytest.raises(SecretError, match=f"chmod 600 {key_file}") as caught:
        keys.read(str(key_file))
    assert "hp_" not in str(caught.value)
    key_file.chmod(0o400)
    assert keys.read(str(key_file)).startswith("hp_")


def test_a_malformed_key_is_not_repeated(key_file: Path) -> None:
    """What stands in the file may be somebody's other secret."""
    key_file.write_text("hunter2\n")
    with pytest.raises(SecretError, match="holds no hostpulse key") as caught:
        keys.read(str(key_file))
    assert "hunter2" not in str(caught.value)


def test_a_missing_key_says_how_to_make_it(tmp_path: Path) -> None:
    """And an unreadable place says why."""
    with pytest.raises(SecretError, match="key init"):
        keys.read(str(tmp_path / "none.key"))
    with pytest.raises(SecretError, match="cannot be read"):
        keys.read(str(tmp_path))
    with pytest.raises(SecretError, match="cannot be written"):
        keys.init(str(tmp_path / "none" / "agent.key"))


def test_a_name_is_looked_up_in_the_credentials_first(tmp_path: Path) -> None:
    """Absolute path, then $CREDENTIALS_DIRECTORY, then the configuration's directory."""
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert keys.locate("/k", "/etc", environ) == "/k"
    assert keys.locate("agent.key", "/etc", environ) == "/etc/agent.key"
    (tmp_path / "agent.key").touch()
    assert keys.locate("agent.key", "/etc", environ) == str(tmp_path / "agent.key")
    assert keys.locate("agent.key", "/etc", {}) == "/etc/agent.key"


def test_the_machine_is_known_by_a_hash_only(tmp_path: Path) -> None:
    """The same id gives the same hash, and not the plain SHA-256 that others could compute."""
    path = tmp_path / "machine-id"
    assert machine.machine_hash(str(path)) is None
    path.write_text("0123456789abcdef0123456789abcdef\n")
    found = machine.machine_hash(str(path))
    assert found is not None
    assert len(found) == 64
    assert found != hashlib.sha256(b"0123456789abcdef0123456789abcdef").hexdigest()


def test_a_marker_beside_the_spool_names_a_removal(tmp_path: Path) -> None:
    """Without it and without a shutdown a stop is a restart."""
    assert machine.stop_reason(str(tmp_path)) == "restart"
    (tmp_path / "removing").touch()
    assert machine.stop_reason(str(tmp_path)) == "remove"
