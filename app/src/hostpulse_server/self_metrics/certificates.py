"""Expiry dates of certificates, read from PEM files without an X.509 library.

A certificate is DER (ITU-T X.690); the way to its end of validity is fixed by RFC 5280, 4.1.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hostpulse_server.errors import CertificateError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_BYTES = 2**20
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
_SEQUENCE, _VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18
_LONG_FORM = 0x80
_MAX_LENGTH_BYTES = 4


class _Element(NamedTuple):
    """A tag and where its content is."""

    tag: int
    start: int
    end: int


def names(paths: Sequence[str]) -> dict[str, str]:
    """Return path → name: the file's stem, with as many of its folders as make it unique.

    ``/etc/ssl/monitor.pem`` is ``monitor``; of two ``fullchain.pem`` each has its folder before.
    """
    found: dict[str, str] = {}
    rest = list(dict.fromkeys(paths))
    forms: list[Callable[[Path], str]] = [
        lambda path: path.stem,
        lambda path: f"{path.parent.name}/{path.stem}",
        str,
    ]
    for form in forms:
        called = {path: form(Path(path)) for path in rest}
        often = Counter(called.values())
        found.update({path: name for path, name in called.items() if often[name] == 1})
        rest = [path for path in rest if path not in found]
    return found


def not_after(path: Path) -> datetime:
    """Return when the first certificate in the PEM file ends; raise CertificateError."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES)
    except OSError as error:
        raise CertificateError(f"{path} cannot be read: {error.strerror}") from None
    block = _PEM.search(content)
    if block is None:
        raise CertificateError(f"{path} holds no certificate in PEM")
    try:
        return _end_of_validity(base64.b64decode(b"".join(block[1].split()), validate=True))
    except (ValueError, binascii.Error) as error:
        raise CertificateError(f"{path} holds a damaged certificate: {error}") from None


def _end_of_validity(der: bytes) -> datetime:
    certificate = _expect(der, 0, len(der), _SEQUENCE)
    signed = _expect(der, certificate.start, certificate.end, _SEQUENCE)
    at = signed.start
    if _element(der, at, signed.end).tag == _VERSION:
        at = _element(der, at, signed.end).end
    for _ in ("serial number", "signature algorithm", "issuer"):
        at = _element(der, at, signed.end).end
    validity = _expect(der, at, signed.end, _SEQUENCE)
    begin = _element(der, validity.start, validity.end)
    end = _element(der, begin.end, validity.end)
    return _time(end.tag, der[end.start : end.end].decode("ascii"))


def _time(tag: int, text: str) -> datetime:
    """Read a time as RFC 5280, 4.1.2.5 has it: to the second, in UTC."""
    if tag == _UTC_TIME:
        # two digits of the year: from 50 on they are of the 20th century
        text = ("19" if text[:2] >= "50" else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError(f"its end of validity is no time but a tag {tag:#x}")
    if not re.fullmatch(r"[0-9]{14}Z", text):
        raise ValueError(f"its end of validity is {text!r}")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _expect(der: bytes, at: int, limit: int, tag: int) -> _Element:
    element = _element(der, at, limit)
    if element.tag != tag:
        raise ValueError(f"tag {element.tag:#x} where {tag:#x} belongs")
    return element


def _element(der: bytes, at: int, limit: int) -> _Element:
    """Read the head of the element at ``at``, which must end by ``limit``."""
    start = at + 2
    if start > limit:
        raise ValueError("it is cut off")
    tag, length = der[at], der[at + 1]
    if length & _LONG_FORM:
        count = length & ~_LONG_FORM
        if not 0 < count <= _MAX_LENGTH_BYTES or start + count > limit:
            raise ValueError("it has a length that DER does not have")
        length = int.from_bytes(der[start : start + count], "big")
        start += count
    if start + length > limit:
        raise ValueError("it is cut off")
    return _Element(tag, start, start + length)
