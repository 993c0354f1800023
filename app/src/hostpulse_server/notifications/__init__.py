"""Notifications: routes, groups, the outbox, and the threads that drain it."""

from __future__ import annotations

from hostpulse_server.notifications.dispatcher import Dispatcher, DispatchTurn
from hostpulse_server.notifications.workers import ChannelWorkers

__all__ = ["ChannelWorkers", "DispatchTurn", "Dispatcher"]
