"""Where notifications go: one file a kind of channel."""

from __future__ import annotations

from hostpulse_server.channels.base import AlertView, Channel, ChannelError, Notification

__all__ = ["AlertView", "Channel", "ChannelError", "Notification"]
