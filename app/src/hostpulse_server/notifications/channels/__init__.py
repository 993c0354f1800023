"""Where notifications go: one file a kind of channel."""

from __future__ import annotations

from hostpulse_server.notifications.channels.base import (
    AlertDetails,
    Channel,
    ChannelError,
    Notification,
)

__all__ = ["AlertDetails", "Channel", "ChannelError", "Notification"]
