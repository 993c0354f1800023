"""Bodies and envelopes: hostile bytes end in an error of ours, never in a crash."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from hostpulse_server.errors import NotJsonError, TooLargeError
from hostpulse_server.wire import inflate, parse, read_envelope

AGENT = {"version": "0.1.0", "stream": "12345678-1234-1234-1234-123456789abc"}
POINT = {"measurement": "cpu", "fields": {"usage_percent": 1}}
SAMPLE = {"seq": 1, "time": 1, "interval_ms": 10_000, "points": [POINT]}
PACKED = gzip.compress(b"abc", mtime=0)  # the same bytes in each process: they name the test


def document(**changes: Any) -> dict[str, Any]:
    """Return a good envelope with changes."""
    return {"schema": 1, "server_id": "web-01", "agent": AGENT, "samples": [SAMPLE], **changes}


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_refused(body: bytes) -> None:
    """No other exception leaves."""
    try:
        parse(body)
    except NotJsonError:
        return


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        "{}".encode("utf-16"),
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b"1" * 5000,
        b'["\\ud800"]',
        b'{"\\uDFFF": 1}',
        b'[["a\\u0000b"]]',
    ],
)
def test_what_cannot_be_kept_is_not_json(body: bytes) -> None:
    """Cut off, another encoding, too deep, too long a number, texts no database takes."""
    with pytest.raises(NotJsonError):
        parse(body)


@pytest.mark.parametrize(
    "shape", [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]"), ('["]}",{"a":', "}]")]
)
def test_the_depth_of_a_body_is_bounded(shape: tuple[str, str]) -> None:
    """At 64, whatever stands in texts: far below what Python reads."""
    begin, end = shape
    levels = sum(begin.count(one) for one in "[{")
    for depth, is_fine in ((64, True), (66, False), (900, False)):
        count = depth // levels
        body = (begin * count + "1" + end * count).encode()
        if is_fine:
            parse(body)
        else:
            with pytest.raises(NotJsonError, match="64 deep"):
                parse(body)


def test_brackets_in_texts_are_no_depth() -> None:
    """A process may be called anything."""
    assert parse(b'["' + b"[{" * 500 + b'"]') == ["[{" * 500]


def test_escapes_that_are_fine_stay_fine() -> None:
    """A whole surrogate pair is one character."""
    assert parse(b'["\\ud83d\\ude00", "\\u00e9", {"a": "\\\\ud800"}]')[0] == "\U0001f600"


def test_a_bomb_is_never_inflated() -> None:
    """500 MB of zeros arrive as half a megabyte; memory stays near the limit."""
    packer = zlib.compressobj(9, wbits=31)
    block = bytes(10**6)
    bomb = b"".join(packer.compress(block) for _ in range(500)) + packer.flush()
    assert len(bomb) < 600_000
    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError):
            inflate(bomb, 8 * 2**20)
        assert tracemalloc.get_traced_memory()[1] < 32 * 2**20
    finally:
        tracemalloc.stop()


def test_gzip_is_taken_up_to_the_limit_and_no_further() -> None:
    """One byte decides."""
    assert inflate(gzip.compress(b"x" * 100), 100) == b"x" * 100
    with pytest.raises(TooLargeError):
        inflate(gzip.compress(b"x" * 101), 100)


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", PACKED[:-3], PACKED + b"x", gzip.compress(b"", mtime=0) * 2],
)
def test_damaged_gzip_is_refused(body: bytes) -> None:
    """Empty, not gzip, cut off, followed by more."""
    with pytest.raises(NotJsonError):
        inflate(body, 1000)


def test_a_good_envelope_is_read_the_same_twice() -> None:
    """The second time its header is known."""
    for _ in range(2):
        envelope = read_envelope(document(sent_at=5))
        assert (envelope.server_id, envelope.sent_at) == ("web-01", 5)
        assert envelope.agent == AGENT
        assert envelope.verdict.kept == [SAMPLE]


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"schema": 2}, "schema"),
        ({"schema": True}, "schema"),
        ({"schema": 1.0}, "schema"),
        ({"server_id": "Web-01"}, "server_id"),
        ({"server_id": 3}, "server_id"),
        ({"sent_at": "now"}, "sent_at"),
        ({"sent_at": -1}, "sent_at"),
        ({"sent_at": 2**60}, "sent_at"),
        ({"sent_at": True}, "sent_at"),
        ({"agent": {"version": "1"}}, "agent"),
        ({"agent": {**AGENT, "stream": "x"}}, "agent"),
        ({"agent": {**AGENT, "stream": AGENT["stream"] + "\n"}}, "agent"),
        ({"server_id": "web-01\n"}, "server_id"),
        ({"agent": {**AGENT, "machine": "x"}}, "agent"),
        ({"agent": {**AGENT, "colour": "x"}}, "agent"),
        ({"agent": 5}, "agent"),
        ({"samples": {}}, "samples"),
        ({"samples": [SAMPLE] * 101}, "samples"),
        ({"samples": []}, "samples"),
        ({"samples": None}, "samples"),
        ({"colour": 1}, "colour"),
        ({"events": [{"kind": "Bad Kind"}]}, "events"),
        ({"facts": []}, "facts"),
        ({"facts": {"a": float("nan")}}, "facts"),
        ({"facts": {"a": "x" * 70_000}}, "facts"),
        ({"ext": 3}, "ext"),
        ({"ext": {"names": ["x" * 16_384]}}, "ext"),
        ({"ext": {"a": [[[[[[[[]]]]]]]]}}, "ext"),
        ({"ext": {"a": float("inf")}}, "ext"),
    ],
)
def test_a_wrong_envelope_names_the_place_before_and_after_its_like_was_seen(
    changes: dict[str, Any], where: str
) -> None:
    """What is remembered of good headers never lets a bad one in."""
    read_envelope(document())
    with pytest.raises(ValidationError) as caught:
        read_envelope(document(**changes))
    assert where in str(caught.value.messages)


def test_an_envelope_that_is_no_object_is_refused() -> None:
    """A list or a number is JSON, but no envelope."""
    everything: tuple[Any, ...] = ([], 3, None, "x")
    for wrong in everything:
        with pytest.raises(ValidationError):
            read_envelope(wrong)


def test_events_or_facts_may_come_without_samples() -> None:
    """A stopping agent has nothing else to say."""
    envelope = read_envelope(
        document(samples=[], events=[{"kind": "stopping", "reason": "remove"}])
    )
    assert envelope.events == [{"kind": "stopping", "reason": "remove"}]
    assert read_envelope(document(samples=[], facts={"os": "Debian"})).facts == {"os": "Debian"}


def test_ext_is_ignored_whatever_it_holds() -> None:
    """Room for additions until schema 2; it is kept with the samples."""
    body = json.dumps(document(ext={"probe": [1, {"a": None}]})).encode()
    envelope = read_envelope(parse(body))
    assert envelope.verdict.kept == [SAMPLE]
    assert envelope.ext == {"probe": [1, {"a": None}]}
