"""Reads a JSON document from the wire, without ever holding more than the limits allow."""

from __future__ import annotations

import json
import zlib
from itertools import accumulate
from typing import Any, Final

from hostpulse_server.errors import NotJsonError, TooLargeError

# of objects and lists within each other; every reader after the api has to manage it, too
MAX_DEPTH: Final = 64

_GZIP = zlib.MAX_WBITS | 16


_PLAIN: Final = bytes(sorted(set(range(256)) - set(b'[]{}"\\')))
_STEPS: Final = {**dict.fromkeys(b"[{", 1), **dict.fromkeys(b"]}", -1)}
_PASSES: Final = 24


def inflate(body: bytes, limit: int) -> bytes:
    """Return the content of a gzip body of one member, at most ``limit`` bytes.

    Raises TooLargeError as soon as more would come out, NotJsonError for damaged data.
    """
    stream = zlib.decompressobj(_GZIP)
    try:
        content = stream.decompress(body, limit + 1)
    except zlib.error:
        raise NotJsonError("The body is not gzip, though Content-Encoding says so.") from None
    if len(content) > limit:
        raise TooLargeError(f"The body inflates to more than {limit} bytes.")
    if not stream.eof:
        raise NotJsonError("The gzip body ends too early.")
    if stream.unused_data:
        raise NotJsonError("There is more data after the end of the gzip body.")
    return content


def parse(body: bytes) -> Any:
    """Return the JSON document in ``body``, which is UTF-8.

    NaN and Infinity come out as floats, so that they cost only the point they stand in. Raises
    NotJsonError; so for a text that no database could keep (half a surrogate pair, U+0000).
    """
    try:
        text = body.decode("utf-8")
        document = json.loads(text)
    except UnicodeDecodeError:
        raise NotJsonError("The body is not UTF-8.") from None
    except RecursionError:
        raise NotJsonError("The body is nested too deeply.") from None
    except ValueError as error:
        # also a number of more than 4,300 digits; the text of that names a Python function
        reason = str(error) if isinstance(error, json.JSONDecodeError) else "a number is too long"
        raise NotJsonError(f"The body is not JSON: {reason}") from None
    if _may_be_deep(body) and _depth(document) > MAX_DEPTH:
        raise NotJsonError(f"The body is nested more than {MAX_DEPTH} deep.")
    # looking through every text is dear, so look first whether an escape could have made one
    lowered = text.lower() if "\\u" in text else ""
    if "\\ud" in lowered or "\\u0000" in lowered:
        _refuse_unstorable(document)
    return document


def _refuse_unstorable(document: Any) -> None:
    waiting = [document]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting.extend(item)
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
        elif isinstance(item, str):
            if "\0" in item:
                raise NotJsonError("The body has a text with U+0000 in it.")
            try:
                item.encode()
            except UnicodeEncodeError:
                raise NotJsonError("The body has a text with half a surrogate pair.") from None


def _may_be_deep(body: bytes) -> bool:
    """Return whether a document may be deeper than allowed; ``False`` is certain.

    In an ordinary body no text has a bracket or a backslash, and brackets alone fall together
    within a few passes: that costs a hundredth of what the request does.
    """
    brackets = body.translate(None, _PLAIN).replace(b'""', b"")
    if b'"' in brackets or b"\\" in brackets:
        return True
    for done in range(_PASSES):  # each takes off two levels at most
        if len(brackets) <= 2 * (MAX_DEPTH - 2 * done):
            return False
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
    return max(accumulate(map(_STEPS.__getitem__, brackets))) > MAX_DEPTH - 2 * _PASSES


def _depth(document: Any) -> int:
    """Return how deep objects and lists stand within each other."""
    depth = 0
    level = [document]
    while level:
        within: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                within.extend(item.values())
            elif isinstance(item, list):
                within.extend(item)
        depth += any(isinstance(item, dict | list) for item in level)
        level = within
    return depth
