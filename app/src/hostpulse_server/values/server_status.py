"""The status of a server: pure arithmetic over when its last sample arrived."""

from __future__ import annotations

from typing import Final, Literal, get_args

Status = Literal["up", "late", "down", "never_seen", "disabled", "conflict"]
STATUSES: Final[tuple[Status, ...]] = get_args(Status)

DEFAULT_INTERVAL_MS: Final = 10_000
CONFLICT_VISIBLE_MS: Final = 300_000


def late_after_ms(interval_ms: int) -> int:
    """Return how long without a sample makes a server late: max(3 x interval, 30 s)."""
    return max(3 * interval_ms, 30_000)


def down_after_ms(interval_ms: int) -> int:
    """Return how long without a sample makes a server down: max(6 x interval, 60 s)."""
    return max(6 * interval_ms, 60_000)


def status_of(
    *,
    disabled: bool,
    conflict_ms: int | None,
    last_ms: int | None,
    interval_ms: int | None,
    now_ms: int,
) -> Status:
    """Return the status at ``now_ms``.

    ``last_ms`` is when the last sample arrived, by this server's clock: a host whose clock is off
    is not down. ``interval_ms`` is the last sample's. A conflict stays visible for five minutes
    after a second machine last tried to use the id.
    """
    if disabled:
        return "disabled"
    if conflict_ms is not None and abs(now_ms - conflict_ms) < CONFLICT_VISIBLE_MS:
        return "conflict"
    if last_ms is None:
        return "never_seen"
    silent_ms = now_ms - last_ms
    interval_ms = interval_ms or DEFAULT_INTERVAL_MS
    if silent_ms >= down_after_ms(interval_ms):
        return "down"
    return "late" if silent_ms >= late_after_ms(interval_ms) else "up"
