"""Text from elsewhere as one harmless line: what is seen is what it is."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# they take room or none, and show nothing: fillers of Hangul, the empty braille cell, joiners
_BLANK: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_MARKS: Final = 2  # on one letter: what scripts need, not what covers the lines around
_URL: Final = re.compile(r"https?://[!-~]+")
_NOT_IN_URLS: Final = re.compile(r"[\"'<>`|\\]")
_LONGEST_URL: Final = 2000


def one_line(text: object, limit: int = 300) -> str:
    """Return one line of at most ``limit`` characters.

    Without control characters, what turns the direction of writing, characters of no width and
    lone surrogates; cut with an ellipsis.
    """
    kept: list[str] = []
    marks = 0
    # the slice bounds the work: eight times as much is enough to know where to cut
    for one in str(text)[: limit * 8]:
        category = unicodedata.category(one)
        if category in ("Mn", "Me", "Mc"):
            marks += 1
            if marks <= _MARKS and one not in _BLANK and not "\ufe00" <= one <= "\ufe0f":
                kept.append(one)
            continue
        marks = 0
        if category == "Cf":  # direction, zero width, soft hyphens, tags
            continue
        kept.append(" " if category[0] in "CZ" or one in _BLANK else one)
    plain = " ".join("".join(kept).split())
    return plain if len(plain) <= limit else f"{plain[: limit - 1].rstrip()}…"


def link(text: str) -> str:
    """Return an address that can be one, whatever it is put into; else ``""``."""
    fits = len(text) <= _LONGEST_URL and _URL.fullmatch(text) and not _NOT_IN_URLS.search(text)
    return text if fits else ""
