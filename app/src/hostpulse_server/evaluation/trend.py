"""The newest values of a host's samples of one layout, for the trend of an alert."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hostpulse_server.evaluation.compiled import CompiledLayout, CompiledRule

DEPTH: Final = 30


class TrendBuffer:
    """A ring of rows in one piece of memory: 2,000 hosts with 40 series each have one each."""

    __slots__ = ("_rows", "_written", "plan", "used")

    def __init__(self, plan: CompiledLayout) -> None:
        self.plan = plan
        self.used = 0
        self._written = 0
        self._rows = bytearray(DEPTH * plan.pack.size)

    def copy(self) -> TrendBuffer:
        """Return an independent copy."""
        other = TrendBuffer(self.plan)
        other.used, other._written, other._rows = self.used, self._written, self._rows[:]
        return other

    def write(self, time_ms: int, values: Sequence[float]) -> None:
        """Keep the values of a sample; one that is missing is not a number."""
        pack = self.plan.pack
        pack.pack_into(self._rows, self._written % DEPTH * pack.size, time_ms, *values)
        self._written += 1

    def read(self, compiled_rule: CompiledRule) -> Iterator[tuple[float, float]]:
        """Yield time and value of what there is of a series, in no order."""
        column = self.plan.index.get(compiled_rule)
        if column is None:
            return
        for number, row in enumerate(self.plan.pack.iter_unpack(self._rows)):
            if number < self._written and row[column + 1] == row[column + 1]:
                yield row[0], row[column + 1]


def trend(buffers: Iterable[TrendBuffer], compiled_rule: CompiledRule) -> tuple[float, ...]:
    """Return the newest values of a series, oldest first."""
    found = sorted(point for buffer in buffers for point in buffer.read(compiled_rule))
    return tuple(value for _, value in found[-DEPTH:])
