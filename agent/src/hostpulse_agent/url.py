"""Parser of base URLs; ``urllib.parse`` would cost memory and allow more than is wanted."""

from __future__ import annotations

import re
from typing import NamedTuple

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:(?P<port>\d{1,5}))?"
    r"(?P<path>(/[A-Za-z0-9._~%-]+)*)/?"
)
_DEFAULT_PORT = {"http": 80, "https": 443}
_MAX_PORT = 65535


class Url(NamedTuple):
    """``authority`` is host and port for the Host header; ``path`` ends without a slash."""

    scheme: str
    host: str
    port: int
    path: str
    authority: str


def split(text: str) -> Url:
    """Return the parts of base URL ``text``; raise ``ValueError``, which never repeats a user."""
    if "@" in text:
        raise ValueError("must not hold a user or password")
    match = _URL.fullmatch(text)
    if match is None or int(match["port"] or 1) not in range(1, _MAX_PORT + 1):
        raise ValueError(f"{text!r} must look like https://host:port")
    host, scheme = match["host"], match["scheme"]
    port = int(match["port"] or _DEFAULT_PORT[scheme])
    return Url(scheme, host.strip("[]"), port, match["path"], f"{host}:{port}")
