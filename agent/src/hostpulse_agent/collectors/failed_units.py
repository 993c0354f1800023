"""Number of failed systemd units, read from systemd as one D-Bus property."""

from __future__ import annotations

from hostpulse_agent import system_bus

_FAILED_UNITS = system_bus.Property(
    service="org.freedesktop.systemd1",
    path="/org/freedesktop/systemd1",
    interface="org.freedesktop.systemd1.Manager",
    name="NFailedUnits",
    kind="u",
)


def count_failed_units(run: str = "/run") -> int | None:
    """Return systemd's ``NFailedUnits``, or None where systemd or its bus is not there.

    Takes at most a few seconds. Raises ``ValueError`` for a malformed reply.
    """
    return system_bus.read(_FAILED_UNITS, run)
