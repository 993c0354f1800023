"""Secrets live in files: read one, or make one so that no crash loses what was sent."""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

TOKEN_BYTES = 48


def fingerprint(secret: str) -> str:
    """Return the SHA-256 of a secret's text in hex: it identifies a secret without revealing it."""
    return hashlib.sha256(secret.encode()).hexdigest()


def read_secret(path: str, what: str) -> str:
    """Return the one line of a file; raise OSError or ValueError with what is wrong."""
    try:
        text = Path(path).read_text(encoding="utf-8").strip("\r\n")
    except FileNotFoundError as fault:
        raise FileNotFoundError(f"{path} is not there; it holds {what}") from fault
    except UnicodeDecodeError as fault:
        raise ValueError(f"{path} holds no text; put {what} there, alone on one line") from fault
    if not text.strip() or len(text.splitlines()) != 1:
        raise ValueError(f"{path} does not hold one line; put {what} there, alone on one line")
    return text


def make_secret(path: str, what: str) -> str:
    """Return the secret in ``path``; a new one is on disk, mode 0600, before it is returned."""
    if os.path.lexists(path):
        return read_secret(path, what)
    folder = Path(path).parent
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not there; make it, mode 0700, to hold {what}")
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".new-")
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(TOKEN_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        # Unlike a rename, a link never replaces what another run has made meanwhile.
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        Path(temporary).unlink()
    folder_handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(folder_handle)
    finally:
        os.close(folder_handle)
    return read_secret(path, what)
