"""Awkward text of others, 64 kB of it, through every entry point: work grows no faster than it.

What is asserted is a bound on the interpreter's own time that linear work stays far below, and that
work which grows with the square of the length exceeds by an order of magnitude.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from hostpulse_server.notifications.channels import escaping, sanitize
from hostpulse_server.runtime import redact
from hostpulse_server.values.matchers import matches

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.tests.api.conftest import Api

SIZE = 65_536
MOST_SECONDS = 0.5

PARTS = {
    "letters": "a",
    "capitals": "A",
    "digits": "7",
    "words of hooks": "http://a",
    "schemes": "a+a.",
    "underscores": "_",
    "our keys": "hp_aaaaaaaaaaaa_",
    "names of secrets": "token",
    "names, spaced": "token ",
    "assignments": 'token="',
    "escapes": 'token=\\"\\',
    "bearers": "bearer ",
    "spaces": " ",
    "colons": ":",
    "emoji": ":a",
    "slashes": "/",
    "percent": "%5F",
    "quotes": "'\"",
    "backslashes": "\\",
    "stars": "*a",
    "brackets": "[a",
    "braces": "{{",
    "at signs": "@a",
    "angles": "<a",
    "lines": "\n",
    "control": "\x1b[",
    "act": "/act/",
    "wide": "\u6f22",
}


def awkward(part: str, end: str = "!") -> str:
    """Return a text of that part."""
    return (part * (SIZE // len(part) + 1))[:SIZE] + end


def seconds(action: Callable[[], Any]) -> float:
    """Return the least time of the interpreter of three calls."""
    taken = []
    for _ in range(3):
        began = time.thread_time()
        action()
        taken.append(time.thread_time() - began)
        if taken[-1] < MOST_SECONDS:
            break
    return min(taken)


TEXTS: dict[str, Callable[[str], Any]] = {
    "a line of the log": redact.text,
    "a field of the log": lambda text: redact.value({text[:SIZE]: [text]}),
    "a line for people": lambda text: sanitize.one_line(text, 10**9),
    "Slack": escaping.as_slack,
    "a matcher's value": lambda text: matches({"name": "*a*b*c*d"}, {"name": text}),
}


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
@pytest.mark.parametrize("entry", TEXTS.values(), ids=TEXTS)
def test_functions_of_text_are_linear(entry: Callable[[str], Any], part: str) -> None:
    """With and without an end that makes a pattern fail at the last moment."""
    for end in ("", "!", ' x"'):
        assert seconds(lambda: entry(awkward(part, end))) < MOST_SECONDS  # noqa: B023 - called at once


def test_requests_are_linear_in_what_they_say(api: Api) -> None:
    """Without a key or with one: path, query, headers, bodies and what stands in them."""
    for part_name, part in PARTS.items():
        for name, ask in _requests(api, awkward(part, "")).items():
            assert seconds(ask) < MOST_SECONDS, (part_name, name)


def _requests(api: Api, text: str) -> dict[str, Callable[[], Any]]:
    quoted = quote(text)[:SIZE]
    header = text.replace("\n", "").encode("latin-1", "replace").decode("latin-1")
    client = api.app.test_client()
    return {
        "path": lambda: client.get(f"/{quoted}"),
        "tail": lambda: client.get(f"/api/v1/servers/{quoted}"),
        "link": lambda: client.get(f"/act/{quoted}"),
        "query": lambda: client.get(f"/api/v1/metrics?{quoted}"),
        "value": lambda: api.get(f"/api/v1/metrics?measurement={quoted}", "reader"),
        "glob": lambda: api.get(f"/api/v1/metrics?measurement=cpu&tag.core={quoted}", "reader"),
        "headers": lambda: client.get(
            "/api/v1/servers",
            headers=dict.fromkeys(("X-API-Key", "Accept", "Origin", "Cookie"), header),
        ),
        "bearer": lambda: client.get("/api/v1/servers", headers={"Authorization": header}),
        "text": lambda: api.post(text.encode()),
        "id": lambda: api.post(api.envelope(server_id=text)),
        "agent": lambda: api.post(api.envelope(agent={"version": text, "stream": text})),
        "facts": lambda: api.post(api.envelope(facts={text: text})),
        "point": lambda: api.post(_with_point(api, text)),
    }


def _with_point(api: Api, text: str) -> dict[str, Any]:
    envelope = api.envelope()
    envelope["samples"][0]["points"] = [
        {"measurement": text, "tags": {"core": text, text: text}, "fields": {text: 1.0}}
    ]
    return envelope
