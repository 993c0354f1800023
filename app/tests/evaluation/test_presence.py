"""Series that stay away, come back, or come in few of their host's samples."""

from __future__ import annotations

from app.tests.evaluation.watching import (
    MINUTE_MS,
    START_MS,
    STEP_MS,
    Watched,
    above,
    disk,
    rule,
)

from hostpulse_server.evaluation.timeline import Sample


def test_a_series_that_stays_away_for_five_intervals_is_gone() -> None:
    """While its host reports, that is: an unmounted disk is no full disk."""
    watched = Watched.under(rule(above("warning", 80)))
    watched.run([90, 90])
    for _ in range(4):
        watched.add()
    assert watched.news == [(0, "firing", "warning")]
    watched.add()
    assert watched.news[1:] == [(60, "resolved", "warning")]
    assert (watched.conditions[-1].reason, watched.conditions[-1].value) == ("gone", None)
    assert watched.document == {}


def test_a_field_that_stays_away_is_a_series_that_does() -> None:
    """The mount is there, but what the rule looks at is not."""
    watched = Watched.under(rule(above("warning", 80)))
    watched.run([90, 90, None, None, None, None, None])
    assert watched.reported[1:] == [(60, "resolved", "warning")]


def test_what_only_waited_is_dropped_when_its_series_is_gone() -> None:
    """Nobody was told, so nobody is told of an end."""
    watched = Watched.under(rule(above("warning", 80, for_ms=5 * MINUTE_MS)))
    watched.run([90, 90, *[None] * 5])
    assert watched.reported == [(0, "pending", "warning"), (60, "dropped", "warning")]


def test_a_series_that_comes_back_in_time_was_never_away() -> None:
    """Four intervals without it end nothing."""
    watched = Watched.under(rule(above("warning", 80)))
    watched.run([90, 90, None, None, None, None, 90, 90])
    assert watched.news == [(0, "firing", "warning")]


def test_a_series_that_comes_back_after_it_was_gone_starts_anew() -> None:
    """Its clock, too."""
    watched = Watched.under(rule(above("warning", 80, for_ms=20_000)))
    watched.run([90, 90, 90, *[None] * 5, 90, 90, 90])
    assert watched.news == [
        (20, "firing", "warning"),
        (70, "resolved", "warning"),
        (100, "firing", "warning"),
    ]


def test_a_silent_host_keeps_its_alerts() -> None:
    """Away counts in samples of the host: an hour without any takes nothing away."""
    watched = Watched.under(rule(above("warning", 80)))
    watched.run([90, 90])
    watched.add(gap_ms=60 * MINUTE_MS)
    assert watched.news == [(0, "firing", "warning")]
    watched.run([None] * 4)
    assert watched.news[1:] == [(3650, "resolved", "warning")]


def test_a_slow_collector_is_neither_gone_nor_broken() -> None:
    """In every sixth sample, and still five minutes of a run are five minutes."""
    watched = Watched.under(rule(above("warning", 80, for_ms=5 * MINUTE_MS)))
    for number in range(60):
        watched.add(*([disk(90)] if number % 6 == 0 else []))
    assert watched.reported == [(0, "pending", "warning"), (300, "firing", "warning")]


def test_a_series_that_is_missed_is_no_slow_one() -> None:
    """Known to come with every sample, it broke off; only what is not known yet may be slow."""
    watched = Watched.under(rule(above("warning", 80, for_ms=MINUTE_MS)))
    watched.run([90, 90, *[None] * 4, 90, 90, 90, 90])
    assert watched.reported == [(0, "pending", "warning")]
    watched.run([90, 90])  # of the 50 s without it, nothing counts
    assert watched.news == [(110, "firing", "warning")]


def test_a_slow_series_is_gone_after_five_of_its_own_intervals() -> None:
    """Five minutes, where it came once a minute."""
    watched = Watched.under(rule(above("warning", 80, for_ms=MINUTE_MS)))
    for number in range(13):
        watched.add(*([disk(90)] if number % 6 == 0 else []))
    for _ in range(29):
        watched.add()
    assert watched.news == [(60, "firing", "warning")]
    watched.add()
    assert watched.news[1:] == [(420, "resolved", "warning")]


