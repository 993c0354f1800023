"""What each answer of a write means; one row an answer."""

from __future__ import annotations

import pytest

from hostpulse_server.errors import (
    HostpulseError,
    StoreFailedError,
    StoreMisconfiguredError,
    StoreRejectedError,
    StoreTooLargeError,
    StoreUnavailableError,
)
from hostpulse_server.store.influxdb.write_errors import (
    ErrorPosition,
    WriteResponse,
    of_query,
    of_silence,
    of_write,
)

PLACE = ErrorPosition("http://db:8086", "ops", "raw", "write_token")


def said(code: str, message: str = "why") -> str:
    """Return an answer's body as InfluxDB writes it."""
    return f'{{"code":"{code}","message":"{message}"}}'


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (
            WriteResponse(400, said("invalid", "unable to parse")),
            StoreRejectedError,
            "unable to parse",
        ),
        (WriteResponse(400, "<html>"), StoreMisconfiguredError, "store.influxdb.url"),
        (WriteResponse(401, said("unauthorized")), StoreMisconfiguredError, "write_token"),
        (
            WriteResponse(403, said("forbidden")),
            StoreMisconfiguredError,
            "may not write to bucket raw",
        ),
        (WriteResponse(404, said("not found")), StoreMisconfiguredError, "playbooks/site.yml"),
        (WriteResponse(405), StoreMisconfiguredError, "as InfluxDB 2 does"),
        (WriteResponse(301), StoreMisconfiguredError, "sends us elsewhere"),
        (WriteResponse(413, said("request too large")), StoreTooLargeError, "size"),
        (
            WriteResponse(422, said("unprocessable entity", "partial")),
            StoreRejectedError,
            "partial",
        ),
        (WriteResponse(429, said("too many requests"), "7"), StoreUnavailableError, "too much"),
        (WriteResponse(500, said("internal error")), StoreFailedError, "its log"),
        (WriteResponse(502, "bad gateway"), StoreUnavailableError, "proxy"),
        (WriteResponse(503, said("unavailable"), "7"), StoreUnavailableError, "not ready"),
        (WriteResponse(504), StoreUnavailableError, "proxy"),
        (WriteResponse(507, "[]"), StoreFailedError, "507"),
    ],
)
def test_every_answer_has_its_meaning(
    answer: WriteResponse, kind: type[HostpulseError], words: str
) -> None:
    """The error's kind decides what the shipper does, its words what an operator does."""
    error = of_write(answer, PLACE)
    assert type(error) is kind
    assert words in str(error)
    if answer.retry_after:
        assert isinstance(error, StoreUnavailableError)
        assert error.retry_after == 7.0


def test_success_is_no_error() -> None:
    """204 is a write's, 200 a query's."""
    assert of_write(WriteResponse(204), PLACE) is None
    assert of_query(WriteResponse(200), PLACE) is None


@pytest.mark.parametrize("header", [None, "", "Wed, 21 Oct 2026 07:28:00 GMT", "-1", "1e9"])
def test_a_retry_after_that_is_no_number_is_left_to_our_own_back_off(header: str | None) -> None:
    """No header can make the shipper wait for ever."""
    error = of_write(WriteResponse(503, "", header), PLACE)
    assert isinstance(error, StoreUnavailableError)
    assert error.retry_after is None


def test_a_query_that_the_engine_cannot_run_is_no_bad_point() -> None:
    """It is ours to repair; nothing goes to quarantine."""
    assert type(of_query(WriteResponse(400, said("invalid")), PLACE)) is StoreFailedError


def test_an_organization_that_is_not_there_is_a_wrong_setting_for_a_query_too() -> None:
    """InfluxDB 2.9 calls it a body that it cannot read."""
    text = "failed to decode request body: organization name 'nobody' not found"
    error = of_query(WriteResponse(400, said("invalid", text)), PLACE)
    assert type(error) is StoreMisconfiguredError
    assert "[store.influxdb]" in str(error)


def test_silence_is_told_from_distrust() -> None:
    """A refused connection waits; a certificate that is not trusted names ca_file."""
    assert type(of_silence(OSError("refused"), PLACE)) is StoreUnavailableError
    error = of_silence(OSError("verify failed"), PLACE, certificate=True)
    assert type(error) is StoreMisconfiguredError
    assert "ca_file" in str(error)


def test_long_and_unprintable_answers_are_cut() -> None:
    """A message stays one line of a log."""
    text = str(of_write(WriteResponse(500, "a\nb\x00" * 1000), PLACE))
    assert len(text) < 500
    assert text.isprintable()
