"""Reads a JSON document from the wire, without ever holding more than the limits allow."""

from __future__ import annotations

import json
import zlib
from typing import Any

from hostpulse_server.errors import NotJsonError, TooLargeError

_GZIP = zlib.MAX_WBITS | 16


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
