"""Identity of the machine and its boot, and the reason of a stop."""

from __future__ import annotations

import hashlib
import os
import subprocess

MACHINE_ID = "/etc/machine-id"
BOOT_ID = "/proc/sys/kernel/random/boot_id"
REMOVE_MARKER = "removing"
# machine-id(5): the id itself is confidential, so only a keyed hash of it may leave the host.
_SALT = b"hostpulse machine binding v1\0"


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read(128).strip()
    except (OSError, UnicodeDecodeError):
        return ""


def machine_hash(path: str = MACHINE_ID) -> str | None:
    """Hex SHA-256 of the salted machine-id; ``None`` on a machine without one."""
    machine_id = _read(path)
    return hashlib.sha256(_SALT + machine_id.encode()).hexdigest() if machine_id else None


def boot_id(path: str = BOOT_ID) -> str:
    """Return the kernel's id of this boot, empty where there is none."""
    return _read(path)


def stop_reason(spool_directory: str) -> str:
    """Return why the agent stops: ``remove``, ``shutdown`` or ``restart``.

    A removal first creates a file named ``removing`` in the spool's directory.
    """
    if os.path.exists(os.path.join(spool_directory, REMOVE_MARKER)):
        return "remove"
    return "shutdown" if _systemd_state() == "stopping" else "restart"


def _systemd_state() -> str:
    if not os.path.isdir("/run/systemd/system"):
        return ""
    try:
        done = subprocess.run(
            ["systemctl", "is-system-running"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=1,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace").strip()
