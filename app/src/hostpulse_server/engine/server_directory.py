"""The engine's view of the registry, read again when its revision has grown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from hostpulse_server.values.alert import NO_SERVER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hostpulse_server.registry import Registry, Server
    from hostpulse_server.runtime.clock import Clock

LOOK_SECONDS = 1.0

Ended = Literal["disabled", "server_removed"]


@dataclass(slots=True)
class DirectoryChanges:
    """What has changed: servers whose labels are others now, and those that no longer count."""

    relabelled: set[str] = field(default_factory=set)
    ended: dict[str, Ended] = field(default_factory=dict)


class ServerDirectory:
    """Registered servers with their names and labels, at most two seconds old.

    Raises StateUnavailableError from ``turn`` and ``counts`` only.
    """

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._revision = -1
        self._looked = float("-inf")
        self._by_id: dict[str, Server] = {}
        self._news = DirectoryChanges()

    @property
    def servers(self) -> Sequence[Server]:
        """All registered servers, disabled ones too."""
        return list(self._by_id.values())

    def server(self, server_id: str) -> Server | None:
        """Return a registered server."""
        return self._by_id.get(server_id)

    def labels(self, server_id: str) -> Mapping[str, str]:
        """Return a server's labels, none if it is not known."""
        server = self._by_id.get(server_id)
        return server.labels if server else {}

    def name(self, server_id: str) -> str:
        """Return what people call a server; its id if it is not known."""
        server = self._by_id.get(server_id)
        return server.name if server else server_id

    def standing(self, server_id: str) -> Ended | None:
        """Return why a server does not count, ``None`` if it does."""
        if server_id == NO_SERVER:
            return None
        server = self._by_id.get(server_id)
        if server is None:
            return "server_removed"
        return "disabled" if server.disabled else None

    def counts(self, server_id: str) -> bool:
        """Return whether samples of a server are evaluated.

        One that is not known yet, or was disabled, is looked up: it may have just been added.
        """
        if self.standing(server_id) is not None:
            self._look()
        return self.standing(server_id) is None

    def turn(self) -> DirectoryChanges:
        """Look at the registry if it is time; return what has changed since the last call."""
        if self._clock.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = self._clock.monotonic()
            self._look()
        news, self._news = self._news, DirectoryChanges()
        return news

    def _look(self) -> None:
        revision = self._registry.revision()
        if revision == self._revision:
            return
        before, self._by_id = self._by_id, {one.id: one for one in self._registry.servers()}
        self._revision = revision
        for server_id, server in before.items():
            standing = self.standing(server_id)
            if standing is not None:
                if standing == "server_removed" or not server.disabled:
                    self._news.ended[server_id] = standing
            elif self.labels(server_id) != server.labels:
                self._news.relabelled.add(server_id)
