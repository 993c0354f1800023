"""What became of a stream's samples in evaluation: judged, passed over, or left out and why.

Numbers are those of the stream. JSON, as it stands in a host's snapshot::

    {"stream": …, "evaluated": n, "first": seq, "last": seq,
     "passed": [[lo, hi], …],          # not judged, though larger numbers were
     "late": [[lo, hi], …],            # those of them that came afterwards
     "left_out": {"late": n, …}}       # samples that came and were not judged
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_STREAMS: Final = 4
MOST_PASSED: Final = 64  # ranges of a stream; the oldest are forgotten first

# late: its gap had been passed over; stream_left: another stream had taken its place; conflict:
# of two streams that alternate, not newer than both; renumbered: its number fitted nothing
LeftOut = Literal["late", "stream_left", "conflict", "renumbered"]


@dataclass(slots=True)
class StreamAccount:
    """The account of one stream; ``first`` is ``None`` before a sample was judged by its number."""

    stream: str
    evaluated: int = 0
    first: int | None = None
    last: int = 0
    passed: list[tuple[int, int]] = field(default_factory=list)
    late: list[tuple[int, int]] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    def judge(self, seq: int) -> None:
        """Count a sample that is judged; the numbers before it that were not are passed over."""
        self.evaluated += 1
        if self.first is None:
            self.first = seq
        elif seq > self.last + 1:
            self.passed = [*self.passed, (self.last + 1, seq - 1)][-MOST_PASSED:]
        self.last = seq

    def leave_out(self, reason: LeftOut) -> None:
        """Count a sample that is not judged."""
        self.left_out[reason] = self.left_out.get(reason, 0) + 1

    def come_late(self, seq: int) -> None:
        """Count a sample of a gap that was passed over; any other is a repetition."""
        if _holds(self.passed, seq) and not _holds(self.late, seq):
            self.late = _with(self.late, seq)[-MOST_PASSED:]
            self.leave_out("late")

    def renumber(self) -> None:
        """Go on with other numbers, of which nothing is known yet."""
        self.first, self.last, self.passed, self.late = None, 0, [], []

    def as_json(self) -> dict[str, Any]:
        """Return it as it is remembered."""
        return {
            "stream": self.stream,
            "evaluated": self.evaluated,
            "first": self.first,
            "last": self.last,
            "passed": self.passed,
            "late": self.late,
            "left_out": self.left_out,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> StreamAccount:
        """Read what was remembered."""
        return cls(
            stream=document["stream"],
            evaluated=document["evaluated"],
            first=document["first"],
            last=document["last"],
            passed=[(lo, hi) for lo, hi in document["passed"]],
            late=[(lo, hi) for lo, hi in document["late"]],
            left_out=dict(document["left_out"]),
        )

    def ranges(self) -> list[tuple[int, int]]:
        """Return the numbers that were judged, as far back as the gaps are remembered."""
        if self.first is None:
            return []
        found, lo = [], self.first
        if len(self.passed) == MOST_PASSED:
            lo = self.passed[0][0]
        for gap_lo, gap_hi in self.passed:
            if lo < gap_lo:
                found.append((lo, gap_lo - 1))
            lo = gap_hi + 1
        return [*found, (lo, self.last)] if lo <= self.last else found


def _holds(ranges: Sequence[tuple[int, int]], seq: int) -> bool:
    return any(lo <= seq <= hi for lo, hi in ranges)


def _with(ranges: Sequence[tuple[int, int]], seq: int) -> list[tuple[int, int]]:
    """Return ranges with a number more, in order, those merged that touch."""
    found: list[tuple[int, int]] = []
    for lo, hi in sorted([*ranges, (seq, seq)]):
        if found and lo == found[-1][1] + 1:
            found[-1] = (found[-1][0], hi)
        else:
            found.append((lo, hi))
    return found


class Accounts:
    """The accounts of a host's streams, the one of the newest sample last."""

    __slots__ = ("_accounts",)

    def __init__(self, accounts: Sequence[StreamAccount] = ()) -> None:
        self._accounts = {one.stream: one for one in accounts}

    def of(self, stream: str) -> StreamAccount:
        """Return the account of a stream, a new one if there is none."""
        found = self._accounts.get(stream)
        if found is None:
            while len(self._accounts) >= MOST_STREAMS:
                del self._accounts[next(iter(self._accounts))]
            found = self._accounts[stream] = StreamAccount(stream)
        return found

    def as_json(self) -> list[dict[str, Any]]:
        """Return them as they are remembered."""
        return [one.as_json() for one in self._accounts.values()]


def accounts_of(document: Mapping[str, Any]) -> list[StreamAccount]:
    """Return the accounts in the snapshot of a host."""
    order = document.get("order") or {}
    return [StreamAccount.from_json(one) for one in order.get("accounts", ())]


def waiting_of(document: Mapping[str, Any]) -> tuple[str, list[int]]:
    """Return the stream that is evaluated, and the numbers that wait behind a gap."""
    order = document.get("order") or {}
    stream = (order.get("position") or [""])[0] or ""
    return stream, [int(seq) for seq, _ in order.get("gap", {}).get("arrived", ())]
