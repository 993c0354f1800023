"""Under way."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hostpulse_server.channels.base import Notification
    from hostpulse_server.channels.rendering import Templates
    from hostpulse_server.config import EmailChannel


class Email:
    """A channel."""

    def __init__(
        self, name: str, settings: EmailChannel, password: str, templates: Templates
    ) -> None:
        self._name, self._settings, self._password = name, settings, password
        self._templates = templates

    def send(self, notification: Notification, *, message_id: str) -> None:
        """Deliver; raises ChannelError."""
        raise NotImplementedError
