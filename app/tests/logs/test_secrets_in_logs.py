"""No secret reaches a log line, wherever in the record it stands."""

from __future__ import annotations

import io
import json
import logging
import string
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostpulse_server.runtime import logs, redact

if TYPE_CHECKING:
    from collections.abc import Iterator

ALPHANUMERIC = string.ascii_letters + string.digits
SECRETS = st.text(ALPHANUMERIC, min_size=24, max_size=43)
KEYS = st.builds(
    "hp_{}_{}".format,
    st.text(string.ascii_lowercase + string.digits, min_size=12, max_size=12),
    st.text(ALPHANUMERIC, min_size=43, max_size=43),
)
NOISE = st.text(" .,:;/'\"{}[]()=\n\tabcXYZ", max_size=20)
FORMS = [
    "Authorization: Bearer {}",
    "authorization: basic {}",
    "X-API-Key: {}",
    '{{"password": "{}"}}',
    "{{'smtp_password': '{}'}}",
    "password={}&x=1",
    '\\"token\\": \\"{}\\"',
    "https://hooks.slack.com/services/T0/B0/{}",
    "https://chat.example.org/api/webhooks/12/{}",
    "redis://:{}@cache:6379/0",
    "postgresql://user:{}@db/hostpulse",
    "https://user:{}@example.org/",
    "Token {}",
    "webhook_url = '{}'",
]


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Send the logs of this test into a buffer and put everything back afterwards."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level, sys.excepthook, threading.excepthook)
    stream = io.StringIO()
    logs.setup(stream=stream)
    yield stream
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level = before[0], before[1]
    sys.excepthook, threading.excepthook = before[2], before[3]


@given(secret=KEYS, before=NOISE, after=NOISE)
def test_our_keys_go_wherever_they_stand(secret: str, before: str, after: str) -> None:
    """The public id stays so that a line can be followed up; the secret part goes."""
    cleaned = redact.text(f"{before} {secret}{after}")
    assert secret[16:] not in cleaned


@given(secret=SECRETS, form=st.sampled_from(FORMS), before=NOISE, after=NOISE)
def test_what_looks_like_a_secret_goes(secret: str, form: str, before: str, after: str) -> None:
    """Headers, bodies, URLs and assignments, in the middle of any text."""
    assert secret not in redact.text(f"{before} {form.format(secret)} {after}")


@given(secret=st.text(min_size=redact.MIN_LENGTH, max_size=30), before=NOISE, after=NOISE)
def test_a_secret_that_was_read_from_a_file_goes_by_its_value(
    secret: str, before: str, after: str
) -> None:
    """Whatever it looks like, and wherever it turns up."""
    redact.hide(secret)
    try:
        assert redact.HIDDEN in redact.text(before + secret + after)
    finally:
        redact._known.discard(secret)


def test_nothing_else_is_touched() -> None:
    """Lines must stay useful."""
    line = "GET /api/v1/metrics?server_id=web-01&start=-1h 200 in 3.2 ms, 21 points, token bucket"
    assert redact.text(line) == line
    plain = {"ms": 1.5, "ok": True, "none": None, "list": ["a", 2], "key_id": "abc"}
    assert redact.value(plain) == plain


def test_lines_are_json_with_extras_and_traces_and_without_secrets(lines: io.StringIO) -> None:
    """Message, arguments, extras and exception text are all cleaned."""
    key = "hp_" + "a" * 12 + "_" + "S" * 43
    log = logging.getLogger("test")
    logs.request_id.set("request-1")
    try:
        raise ValueError(f"cannot post to https://hooks.slack.com/services/T/B/{'x' * 24}")  # noqa: TRY301  # its text is the subject
    except ValueError:
        log.exception("failed for %s", key, extra={"headers": {"Authorization": f"Bearer {key}"}})
    finally:
        logs.request_id.set(None)
    entry: dict[str, Any] = json.loads(lines.getvalue())
    assert (entry["level"], entry["logger"], entry["request_id"]) == ("ERROR", "test", "request-1")
    assert "ValueError" in entry["exc_info"]
    assert entry["headers"] == {"Authorization": redact.HIDDEN}
    assert "S" * 8 not in lines.getvalue()
    assert "x" * 8 not in lines.getvalue()


def test_uncaught_errors_are_lines_too(lines: io.StringIO) -> None:
    """A thread that dies does not print a bare traceback with what was in its hands."""

    def fail() -> None:
        raise RuntimeError("password=hunter2hunter2")

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    entry = json.loads(lines.getvalue())
    assert (entry["level"], entry["message"]) == ("CRITICAL", "unexpected error")
    assert "hunter2" not in lines.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "server.toml: channels.a.webhook_url: unknown key; known here: webhook_url_file",
        "server.toml: channels.mail.password: must be a text",
    ],
)
def test_an_error_about_a_key_is_no_secret(text: str) -> None:
    """It has to name the fault."""
    assert redact.text(text) == text
