"""What answers mean: taken, later, never."""

from __future__ import annotations

import pytest
from app.tests.channels.conftest import T0

from hostpulse_server.notifications.channels import ChannelError
from hostpulse_server.notifications.channels.responses import ChannelResponse, judge, seconds
from hostpulse_server.notifications.channels.slack import FIXES


def error_of(answer: ChannelResponse) -> ChannelError:
    """Return the error that an answer stands for."""
    with pytest.raises(ChannelError) as caught:
        judge(answer, T0, FIXES)
    return caught.value


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_confirms(status: int) -> None:
    """Whatever the body."""
    judge(ChannelResponse(status, "no_service"), T0, FIXES)


@pytest.mark.parametrize("status", [408, 421, 423, 425, 429, 500, 501, 502, 503, 504, 520, 599])
def test_what_may_pass_is_tried_again(status: int) -> None:
    """Nobody asked to wait."""
    error = error_of(ChannelResponse(status, "busy"))
    assert (error.permanent, error.retry_after) == (False, None)
    assert str(status) in str(error)


@pytest.mark.parametrize(
    "status", [400, 401, 403, 404, 405, 406, 410, 413, 414, 415, 422, 100, 600]
)
def test_what_never_will_go_is_permanent(status: int) -> None:
    """Trying again is useless."""
    assert error_of(ChannelResponse(status, "no", "5")).permanent


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_a_redirect_is_permanent_and_named(status: int) -> None:
    """It says what to do."""
    error = error_of(ChannelResponse(status, "<a href=https://evil.example/>"))
    assert error.permanent
    assert "redirect" in str(error)
    assert "evil" not in str(error)


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("0", 0.0),
        ("30", 30.0),
        (" 2.5 ", 2.5),
        ("86400", 3600.0),
        ("999999999", 3600.0),
        ("Sun, 22 Nov 2026 22:40:30 GMT", 30.0),
        ("Sun, 22 Nov 2026 22:40:30", 30.0),
        ("Sunday, 22-Nov-26 22:40:30 GMT", 30.0),
        ("Sun, 22 Nov 2026 22:39:00 GMT", 0.0),
        ("Sun, 22 Nov 2099 22:39:00 GMT", 3600.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1e9", None),
        ("nan", None),
        ("٣", None),
        ("Sun, 99 Nov 2026 22:40:30 GMT", None),
        ("9" * 400, None),
    ],
)
def test_retry_after_is_read_in_both_forms(header: str, wait: float | None) -> None:
    """Seconds or an HTTP date, bounded; what is neither asks for nothing."""
    assert seconds(header, T0) == wait
    assert error_of(ChannelResponse(429, "", header)).retry_after == wait
    assert error_of(ChannelResponse(503, "", header)).retry_after == wait


@pytest.mark.parametrize("word", sorted(FIXES))
def test_words_of_slack_are_told_with_what_to_do(word: str) -> None:
    """The word and the advice; the advice is not that of the bare status."""
    text = str(error_of(ChannelResponse(404 if word.startswith("no_") else 403, word)))
    assert word in text
    assert FIXES[word] in text


def test_bodies_are_cut_and_cleaned() -> None:
    """A hostile answer can neither fill a log nor forge its lines."""
    text = str(
        error_of(
            ChannelResponse(400, "a\n2026 CRITICAL forged\r\x1b[31m\u202egnp.exe" + "x" * 5000)
        )
    )
    assert len(text) < 300
    assert text.isprintable()
    assert "\u202e" not in text
