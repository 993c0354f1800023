"""Values of liveness; times are epoch milliseconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Ingest:
    """Whether samples can reach us at all.

    ``since_ms`` is since when that is so without a break, as far as anybody watched; it means
    nothing while ``is_working`` is false. ``is_caught_up``: all that arrived has been read.
    ``reason`` is what is broken ("the journal is full"); empty while it works.
    """

    is_working: bool
    since_ms: int
    is_caught_up: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Probe:
    """What came of asking a host's address at ``at_ms``.

    ``is_answering`` is ``None`` where that is unknown (the name does not resolve, no route
    leads there from here); ``lines`` are what was tried and what came back.
    """

    at_ms: int
    is_answering: bool | None
    lines: tuple[str, ...]


class Prober(Protocol):
    """Asks hosts whether they are there, beside the caller's thread; no method blocks."""

    def ask(self, server_id: str, address: str) -> None:
        """Have a host asked, unless that is under way or was done a moment ago."""
        ...

    def answer(self, server_id: str) -> Probe | None:
        """Return the newest answer, ``None`` before the first."""
        ...

    def forget(self, server_id: str) -> None:
        """Drop what is known of a host: it reports again."""
        ...
