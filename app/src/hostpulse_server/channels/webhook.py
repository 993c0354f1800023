"""Under way."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hostpulse_server.channels.base import Notification
    from hostpulse_server.channels.http import Poster
    from hostpulse_server.channels.rendering import Templates


class Webhook:
    """A channel."""

    def __init__(self, name: str, poster: Poster, templates: Templates) -> None:
        self._name, self._poster, self._templates = name, poster, templates

    def send(self, notification: Notification, *, message_id: str) -> None:
        """Deliver; raises ChannelError."""
        raise NotImplementedError
