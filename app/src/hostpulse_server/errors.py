"""All errors of the server: flat, with one root. Only ``cli.py`` turns them into exits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class HostpulseError(Exception):
    """Root of every expected error of hostpulse-server."""


class ConfigError(HostpulseError):
    """The configuration is wrong; the message lists every fault with file and key."""


class NotJsonError(HostpulseError):
    """A body that is not JSON, or not what its Content-Encoding says (HTTP 400)."""


class IncompleteBodyError(HostpulseError):
    """A body shorter than its Content-Length: the client or the network gave up (HTTP 408)."""


class TooLargeError(HostpulseError):
    """A body over its limit, as sent or inflated (HTTP 413)."""


class UnsupportedMediaError(HostpulseError):
    """A Content-Type or Content-Encoding that is not understood (HTTP 415)."""


class JournalFullError(HostpulseError):
    """The journal is at its byte bound or the disk is at its floor; nothing was kept."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class JournalUnavailableError(HostpulseError):
    """The journal cannot be written (disk full, I/O error, closed); nothing was kept."""


class AuthenticationError(HostpulseError):
    """No key, or one that is not known or revoked (HTTP 401)."""


class PermissionDeniedError(HostpulseError):
    """A known key that may not do this: role, server, address or disabled server (HTTP 403)."""


class MachineConflictError(HostpulseError):
    """Two machines use one server id (HTTP 409)."""


class UnknownServerError(HostpulseError):
    """The registry holds no server of this id."""


class UnknownKeyError(HostpulseError):
    """The registry holds no live key of this id."""


class RegistryError(HostpulseError):
    """A change to the registry was refused; the message names the item and the reason."""


class InvalidItemError(RegistryError):
    """An item given to the registry is wrong; ``errors`` maps JSON pointers to messages (422)."""

    def __init__(self, errors: dict[str, list[str]]) -> None:
        self.errors = errors
        parts = (f"{pointer or '/'}: {text}" for pointer, texts in errors.items() for text in texts)
        super().__init__("; ".join(parts))


class StateUnavailableError(HostpulseError):
    """The state database does not answer (HTTP 503)."""


class SchemaError(HostpulseError):
    """The state database has another schema than this release; the message says what to run."""


class StoreUnavailableError(HostpulseError):
    """The store does not answer; wait and repeat, ingest goes on (HTTP 503 for queries).

    ``retry_after`` is how many seconds the store asked to be left alone, ``None`` if it did not.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StoreFailedError(StoreUnavailableError):
    """The store answered that it failed (5xx): it may be sick, or these points may be at fault."""


class StoreMisconfiguredError(StoreUnavailableError):
    """The store rejects us (401, 403, 404) until an operator does what the message says."""


class StoreTooLargeError(HostpulseError):
    """More points at once than the store takes (413); fewer of the same may go in."""


class StoreRejectedError(HostpulseError):
    """Some or all of these points will never go in; the others of them may have been kept."""


class ShipperStateUnavailableError(HostpulseError):
    """The shipper's own file cannot be written or read; shipping waits, nothing is lost."""


class QuarantineError(HostpulseError):
    """What was asked of the quarantine cannot be done; the message names the rows."""


class AlreadyRunningError(HostpulseError):
    """Another process does this work in this data directory."""


class NotReadyError(HostpulseError):
    """The api does not answer, or says that it cannot take samples in."""


class QueryError(HostpulseError):
    """A query parameter is wrong; ``field`` names it (HTTP 422)."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class CertificateError(HostpulseError):
    """A certificate file cannot be read; the message names the file and what is wrong with it."""


class BackupStatusError(HostpulseError):
    """A file that says how a backup went is wrong; the message names it and what is wrong."""


class RulesError(HostpulseError):
    """Rules files are wrong; ``faults`` are lines as ``FILE:LINE: rule NAME: key: what to do``."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


class LinkError(HostpulseError):
    """A link of a message was not made here, or has expired."""

    def __init__(self, message: str, *, has_expired: bool = False) -> None:
        super().__init__(message)
        self.has_expired = has_expired


class UnknownAlertError(HostpulseError):
    """There is no alert of this id (HTTP 404)."""


class UnknownSilenceError(HostpulseError):
    """There is no silence of this id (HTTP 404)."""


class AlertOverError(HostpulseError):
    """An alert that is over already can be acknowledged no more (HTTP 409)."""
