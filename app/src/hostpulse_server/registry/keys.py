"""Makes and parses keys. Only SHA-256 of the whole text is ever stored."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import string
from dataclasses import dataclass, field

_ID_ALPHABET = string.ascii_lowercase + string.digits
_SECRET_ALPHABET = string.ascii_letters + string.digits
_ID_LENGTH = 12
_SECRET_LENGTH = 43  # 43 of 62 characters: 256 bits
_PREFIX = "hp_"
_ID_END = len(_PREFIX) + _ID_LENGTH
_TEXT_LENGTH = _ID_END + 1 + _SECRET_LENGTH

KEY_ID_PATTERN = r"^[a-z0-9]{12}$(?!\n)"
SHA256_PATTERN = r"^[0-9a-f]{64}$(?!\n)"


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made: the only place where its text exists; ``repr`` does not show it."""

    id: str
    text: str = field(repr=False)

    @property
    def sha256(self) -> str:
        """Return the 64 hex digits that are stored."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def make_key() -> NewKey:
    """Make a key ``hp_<id>_<secret>`` from the machine's entropy."""
    key_id = "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH))
    secret = "".join(secrets.choice(_SECRET_ALPHABET) for _ in range(_SECRET_LENGTH))
    return NewKey(key_id, f"{_PREFIX}{key_id}_{secret}")


def key_id_of(text: str) -> str | None:
    """Return the public id inside a key's text, ``None`` when it has not the form of a key.

    The alphabets are not checked: a text with other characters matches no stored hash anyway.
    """
    if len(text) != _TEXT_LENGTH or not text.startswith(_PREFIX) or text[_ID_END] != "_":
        return None
    return text[len(_PREFIX) : _ID_END]


def matches(text: str, digest: bytes) -> bool:
    """Compare a key's text with a stored SHA-256 digest in constant time."""
    given = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return hmac.compare_digest(given, digest)
