"""Signed links of messages, by which a person without a key acknowledges or silences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hostpulse_server.clock import Clock
    from hostpulse_server.config import ServerConfig


@dataclass(frozen=True, slots=True)
class Link:
    """What a link lets its holder act on: the alerts of one incident, told on one channel."""

    incident: str
    channel: str
    expires_ms: int


class Links:
    """Makes and reads links; the key is made, 0600, when it is first needed."""

    def __init__(self, config: ServerConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock

    def url(self, incident: str, channel: str) -> str:
        """Return the address of the page for an incident, ``""`` where no public_url is set."""
        raise NotImplementedError

    def open(self, token: str) -> Link:
        """Read a token; raises LinkError when it is forged or has expired."""
        raise NotImplementedError
