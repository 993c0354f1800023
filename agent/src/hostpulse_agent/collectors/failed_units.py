"""Failed systemd units, asked over D-Bus: their number and, where there are some, their names."""

from __future__ import annotations

import struct

from hostpulse_agent import system_bus

_SERVICE = "org.freedesktop.systemd1"
_PATH = "/org/freedesktop/systemd1"
_MANAGER = "org.freedesktop.systemd1.Manager"
_FAILED_UNITS = system_bus.Property(
    service=_SERVICE, path=_PATH, interface=_MANAGER, name="NFailedUnits", kind="u"
)
_LIST = system_bus.Method(
    service=_SERVICE,
    path=_PATH,
    interface=_MANAGER,
    name="ListUnitsFiltered",
    signature="as",
    arguments=system_bus.strings(["failed"]),
    reply="a(ssssssouso)",
    largest=1 << 20,
)


def count_failed_units(run: str = "/run") -> int | None:
    """Return systemd's ``NFailedUnits``, or None where systemd or its bus is not there.

    Takes at most a few seconds. Raises ``ValueError`` for a malformed reply.
    """
    return system_bus.read(_FAILED_UNITS, run)


def failed_unit_names(run: str = "/run") -> list[str]:
    """Return the names of failed units, sorted; none where they are not known.

    Takes at most a few seconds.
    """
    try:
        reply = system_bus.call(_LIST, run)
        return [] if reply is None else sorted(_units(reply))
    except (ValueError, struct.error):
        return []


def _units(reply: system_bus.Reply) -> list[str]:
    """Return the first text of each structure of name, five texts, path, number, text, path."""
    (size,) = struct.unpack_from(reply.order + "I", reply.body)
    at, end, found = 8, 8 + size, []
    while at < end:
        at += -at % 8
        name, at = reply.text(at)
        found.append(name)
        for _ in range(6):
            _, at = reply.text(at)
        at += -at % 4 + 4
        for _ in range(2):
            _, at = reply.text(at)
    return found
