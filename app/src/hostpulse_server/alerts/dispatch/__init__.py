"""Who is told what and when: routes, groups, the outbox, and the threads that drain it."""

from __future__ import annotations

from hostpulse_server.alerts.dispatch.dispatcher import Dispatcher, Turn
from hostpulse_server.alerts.dispatch.notifiers import Notifiers

__all__ = ["Dispatcher", "Notifiers", "Turn"]
