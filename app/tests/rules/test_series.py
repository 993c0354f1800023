"""Series as tests write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostpulse_server.rules.series import MAX_SAMPLES, Missing, Step, parse_series

steps = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(Missing)
runs = st.lists(st.tuples(steps, st.integers(1, 9)), min_size=1, max_size=6)


def written(step: Step) -> str:
    """Return one step as a file holds it."""
    return step.value if isinstance(step, Missing) else repr(step)


@given(runs)
def test_a_series_is_what_was_written(given_runs: list[tuple[Step, int]]) -> None:
    """Values, silence and absence, each so many times."""
    text = " ".join(f"{written(step)}x{times}" for step, times in given_runs)
    assert parse_series(text) == tuple(step for step, times in given_runs for _ in range(times))
    alone = " ".join(written(step) for step, _ in given_runs)
    assert parse_series(alone) == tuple(step for step, _ in given_runs)


@given(st.text(st.sampled_from("0123456789.x_- eE+"), max_size=30))
def test_any_other_text_is_refused_with_a_reason(text: str) -> None:
    """A ValueError and nothing else, however large the numbers in it."""
    try:
        found = parse_series(text)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - either outcome is right
    else:
        assert 0 < len(found) <= MAX_SAMPLES


@pytest.mark.parametrize(
    "text", ["", "90y3", "90x", "90x0", "x3", "1e999", "nan", "1x50001 1x50000"]
)
def test_what_is_no_series_is_refused(text: str) -> None:
    """None of them is taken for something else."""
    with pytest.raises(ValueError, match=r"series|empty|finite|samples"):
        parse_series(text)
