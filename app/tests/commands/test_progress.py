"""How far a long command is: on stderr, at intervals where nobody watches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hostpulse_server.commands.progress import EVERY_SECONDS, follow

if TYPE_CHECKING:
    from collections.abc import Iterator


class Work:
    """Eight steps on four servers, each of which takes its time."""

    def __init__(self, step_seconds: float) -> None:
        self._step_seconds = step_seconds
        self.now = 0.0

    def steps(self) -> Iterator[str]:
        """Yield what each step was about."""
        for number in range(8):
            self.now += self._step_seconds
            yield f"web-{number // 2 + 1}"


@pytest.mark.parametrize(
    ("step_seconds", "lines"),
    [
        (EVERY_SECONDS / 4, ["backtest: 50 %, at web-2", "backtest: 100 %, at web-4"]),
        (EVERY_SECONDS / 9, []),  # what is quick says nothing
    ],
)
def test_a_line_at_intervals(
    capsys: pytest.CaptureFixture[str], step_seconds: float, lines: list[str]
) -> None:
    """Off a terminal; stdout stays the answer's."""
    work = Work(step_seconds)
    follow(work.steps(), 8, "backtest", monotonic=lambda: work.now)
    found = capsys.readouterr()
    assert (found.err.splitlines(), found.out) == (lines, "")
