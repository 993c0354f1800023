"""JSON pointers (RFC 6901) to what is wrong in a document."""

from __future__ import annotations

from typing import Any


def flattened(messages: Any, at: str = "") -> dict[str, list[str]]:
    """Flatten marshmallow's nested messages into pointer → texts; ``at`` points to the whole."""
    if isinstance(messages, dict):
        flat: dict[str, list[str]] = {}
        for key, below in messages.items():
            # _schema is how marshmallow marks the whole object
            part = "" if key == "_schema" else "/" + str(key).replace("~", "~0").replace("/", "~1")
            flat.update(flattened(below, at + part))
        return flat
    texts = messages if isinstance(messages, list) else [messages]
    return {at: [str(text) for text in texts]}
