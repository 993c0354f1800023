"""Verdicts on points and samples: a bad one costs itself and nothing else."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostpulse_server.wire import reject_by_clock
from hostpulse_server.wire.points import check_point, check_points
from hostpulse_server.wire.samples import SampleVerdict, check_samples

GOOD: dict[str, Any] = {"measurement": "cpu", "tags": {"core": "total"}, "fields": {"usage": 1.5}}
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True).filter(
    lambda name: name not in {"server_id", "time"}
)
TAG_VALUES = st.text(
    st.characters(blacklist_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=20
).filter(lambda value: not value.endswith("\\"))
POINTS = st.fixed_dictionaries(
    {
        "measurement": NAMES,
        "fields": st.dictionaries(
            NAMES,
            st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(10**30), 10)),
            min_size=1,
            max_size=5,
        ),
    },
    optional={"tags": st.dictionaries(NAMES, TAG_VALUES, max_size=4)},
)
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["measurement", "fields", "tags", "x", "time", "cpu"]), inner
        ),
    ),
    max_leaves=8,
)


def sample(**changes: Any) -> dict[str, Any]:
    """Return a good sample with changes."""
    return {"seq": 1, "time": 1000, "interval_ms": 10_000, "points": [GOOD], **changes}


@given(st.lists(st.one_of(POINTS, ANYTHING), max_size=8))
def test_the_quick_way_and_the_slow_way_agree(points: list[Any]) -> None:
    """Whatever comes: what is kept is exactly what the careful check finds good, twice in a row."""
    expected = [point for point in points if check_point(point) is None]
    for _ in range(2):
        kept, faults = check_points(points)
        assert kept == expected or any(value != value for value in _numbers(expected))  # noqa: PLR0124  # NaN
        assert len(kept) + len(faults) == len(points)


def _numbers(item: Any) -> list[Any]:
    if isinstance(item, dict | list):
        inner = item.values() if isinstance(item, dict) else item
        return [number for part in inner for number in _numbers(part)]
    return [item]


@given(POINTS)
def test_good_points_are_kept(point: dict[str, Any]) -> None:
    """Names, finite numbers and printable tag values are all fine."""
    assert check_point(point) is None


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"fields": {"a": math.nan}}, "a", "not finite"),
        ({"fields": {"a": math.inf}}, "a", "not finite"),
        ({"fields": {"a": 10**400}}, "a", "not finite"),
        ({"fields": {"a": "1"}}, "a", "not a number"),
        ({"fields": {"a": True}}, "a", "not a number"),
        ({"fields": {"a": None}}, "a", "not a number"),
        ({"fields": {"A": 1}}, "A", "not a name"),
        ({"fields": {"time": 1}}, "time", "reserved name"),
        ({"fields": {"server_id": 1}}, "server_id", "reserved name"),
        ({"fields": {}}, None, "fields is not"),
        ({"fields": [1]}, None, "fields is not"),
        ({"fields": {f"f{i}": i for i in range(65)}}, None, "more than 64"),
        ({"tags": {"server_id": "x"}}, "server_id", "reserved name"),
        ({"tags": {"a": ""}}, "a", "1 to 255"),
        ({"tags": {"a": "x" * 256}}, "a", "1 to 255"),
        ({"tags": {"a": "x\n"}}, "a", "control"),
        ({"tags": {"a": "\ud800"}}, "a", "control"),
        ({"tags": {"a": "c:\\"}}, "a", "backslash"),
        ({"tags": {"a": "c:\\ d"}}, "a", "backslash at its end or before a space"),
        ({"tags": {"a": 1}}, "a", "not a text"),
        ({"tags": {"a": ["x"]}}, "a", "not a text"),
        ({"tags": {f"t{i}": "x" for i in range(9)}}, None, "more than 8"),
        ({"tags": []}, None, "tags is not"),
        ({"tags": None}, None, "tags is not"),
        ({"measurement": "Cpu"}, None, "measurement"),
        ({"measurement": 5}, None, "measurement"),
        ({"colour": 1}, None, "unknown key 'colour'"),
    ],
)
def test_a_bad_point_costs_itself_and_says_why(
    changes: dict[str, Any], field: str | None, reason: str
) -> None:
    """The others of its sample are kept."""
    bad = {**GOOD, **changes}
    kept, faults = check_points([GOOD, bad, GOOD])
    assert kept == [GOOD, GOOD]
    ((index, fault),) = faults
    assert (index, fault.field) == (1, field)
    assert reason in fault.reason


def test_a_measurement_called_time_does_not_open_the_door_to_a_field_time() -> None:
    """Names that were seen to be good are remembered; reserved ones never are."""
    assert check_point({"measurement": "time", "fields": {"a": 1}}) is None
    assert check_points([{"measurement": "cpu", "fields": {"time": 1}}])[0] == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"seq": -1}, "seq"),
        ({"seq": True}, "seq"),
        ({"seq": 2**63}, "seq"),
        ({"time": 1.5}, "time"),
        ({"interval_ms": 0}, "interval_ms"),
        ({"points": {}}, "points is not a list"),
        ({"points": [GOOD] * 2001}, "more than 2000 points"),
        ({"mono_ms": "1"}, "mono_ms"),
        ({"dropped": {"spool_full": -1}}, "dropped"),
        ({"dropped": 3}, "dropped"),
        ({"dropped": {"": 1}}, "dropped"),
        ({"dropped": {f"reason_{number}": 1 for number in range(33)}}, "dropped"),
        ({"processes": [1]}, "processes"),
        ({"processes": [{}] * 101}, "more than 100 processes"),
        ({"colour": 1}, "unknown key 'colour'"),
    ],
)
def test_a_bad_sample_costs_itself(changes: dict[str, Any], reason: str) -> None:
    """The entry has no point, and a sample without a usable seq goes by its index."""
    verdict = check_samples([sample(seq=7), sample(**changes)])
    assert [kept["seq"] for kept in verdict.kept] == [7]
    (entry,) = verdict.rejected
    assert entry.point is None
    assert reason in entry.reason
    assert entry.sample == (1 if "seq" in changes else None)


def test_samples_that_are_no_objects_or_lack_a_key_are_told() -> None:
    """Nothing raises."""
    lacking = sample()
    del lacking["interval_ms"]
    verdict = check_samples([3, None, lacking])
    assert [entry.document() for entry in verdict.rejected] == [
        {"seq": None, "sample": 0, "reason": "not an object"},
        {"seq": None, "sample": 1, "reason": "not an object"},
        {"seq": 1, "reason": "interval_ms is missing"},
    ]


def test_a_sample_with_a_bad_point_is_kept_without_it_and_the_request_stays_as_it_was() -> None:
    """What was sent is not changed under the caller's hands."""
    sent = sample(points=[GOOD, {"measurement": "cpu"}])
    verdict = check_samples([sent])
    assert verdict.kept[0]["points"] == [GOOD]
    assert len(sent["points"]) == 2


def test_clocks_that_are_off_cost_the_sample() -> None:
    """Over 5 min ahead or older than raw retention; the sample's entry stands for its points."""
    now, day = 100 * 86_400_000, 86_400_000
    times = [now + 300_000, now + 300_001, now - day, now - day - 1]
    bad = {"measurement": "cpu"}
    verdict = check_samples(
        [sample(seq=seq, time=time, points=[GOOD, bad]) for seq, time in enumerate(times)]
    )
    judged = reject_by_clock(verdict, now, day)
    assert [kept["seq"] for kept in judged.kept] == [0, 2]
    reasons = {(entry.seq, entry.point): entry.reason for entry in judged.rejected}
    assert reasons[1, None] == reasons[3, None] == "clock"
    assert {key for key in reasons if key[0] in {0, 2}} == {(0, 1), (2, 1)}
    untouched = SampleVerdict([sample(time=now)])
    assert reject_by_clock(untouched, now, day) is untouched
    json.dumps([entry.document() for entry in judged.rejected])
