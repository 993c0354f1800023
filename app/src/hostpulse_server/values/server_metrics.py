"""What the server measures, as data: each measurement with its tags and fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hostpulse_server.values.server_status import STATUSES

if TYPE_CHECKING:
    from collections.abc import Mapping

INTERVAL_SECONDS = 60.0  # of the server's own samples
# the most that journal_hours_left says, and what it says while nothing grows: 30 days
MOST_HOURS = 720.0
# A store that is this little behind keeps up: the journal is emptied as fast as it is filled, and
# what it holds goes up and down between two batches.
KEEPS_UP_SECONDS = 60.0
# growth is looked at over this much time
GROWTH_SECONDS = 600.0


class MetricField(NamedTuple):
    """A field: its unit and what it means."""

    unit: str
    meaning: str


class MetricMeasurement(NamedTuple):
    """A measurement: what it is about, its tags, its fields."""

    summary: str
    tags: Mapping[str, str]
    fields: Mapping[str, MetricField]


_STATUSES = ", ".join(f"{number} {name}" for number, name in enumerate(STATUSES))

CATALOGUE = {
    "server": MetricMeasurement(
        "Each registered host, as the server sees it.",
        {
            "server_id": "the host",
            "env": "its label `env`, if it has one",
            "group": "its label `group`, if it has one",
            "agent_version": "once its agent was heard of",
        },
        {
            "status": MetricField("code", _STATUSES.replace("_", " ")),
            "completeness_percent": MetricField(
                "%", "of the samples taken within raw retention, how many are stored"
            ),
            "completeness_15m_percent": MetricField(
                "%",
                "of the samples taken from 20 to 5 minutes ago, by their numbers, how many are "
                "stored; absent while the host or the store is behind with them",
            ),
            "alerts_firing": MetricField("count", "alerts that fire on it, told or not"),
            "clock_offset_ms": MetricField("ms", "the host's clock minus the server's"),
        },
    ),
    "alert": MetricMeasurement(
        "One point each time an alert begins to fire, changes its severity while it fires, or "
        "ends. Times are the samples'; of several at once on a host they stand a millisecond "
        "apart. A severity that changes has a second point, of the one there was and with nothing "
        "but `change`.",
        {
            "server_id": "the host; absent where the alert belongs to none",
            "rule": "the rule's name",
            "severity": "`info`, `warning` or `critical`; of an end, the last it had",
            "state": "`firing` or `resolved`",
        },
        {
            "value": MetricField("the rule's field's", "what was compared; none for liveness"),
            "threshold": MetricField(
                "the rule's field's", "what it was compared with; none for liveness"
            ),
            "duration_seconds": MetricField("s", "since the condition began to hold"),
            "change": MetricField(
                "count",
                "1 where an alert begins or gets this severity, -1 where it ends or gets another: "
                "the sum is how many of a rule fire on a host with it, which may be several, such "
                "as of its mounts",
            ),
            "late": MetricField(
                "flag", "1 where the alert was over by the time it was found; otherwise absent"
            ),
        },
    ),
    "pipeline": MetricMeasurement(
        "The way of samples from the api into the store.",
        {},
        {
            "requests_per_second": MetricField(
                "1/s", "requests answered, by all processes of the api"
            ),
            "samples_per_second": MetricField("1/s", "samples kept, whole or in part"),
            "rejected_points_per_second": MetricField(
                "1/s", "points and fields rejected; a sample rejected whole counts as one"
            ),
            "journal_bytes": MetricField("bytes", "what entries take in the journal"),
            "journal_hours_left": MetricField(
                "h",
                "until samples are refused, if the journal goes on growing as it did over the last "
                f"{GROWTH_SECONDS / 60:g} min of the store being more than {KEEPS_UP_SECONDS:g} s "
                "behind: up to `journal.max_bytes`, or until the disk is down to "
                f"`journal.min_free_bytes`. Never more than {MOST_HOURS:g}, which also stands for "
                "a journal that does not grow",
            ),
            "store_lag_seconds": MetricField(
                "s", "age of the oldest entry that is not in the store yet"
            ),
            "alerts_lag_seconds": MetricField(
                "s", "age of the oldest entry that no rule was applied to yet"
            ),
            "notifications_waiting": MetricField("count", "notifications that no channel took yet"),
            "quarantine_points": MetricField("count", "points waiting in the quarantine"),
            "rollup_dirty_windows": MetricField(
                "count", "windows to be rolled up or repaired, the current ones among them"
            ),
            "store_write_ms": MetricField(
                "ms", "how long the last write took; none while it fails"
            ),
        },
    ),
    "backup": MetricMeasurement(
        "The last backup of each kind, from `backups/` in the data directory.",
        {"kind": "what was backed up"},
        {
            "age_seconds": MetricField("s", "since it ended"),
            "bytes": MetricField("bytes", "its size"),
            "verified": MetricField("0 or 1", "1 if it was compared with what it was made from"),
        },
    ),
    "certificate": MetricMeasurement(
        "The first certificate in each PEM file that `[site] certificates` names.",
        {
            "name": "the file's name without its ending; with the folder before it where two "
            "files are called the same, and the whole path where that is not enough"
        },
        {"days_left": MetricField("d", "until it is no longer valid; negative from then on")},
    ),
}
