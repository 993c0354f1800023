"""Takes secrets out of texts on their way to a log or a terminal.

Two nets: every secret that was read from a file is known by its value, and what looks like one
(our keys, bearer tokens, passwords in URLs and assignments, webhook addresses, links that act) goes
by its form.
"""

from __future__ import annotations

import re
from typing import Any

HIDDEN = "***"
# shorter ones would blot out ordinary words; nothing that opens a door is that short
MIN_LENGTH = 6

_NAMES = (
    r"pass(?:word|wd|phrase)?|secret|token|api[_-]?key|x-api-key|authorization|webhook_url|"
    r"credentials?|private[_-]?key"
)
# Each is tried at every place of a text of others: none may begin with what repeats, or the work
# grows with the square of the text.
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\bhp_([a-z0-9]{12})_[A-Za-z0-9]+"), rf"hp_\1_{HIDDEN}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}"), rf"\1 {HIDDEN}"),
    (re.compile(r"(?i)\b(token)\s+[A-Za-z0-9._~+/=-]{16,}"), rf"\1 {HIDDEN}"),
    (re.compile(r"(://[^\s/@:]*):[^\s/@]+@"), rf"\1:{HIDDEN}@"),
    (re.compile(r"(?i)(https?://hooks\.[^\s/\"']+/)[^\s\"']+"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)(/(?:web)?hooks?/)[^\s\"']+"), rf"\1{HIDDEN}"),
    (re.compile(r"(/act/)[A-Za-z0-9._-]{16,}"), rf"\1{HIDDEN}"),
    (
        re.compile(
            rf"(?i)((?:{_NAMES})[\\\"']*\s*[:=]\s*)"
            # what our own errors say of such a key
            r"(?!(?:unknown key|is|must|has)\b)"
            r"(?:\\?\"(?:[^\"\\]|\\[^\"])*\\?\"|'[^']*'|[^\s,;&}\"']+)"
        ),
        rf"\1{HIDDEN}",
    ),
)
_SECRET_NAME = re.compile(rf"(?i).*(?:{_NAMES})")
_known: set[str] = set()


def hide(secret: str) -> None:
    """Remember a secret's value: no text shall show it from now on."""
    if len(secret) >= MIN_LENGTH:
        _known.add(secret)


def text(value: str) -> str:
    """Return ``value`` without secrets."""
    # the longest first: one secret may be a part of another
    for secret in sorted(_known, key=len, reverse=True):
        value = value.replace(secret, HIDDEN)
    for pattern, replacement in _PATTERNS:
        value = pattern.sub(replacement, value)
    return value


def value(item: Any) -> Any:
    """Return JSON-like data without secrets, in texts and under telling names."""
    if item is None or isinstance(item, bool | int | float):
        return item
    if isinstance(item, dict):
        return {
            text(str(name)): HIDDEN
            if _SECRET_NAME.fullmatch(str(name)) and not str(name).endswith("_id")
            else value(inner)
            for name, inner in item.items()
        }
    if isinstance(item, list | tuple | set | frozenset):
        return [value(inner) for inner in item]
    return text(str(item))
