"""Value types of alerts: severities, identities, conditions; times are epoch milliseconds."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostpulse_server.values.points import Tags

Severity = Literal["info", "warning", "critical"]
SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)  # from the least to the most serious

# what evaluation found; an alert that was only pending ends as "dropped", without a trace
Phase = Literal["pending", "firing", "resolved", "dropped"]
# why a firing alert ended
Reason = Literal[
    "cleared", "gone", "revised", "rule_changed", "disabled", "rule_removed", "server_removed"
]
# ends that people make, at the time of the clock; samples make the others, at their own times
BY_PEOPLE: Final = frozenset({"disabled", "rule_removed", "server_removed"})
# ends that prove no recovery; the first says least of what became of it
UNPROVEN: Final = ("gone", "server_removed", "rule_removed", "disabled", "rule_changed")

NO_SERVER: Final = ""  # the server id of what belongs to no host


class AlertIdentity(NamedTuple):
    """What makes two findings the same alert: rule, server and the measurement's tags."""

    rule: str
    server_id: str
    tags: Tags = ()

    @property
    def fingerprint(self) -> str:
        """Return 32 hex digits that represent this identity in the state database."""
        text = json.dumps([self.rule, self.server_id, self.tags], separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:32]


class CurrentValue(NamedTuple):
    """What is compared of a firing alert now, the worst of it so far, and the values before."""

    value: float
    worst: float
    trend: tuple[float, ...] = ()


def worse(direction: str, one: float, other: float) -> float:
    """Return which of two values is farther beyond a threshold ``above`` or ``below``."""
    return min(one, other) if direction == "below" else max(one, other)


@dataclass(frozen=True, slots=True)
class Condition:
    """The state of an alert, when it has changed.

    ``severity`` is the highest level that holds; of a pending one, the highest whose clock runs;
    of an ended one, the last it had. ``value`` is what was compared and ``threshold`` what it was
    compared with, ``None`` where nothing is compared (liveness). ``started_ms`` is when the
    condition began to hold and ``at_ms`` when this phase was entered, both in event time.
    ``trend`` are the values before, oldest first, and ``worst`` is the farthest beyond the
    threshold since the condition began to hold, where that is known. ``text``, if not empty,
    replaces the rule's summary (a liveness verdict), with ``evidence`` as lines of what it rests
    on.

    ``is_late`` marks what was over by the time it was found: a line of history, and no news; an end
    with ``fired_ms`` is then the whole of it, and ``fired_value`` was compared when it fired.
    ``amends_ms`` is when the alert began to fire as
    reported before, where samples that came since tell it otherwise: from ``fired_ms`` on, or not
    at all where the phase is "dropped". ``labels``, if not ``None``, replace those of the server:
    of a network they are its hosts'.
    """

    identity: AlertIdentity
    phase: Phase
    severity: Severity
    value: float | None
    threshold: float | None
    started_ms: int
    at_ms: int
    reason: Reason | Literal[""] = ""
    trend: tuple[float, ...] = ()
    text: str = ""
    evidence: tuple[str, ...] = ()
    facts: Mapping[str, str] | None = None
    is_late: bool = False
    fired_ms: int | None = None
    fired_value: float | None = None
    amends_ms: int | None = None
    labels: Mapping[str, str] | None = None
    worst: float | None = None
