"""Waiting: it ends with what the condition gives, or fails and says what was waited for."""

from __future__ import annotations

from itertools import count

import pytest
from tests.support.polling import wait_until


def test_the_first_true_value_is_returned() -> None:
    """The condition is asked until then, and once more after that by nobody."""
    numbers = count()
    assert wait_until(lambda: number if (number := next(numbers)) > 2 else None, "3", pause=0) == 3
    assert next(numbers) == 4


def test_a_deadline_that_passes_fails_with_what_was_waited_for() -> None:
    """An assertion, which no handler of connection errors takes for one."""
    with pytest.raises(AssertionError, match=r"^waited 0 s in vain: the moon$"):
        wait_until(lambda: False, "the moon", 0.01, pause=0.001)