def test_a_series_seen_once_is_gone_after_five_intervals_of_its_host() -> None:
    """If it fires; what only waits does so until it is plain that the series is no slow one."""
    watched = Watched.under(
        rule(above("warning", 80)), rule(above("warning", 80, for_ms=MINUTE_MS), name="waiting")
    )
    watched.add(disk(90))
    for _ in range(5):
        watched.add()
    assert watched.news == [(0, "firing", "warning"), (50, "resolved", "warning")]
    for _ in range(55):
        watched.add()
    assert watched.reported[-1] == (600, "dropped", "warning")
    assert watched.document == {}


def test_a_restart_forgets_no_spacing() -> None:
    """Neither that of a slow series nor how long it has been away."""
    watched = Watched.under(rule(above("warning", 80)))
    for number in range(13 + 20):
        watched.add(
            *([disk(90 if number == 12 else 10)] if number % 6 == 0 and number < 13 else [])
        )
    watched.restart()
    for _ in range(10):
        watched.add()
    assert watched.news == [(120, "firing", "warning"), (420, "resolved", "warning")]


def test_two_mounts_may_come_and_go_by_turns() -> None:
    """More layouts than are known at a time are still evaluated rightly."""
    watched = Watched.under(rule(above("warning", 80, for_ms=40_000)))
    for number in range(40):
        others = [disk(10, f"/mnt/{number % 7}-{one}") for one in range(number % 7)]
        watched.add(*others, disk(90))
    assert watched.news == [(40, "firing", "warning")]


def test_the_order_of_points_does_not_matter() -> None:
    """It only costs time."""
    watched = Watched.under(rule(above("warning", 80, for_ms=20_000)))
    watched.add(disk(90), disk(10, "/srv"))
    watched.add(disk(10, "/srv"), disk(90))
    watched.add(disk(90), disk(10, "/srv"))
    assert [one.identity.tags for one in watched.conditions] == [(("mount", "/"),)] * 2
    assert watched.news == [(20, "firing", "warning")]


def test_a_sample_that_is_repeated_is_skipped() -> None:
    """Without numbers, one of the same time is the same."""
    watched = Watched.under(rule(above("warning", 80)))
    assert watched.add(disk(10))
    assert not watched.add(disk(90), gap_ms=0)
    assert watched.add(disk(10), gap_ms=STEP_MS + 1)
    assert watched.reported == []


def test_origins_have_clocks_of_their_own() -> None:
    """What the server measures about a host comes at its own times."""
    watched = Watched.under(rule(above("warning", 80)))
    watched.run([10, 10])
    sample = Sample(START_MS, MINUTE_MS, [disk(90, "/x")])
    assert watched.evaluator.add("web-01", "internal", sample)
    assert [one.identity.tags for one in watched.collect_changes()] == [(("mount", "/x"),)]
    for _ in range(10):
        watched.add(disk(10))
    assert len(watched.reported) == 1


def test_of_a_series_that_is_twice_in_a_sample_the_last_value_counts() -> None:
    """As in every store; fields that only the first has are kept."""
    watched = Watched.under(
        rule(above("warning", 80)), rule(above("warning", 80), name="inodes", field="inodes")
    )
    watched.add(disk(99, inodes=99), disk(10))
    watched.add(disk(10, inodes=99), disk(99))
    assert [(one.identity.rule, one.at_ms - START_MS) for one in watched.conditions] == [
        ("inodes", 0),
        ("disk_usage", 10_000),
    ]


def test_points_may_have_no_tags_at_all() -> None:
    """None, an empty object and none written are the same."""
    watched = Watched.under(rule(above("warning", 80, for_ms=20_000)))
    empty: tuple[dict[str, object], ...] = ({}, {"tags": {}}, {"tags": None})
    for tags in empty:
        watched.add({"measurement": "disk", "fields": {"used_percent": 90}, **tags})
    assert watched.news == [(20, "firing", "warning")]
