"""Under way."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hostpulse_server.clock import Clock


class Poster:
    """Posts to one secret address."""

    def __init__(self, url: str, *, allow_private: bool, clock: Clock) -> None:
        self._url, self._allow_private, self._clock = url, allow_private, clock
