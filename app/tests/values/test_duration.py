"""Durations that people write are read as milliseconds."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostpulse_server.formatting import rule_duration
from hostpulse_server.values.duration import parse_ms


def test_every_unit_has_its_length() -> None:
    """From milliseconds to weeks, in one text."""
    whole = timedelta(weeks=1, days=2, hours=3, minutes=4, seconds=5, milliseconds=6)
    assert parse_ms("1w2d3h4m5s6ms") == whole / timedelta(milliseconds=1)


def test_a_part_may_have_a_fraction() -> None:
    """Of any unit."""
    assert parse_ms("1.5h0.25s") == 5_400_250


@given(st.integers(1, 10**12))
def test_what_is_shown_as_rules_write_it_is_read_again(milliseconds: int) -> None:
    """Nothing is lost on the way."""
    assert parse_ms(rule_duration(milliseconds)) == milliseconds


@pytest.mark.parametrize("text", ["", "5", "m", "-5m", "5 m", "5M", "1e3s", ".5s", "1h 30m", "1y"])
def test_other_texts_are_no_durations(text: str) -> None:
    """Callers say what to write instead."""
    assert parse_ms(text) is None
