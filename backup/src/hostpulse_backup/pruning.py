"""The retention policy. Pure: dates in, names out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from hostpulse_backup.settings import Keep


class BackupInfo(NamedTuple):
    """A backup: when it was made (UTC), whether it is complete, whether it has raw samples."""

    name: str
    at: datetime
    good: bool
    raw: bool


def names_to_keep(backups: Sequence[BackupInfo], keep: Keep) -> set[str]:
    """Return the names of the backups to keep.

    Of each of the last so many days, weeks and months that have any, one stays: the newest whole
    one, or the newest. Whatever the policy, the newest whole backup stays, and the newest whole one
    with raw samples, and the newest of all.
    """
    newest_first = sorted(backups, key=lambda one: one.at, reverse=True)
    names = _newest_of_each(newest_first, keep.daily, lambda at: at.strftime("%Y-%m-%d"))
    names |= _newest_of_each(newest_first, keep.weekly, lambda at: at.strftime("%G-%V"))
    names |= _newest_of_each(newest_first, keep.monthly, lambda at: at.strftime("%Y-%m"))
    names |= {one.name for one in newest_first[:1]}
    names |= {one.name for one in [one for one in newest_first if one.good][:1]}
    return names | {one.name for one in [one for one in newest_first if one.good and one.raw][:1]}


def _newest_of_each(
    newest_first: Sequence[BackupInfo], count: int, period: Callable[[datetime], str]
) -> set[str]:
    best: dict[str, BackupInfo] = {}
    for one in newest_first:
        found = best.setdefault(period(one.at), one)
        if one.good and not found.good:
            best[period(one.at)] = one
    return {one.name for one in list(best.values())[:count]}
