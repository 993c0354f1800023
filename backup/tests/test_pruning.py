"""Which backups stay: the policy's, and always one to go back to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from hostpulse_backup.pruning import BackupInfo, names_to_keep
from hostpulse_backup.settings import Keep

NOON = datetime(2026, 3, 31, 12, tzinfo=UTC)


def daily(days: int) -> list[BackupInfo]:
    """Return one whole backup a day, the newest first, named by their age."""
    return [BackupInfo(f"{n}", NOON - timedelta(days=n), good=True, raw=False) for n in range(days)]


def test_the_newest_of_each_day_week_and_month_stays() -> None:
    """Two days, two weeks, two months: Tuesday and Monday, last Sunday, last month's last day."""
    assert names_to_keep(daily(60), Keep(2, 2, 2)) == {"0", "1", "2", "31"}


def test_of_several_on_one_day_the_newest_whole_one_stays() -> None:
    """A run that failed in part does not push out the one before it that was whole."""
    early = BackupInfo("early", NOON - timedelta(hours=9), good=True, raw=False)
    whole = BackupInfo("whole", NOON - timedelta(hours=5), good=True, raw=False)
    broken = BackupInfo("broken", NOON, good=False, raw=False)
    assert names_to_keep([early, whole, broken], Keep(7, 0, 0)) == {"whole", "broken"}


def test_the_last_whole_backup_outlives_any_policy() -> None:
    """A month of failed runs leaves the one that helps."""
    failing = [one._replace(good=False) for one in daily(30)]
    whole = BackupInfo("whole", NOON - timedelta(days=40), good=True, raw=False)
    assert "whole" in names_to_keep([*failing, whole], Keep(3, 0, 0))


def test_the_last_one_with_raw_samples_stays() -> None:
    """Raw samples are backed up now and then: the daily ones without do not push them out."""
    with_raw = BackupInfo("raw", NOON - timedelta(days=40), good=True, raw=True)
    assert "raw" in names_to_keep([*daily(30), with_raw], Keep(3, 0, 0))


MADE = st.builds(
    BackupInfo,
    name=st.uuids().map(str),
    at=st.integers(0, 500_000).map(lambda minutes: NOON - timedelta(minutes=minutes)),
    good=st.booleans(),
    raw=st.booleans(),
)


@given(
    st.lists(MADE, unique_by=lambda one: one.at),
    st.builds(Keep, st.integers(0, 9), st.integers(0, 5), st.integers(0, 4)),
)
def test_pruning_twice_is_pruning_once_and_never_takes_all(
    made: list[BackupInfo], keep: Keep
) -> None:
    """What stayed stays: the next run of the same policy finds nothing to do."""
    stay = names_to_keep(made, keep)
    assert bool(stay) == bool(made)
    left = [one for one in made if one.name in stay]
    assert names_to_keep(left, keep) == stay
    if any(one.good for one in made):
        assert any(one.good for one in left)
    assert len(stay) <= keep.daily + keep.weekly + keep.monthly + 3
