"""Errors that an operator can do something about."""

from __future__ import annotations


class BackupError(Exception):
    """The root: the message says what is wrong and what to do."""


class SettingsError(BackupError):
    """The settings file is missing, unreadable or wrong."""


class DiskSpaceError(BackupError):
    """Too little free disk space; nothing was begun."""


class BusyError(BackupError):
    """Another run of this program works in the same folder."""


class DamagedError(BackupError):
    """A backup is not what its manifest says."""


class RefusedError(BackupError):
    """What was asked would destroy something, or cannot be done here."""


class ServiceError(BackupError):
    """A service did not stop or did not come back."""


class StoreError(BackupError):
    """InfluxDB did not answer, or not as expected."""
