"""The host's key file: its path, its permissions and how it is created. Never printed."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from typing import TYPE_CHECKING

from hostpulse_agent.errors import SecretError

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY = re.compile(r"hp_[a-z0-9]{12}_[A-Za-z0-9]{43}")
_LOWER = "abcdefghijklmnopqrstuvwxyz0123456789"
_MIXED = _LOWER + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def locate(name: str, directory: str, environ: Mapping[str, str]) -> str:
    """Path of secret ``name``: absolute, or in $CREDENTIALS_DIRECTORY, or in ``directory``."""
    if os.path.isabs(name):
        return name
    credentials = environ.get("CREDENTIALS_DIRECTORY")
    if credentials and os.path.exists(os.path.join(credentials, name)):
        return os.path.join(credentials, name)
    return os.path.join(directory, name)


def read(path: str) -> str:
    """Return the key in ``path``; raise ``SecretError`` that says what to do."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(1024).strip()
    except FileNotFoundError:
        raise SecretError(
            f"{path} does not exist: make it with `hostpulse-agent key init` and register it"
        ) from None
    except OSError as error:
        raise SecretError(f"{path} cannot be read: {error.strerror}") from None
    # systemd hands out credentials as 0440 with an ACL; only "others" would be a leak.
    if stat.S_IMODE(mode) & stat.S_IRWXO:
        raise SecretError(f"{path} can be read by others: run `chmod 600 {path}`")
    if not KEY.fullmatch(text):
        raise SecretError(f"{path} holds no hostpulse key (hp_<id>_<secret>): make one anew")
    return text


def describe(key: str) -> dict[str, str]:
    """Return the public parts of a key: its id and the SHA-256 of the whole text."""
    return {"id": key.split("_")[1], "sha256": hashlib.sha256(key.encode()).hexdigest()}


def init(path: str) -> dict[str, str]:
    """Make the key file (0600) if there is none; return id and SHA-256 of the key in it."""
    if not os.path.exists(path):
        key = f"hp_{_random(_LOWER, 12)}_{_random(_MIXED, 43)}"
        temporary = f"{path}.{os.getpid()}.new"
        try:
            _write(temporary, key, path)
        except OSError as error:
            raise SecretError(f"{path} cannot be written: {error.strerror}") from None
    return describe(read(path))


def _write(temporary: str, key: str, path: str) -> None:
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(key + "\n")
            file.flush()
            os.fsync(descriptor)
        # A link, unlike a rename, never takes the place of a key made meanwhile by another.
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(temporary)


def _random(alphabet: str, length: int) -> str:
    """Draw characters without bias: bytes past the last whole multiple are thrown away."""
    bound = 256 - 256 % len(alphabet)
    drawn: list[str] = []
    while len(drawn) < length:
        drawn.extend(alphabet[byte % len(alphabet)] for byte in os.urandom(64) if byte < bound)
    return "".join(drawn[:length])
