"""The interface of channels: notifications in, errors out; times are epoch milliseconds."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from hostpulse_server.errors import HostpulseError

if TYPE_CHECKING:
    from collections.abc import Mapping

# ``update``: the group has grown, an alert of it has become more or less serious, or some of them
# have ended and others still fire; ``resolved``: all of them have ended; ``was``: alerts that were
# over before anybody heard of them; ``notice``: something about hostpulse itself, as text;
# ``flapping``: an alert fires and ends again and again, and that is not notified each time;
# ``steady``: it goes on firing since; ``test``: a test of the channel.
Kind = Literal[
    "firing", "update", "repeat", "resolved", "was", "flapping", "steady", "notice", "test"
]
KINDS: tuple[Kind, ...] = get_args(Kind)


class ChannelError(HostpulseError):
    """A channel did not take a notification.

    ``permanent``: it never will, trying again is useless. ``retry_after``: seconds for which the
    other end asked to be left alone, ``None`` if it did not. ``maybe_taken``: it was sent, and no
    answer said that it was not taken.
    """

    def __init__(
        self,
        message: str,
        *,
        permanent: bool = False,
        retry_after: float | None = None,
        maybe_taken: bool = False,
    ) -> None:
        super().__init__(message)
        self.maybe_taken = maybe_taken
        self.permanent = permanent
        self.retry_after = retry_after


class PartlyRefusedError(ChannelError):
    """Some recipients have the message, ``refused`` (address → answer) never will.

    ``later`` are the addresses for which it is to be tried again.
    """

    def __init__(self, refused: Mapping[str, str], later: tuple[str, ...]) -> None:
        super().__init__("some recipients are refused")
        self.refused = refused
        self.later = later


@dataclass(frozen=True, slots=True)
class AlertDetails:
    """One alert as a message shows it; texts are as they came, each channel escapes its own way.

    ``value`` is what was compared with ``threshold`` last, ``worst`` is the worst since it began;
    ``comparison`` is ``above`` or ``below``, and ``clear`` is where it resolves. All are empty for
    liveness. ``others`` is what else is wrong on the host, a line each.
    ``processes``: ``{"name", "pid", "cpu_percent", "rss_bytes"}`` at the moment it fired.
    ``dedup_key``, if not empty, is that of the alert whose incident this one goes on with.
    ``previous_severity`` is what the channel was notified of before, where it was another one.
    ``flap`` is ``flapping`` for one that changed ``changes`` times within ``changed_within_ms``;
    its ``state`` is ``firing``, also where it ``is_quiet`` at this moment. It is ``steady`` for one
    that flapped and has not changed for so long.
    """

    id: int
    rule: str
    server_id: str
    server_name: str
    severity: str
    state: str  # "firing" or "resolved"
    summary: str
    started_ms: int
    fired_ms: int
    resolved_ms: int | None = None
    reason: str = ""
    value: float | None = None
    threshold: float | None = None
    comparison: str = ""
    measurement: str = ""
    field: str = ""
    tags: Mapping[str, str] = dataclasses.field(default_factory=dict)
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    runbook: str = ""
    dashboard: str = ""
    trend: tuple[float, ...] = ()
    evidence: tuple[str, ...] = ()
    processes: tuple[Mapping[str, Any], ...] = ()
    others: tuple[str, ...] = ()
    acknowledged_by: str = ""
    previous_severity: str = ""
    worst: float | None = None
    clear: float | None = None
    dedup_key: str = ""
    flap: str = ""
    changes: int = 0
    changed_within_ms: int = 0
    is_quiet: bool = False


@dataclass(frozen=True, slots=True)
class Notification:
    """One message. ``alerts`` are what is new in it, the most serious first, at most ``MAX_SHOWN``.

    ``is_partial``: all that is new is that some alerts have ended, and others still fire; then
    ``alerts`` are both. ``number`` counts the messages of an ``incident`` from 1. The counts are of
    the whole group at that moment: ``firing`` and ``resolved`` alerts, and ``servers`` where
    something fires, or did once nothing does. ``environment`` is the label ``env`` that all share,
    else ``""``. ``reason`` is why the whole is over, by the alert whose end says least of a
    recovery. ``act_url`` opens the page where a person acknowledges or
    silences. ``note`` is text for the top: why a message comes this way, a notice, a test.
    """

    kind: Kind
    channel: str
    site: str
    severity: str
    created_ms: int
    incident: str = ""
    number: int = 1
    environment: str = ""
    alerts: tuple[AlertDetails, ...] = ()
    firing: int = 0
    resolved: int = 0
    servers: int = 0
    group: Mapping[str, str] = dataclasses.field(default_factory=dict)
    act_url: str = ""
    note: str = ""
    timezone: str = "UTC"
    is_partial: bool = False
    reason: str = ""
    recipients: tuple[str, ...] = ()  # those of a channel that are left, all where empty

    def to_document(self) -> dict[str, Any]:
        """Return what the outbox keeps, as JSON types."""
        return dataclasses.asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Notification:
        """Read what ``to_document`` made, also after a trip through JSON.

        What a newer version has put in is left out: after a rollback messages still go.
        """
        alerts = tuple(
            AlertDetails(
                **{
                    **_known(AlertDetails, alert),
                    "trend": tuple(alert["trend"]),
                    "evidence": tuple(alert["evidence"]),
                    "processes": tuple(alert["processes"]),
                    "others": tuple(alert["others"]),
                }
            )
            for alert in document["alerts"]
        )
        left = tuple(document.get("recipients", ()))
        return cls(**{**_known(cls, document), "alerts": alerts, "recipients": left})


def _known(kind: type[AlertDetails | Notification], document: Mapping[str, Any]) -> dict[str, Any]:
    names = {one.name for one in dataclasses.fields(kind)}
    return {name: value for name, value in document.items() if name in names}


MAX_SHOWN = 20


class Channel(Protocol):
    """A way to people. ``send`` may be called by one thread at a time."""

    def send(self, notification: Notification, *, message_id: str) -> None:
        """Deliver; return once the other end confirmed. Raises ChannelError.

        ``message_id`` names this message for ever: a repetition after a crash carries the same.
        """
        ...
