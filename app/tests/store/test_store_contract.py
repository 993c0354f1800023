"""What every store has to do; runs once a kind of store."""

from __future__ import annotations

import math
import random
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostpulse_server.errors import StoreRejectedError
from hostpulse_server.store.base import Aggregate, Query, RawQuery, RollupWindow
from hostpulse_server.values.points import StorePoint, Tags
from hostpulse_server.wire.points import RESERVED, check_point

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hostpulse_server.store.base import Store

WINDOW = 300_000
T0 = 1_795_387_200_000 - 1_795_387_200_000 % 86_400_000
HOUR = 3_600_000


def cpu(value: float, time_ms: int, server_id: str = "web-01", core: str = "total") -> StorePoint:
    """Make a point of one field."""
    return StorePoint(server_id, "cpu", (("core", core),), time_ms, {"usage_percent": value})


def ask(  # noqa: PLR0913 - a query has this many sides
    store: Store,
    *,
    start: int = T0,
    end: int = T0 + HOUR,
    step: int = 10_000,
    aggregate: Aggregate = "mean",
    raw_from: int = 0,
    server_ids: tuple[str, ...] | None = None,
    fields: tuple[str, ...] = (),
    tags: Tags = (),
    measurement: str = "cpu",
) -> dict[tuple[str, Tags, str], list[tuple[int, float]]]:
    """Query and return (server, tags, field) → points."""
    found = store.query(
        Query(server_ids, measurement, fields, tags, start, end, step, aggregate, raw_from)
    )
    return {(one.server_id, one.tags, one.field): list(one.points) for one in found}


def only(answer: dict[tuple[str, Tags, str], list[tuple[int, float]]]) -> list[tuple[int, float]]:
    """Return the points of the only series."""
    (points,) = answer.values()
    return points


class TestReading:
    """Raw values come back as they went in."""

    def test_a_value_comes_back_in_its_window(self, store: Store) -> None:
        """A sample at 3.4 s answers in the 10 s window that starts at 0."""
        store.write([cpu(12.5, T0 + 3400)])
        assert ask(store) == {("web-01", (("core", "total"),), "usage_percent"): [(T0, 12.5)]}

    def test_writing_again_overwrites(self, store: Store) -> None:
        """One server, series and time hold one value: the last written."""
        store.write([cpu(1.0, T0), cpu(2.0, T0)])
        store.write([cpu(3.0, T0)])
        assert only(ask(store)) == [(T0, 3.0)]

    def test_a_point_with_other_fields_at_one_time_adds_to_it(self, store: Store) -> None:
        """Fields are values of their own: neither write takes the other's away."""
        store.write([StorePoint("a", "system", (), T0, {"load1": 1.0})])
        store.write([StorePoint("a", "system", (), T0, {"load5": 5.0})])
        assert {key[2] for key in ask(store, measurement="system")} == {"load1", "load5"}

    @pytest.mark.parametrize(
        ("aggregate", "value"), [("mean", 4.0), ("min", 1.0), ("max", 9.0), ("last", 2.0)]
    )
    def test_windows_are_aggregated(self, store: Store, aggregate: Aggregate, value: float) -> None:
        """Each aggregate over a window of three samples written out of order."""
        store.write([cpu(2.0, T0 + 50_000), cpu(9.0, T0 + 10_000), cpu(1.0, T0 + 40_000)])
        assert only(ask(store, step=60_000, aggregate=aggregate)) == [(T0, value)]

    def test_empty_windows_are_absent(self, store: Store) -> None:
        """A gap is a gap, not zeros."""
        store.write([cpu(1.0, T0), cpu(2.0, T0 + 30_000)])
        assert only(ask(store)) == [(T0, 1.0), (T0 + 30_000, 2.0)]

    def test_windows_at_the_edges_are_whole(self, store: Store) -> None:
        """A range that cuts windows answers them whole, so that a value does not depend on it."""
        store.write([cpu(1.0, T0 + 1000), cpu(3.0, T0 + 9000), cpu(100.0, T0 + 10_000)])
        assert only(ask(store, start=T0 + 5000, end=T0 + 6000)) == [(T0, 2.0)]

    def test_windows_align_to_the_epoch_whatever_the_step(self, store: Store) -> None:
        """A step of 7 s starts its windows at multiples of 7 s since 1970."""
        store.write([cpu(1.0, T0 + 8000)])
        ((start, _),) = only(ask(store, step=7000))
        assert start % 7000 == 0
        assert start <= T0 + 8000 < start + 7000

    def test_a_year_nobody_wrote_in_is_an_empty_answer(self, store: Store) -> None:
        """Times far from all data cost nothing and find nothing."""
        store.write([cpu(1.0, T0)])
        assert ask(store, start=0, end=HOUR) == {}
        assert only(ask(store, start=0, end=T0 * 2, step=T0)) == [(T0, 1.0)]


class TestSelecting:
    """Servers, fields and tags choose series."""

    @pytest.fixture(autouse=True)
    def _values(self, store: Store) -> None:
        store.write(
            [cpu(1.0, T0, server, core) for server in ("a", "b", "c") for core in ("0", "total")]
            + [StorePoint("a", "memory", (), T0, {"used_bytes": 1.0, "free_bytes": 2.0})]
        )

    def test_servers_are_chosen(self, store: Store) -> None:
        """Only those asked for answer; none asked for is an empty list, not all."""
        assert {key[0] for key in ask(store, server_ids=("a", "c", "nobody"))} == {"a", "c"}
        assert ask(store, server_ids=()) == {}

    def test_fields_are_chosen(self, store: Store) -> None:
        """Only the fields asked for answer."""
        found = ask(store, measurement="memory", fields=("free_bytes", "other"))
        assert [key[2] for key in found] == ["free_bytes"]

    def test_tags_are_chosen(self, store: Store) -> None:
        """Only series whose tag has exactly this value answer."""
        assert {key[1] for key in ask(store, tags=(("core", "0"),))} == {(("core", "0"),)}
        assert ask(store, tags=(("core", "%"),)) == {}

    def test_series_come_in_a_stable_order(self, store: Store) -> None:
        """By server, then tags, then field."""
        assert list(ask(store)) == sorted(ask(store))


class TestRawValues:
    """Every value at its own time, of some fields of several measurements, in one answer."""

    @pytest.fixture(autouse=True)
    def _values(self, store: Store) -> None:
        disk = (("mount", "/"),)
        store.write([cpu(n, T0 + n * 1001, "web-01", core) for n in (2, 1, 0) for core in "10"])
        store.write([cpu(9, T0, "web-02")])
        store.write([StorePoint("", "disk", disk, T0, {"used_percent": 1.0, "hung": 0.0})])
        store.write([StorePoint("web-01", "disk", disk, T0, {"used_percent": 1.0, "hung": 0.0})])
        store.write([StorePoint("web-01", "memory", (), T0, {"hung": 1.0, "used_percent": 1.0})])

    def test_what_is_wanted_comes_in_order(self, store: Store) -> None:
        """By measurement, tags and field; a field of one measurement is not asked of another."""
        wanted = {"disk": {"hung", "used_percent"}, "cpu": ["usage_percent"], "memory": ("hung",)}
        found = store.raw(RawQuery("web-01", wanted, T0, T0 + HOUR))
        points = [(T0, 0.0), (T0 + 1001, 1.0), (T0 + 2002, 2.0)]
        assert [(one.measurement, one.tags, one.field, list(one.points)) for one in found] == [
            ("cpu", (("core", "0"),), "usage_percent", points),
            ("cpu", (("core", "1"),), "usage_percent", points),
            ("disk", (("mount", "/"),), "hung", [(T0, 0.0)]),
            ("disk", (("mount", "/"),), "used_percent", [(T0, 1.0)]),
            ("memory", (), "hung", [(T0, 1.0)]),
        ]
        assert {one.server_id for one in found} == {"web-01"}

    def test_a_range_ends_before_its_end(self, store: Store) -> None:
        """Half open, to the millisecond; also where there is nothing."""
        found = store.raw(RawQuery("web-02", {"cpu": {"usage_percent"}}, T0, T0 + 1))
        assert [list(one.points) for one in found] == [[(T0, 9.0)]]
        assert store.raw(RawQuery("web-02", {"cpu": {"usage_percent"}}, T0 - HOUR, T0)) == []
        assert store.raw(RawQuery("web-02", {"cpu": {"usage_percent"}}, T0 + 1, T0 + HOUR)) == []

    def test_what_is_of_no_server_can_be_read(self, store: Store) -> None:
        """The id of hostpulse itself is empty."""
        (found,) = store.raw(RawQuery("", {"disk": {"hung"}}, T0, T0 + HOUR))
        assert (found.server_id, list(found.points)) == ("", [(T0, 0.0)])


class TestRollups:
    """Rollups say what the raw values say."""

    @pytest.mark.parametrize("aggregate", ["mean", "min", "max", "last"])
    def test_rollups_answer_like_raw_values(self, store: Store, aggregate: Aggregate) -> None:
        """An hour of irregular samples reads the same from either, at a step of 15 min."""
        rng = random.Random(4)  # noqa: S311 - repeatable test data
        times = sorted(rng.sample(range(HOUR), 200))
        store.write([cpu(rng.uniform(0, 100), T0 + time_ms) for time_ms in times])
        store.rollup(
            [RollupWindow("web-01", T0 + start) for start in range(0, HOUR, WINDOW)], WINDOW
        )
        raw = only(ask(store, step=3 * WINDOW, aggregate=aggregate))
        rolled = only(ask(store, step=3 * WINDOW, aggregate=aggregate, raw_from=T0 + HOUR))
        assert [start for start, _ in rolled] == [start for start, _ in raw]
        assert [value for _, value in rolled] == pytest.approx([value for _, value in raw])

    @pytest.mark.parametrize("aggregate", ["mean", "min", "max", "last"])
    def test_a_window_half_rollup_half_raw_joins(self, store: Store, aggregate: Aggregate) -> None:
        """The border may lie inside a window: means join by count, last is the later."""
        values = [float(value % 7) for value in range(90)]
        store.write([cpu(value, T0 + 10_000 * index) for index, value in enumerate(values)])
        store.rollup([RollupWindow("web-01", T0), RollupWindow("web-01", T0 + WINDOW)], WINDOW)
        step = 3 * WINDOW
        mixed = only(ask(store, step=step, aggregate=aggregate, raw_from=T0 + WINDOW))
        raw = only(ask(store, step=step, aggregate=aggregate))
        assert [start for start, _ in mixed] == [T0]
        assert mixed[0][1] == pytest.approx(raw[0][1])

    def test_a_late_sample_repairs_its_rollup(self, store: Store) -> None:
        """Rolling up anew takes in what came late and what was overwritten."""
        window = [RollupWindow("web-01", T0)]
        store.write([cpu(10.0, T0), cpu(30.0, T0 + 20_000)])
        store.rollup(window, WINDOW)
        store.write([cpu(80.0, T0 + 10_000), cpu(0.0, T0)])
        store.rollup(window, WINDOW)
        answer = ask(store, step=WINDOW, raw_from=T0 + HOUR)
        ((start, mean),) = only(answer)
        assert start == T0
        assert mean == pytest.approx(110 / 3)

    def test_a_rollup_is_of_its_server_and_window_only(self, store: Store) -> None:
        """Neighbours in time and other servers stay out."""
        store.write([cpu(1.0, T0 - 1), cpu(2.0, T0), cpu(4.0, T0 + WINDOW), cpu(8.0, T0, "b")])
        store.rollup([RollupWindow("web-01", T0)], WINDOW)
        answer = ask(store, start=T0 - HOUR, step=WINDOW, raw_from=T0 + HOUR)
        assert answer == {("web-01", (("core", "total"),), "usage_percent"): [(T0, 2.0)]}

    def test_what_is_of_no_server_is_rolled_up_too(self, store: Store) -> None:
        """``pipeline``: raw values and rollups answer alike, asked for by name or among all."""
        store.write([StorePoint("", "pipeline", (), T0 + i, {"lag": i}) for i in (1, 2)])
        store.write([cpu(1.0, T0), cpu(2.0, T0, "b")])
        store.rollup([RollupWindow("", T0), RollupWindow("b", T0)], WINDOW)
        for raw_from in (0, T0 + HOUR):
            for asked in (None, ("",), ("", "web-01")):
                answer = ask(
                    store, measurement="pipeline", server_ids=asked, step=WINDOW, raw_from=raw_from
                )
                assert answer == {("", (), "lag"): [(T0, 1.5)]}
        assert {key[0] for key in ask(store, step=WINDOW, raw_from=T0 + HOUR)} == {"b"}

    @pytest.mark.parametrize("window_ms", [60_000, 900_000, 420_000])
    def test_other_lengths_of_window_work(self, store: Store, window_ms: int) -> None:
        """The rollup window is a setting; the store's own layout does not show."""
        start = T0 + 7 * window_ms - (T0 + 7 * window_ms) % window_ms
        times = range(start, start + window_ms, 10_000)
        store.write([cpu(float(index), time_ms) for index, time_ms in enumerate(times)])
        store.rollup([RollupWindow("web-01", start)], window_ms)
        for aggregate, value in (("last", len(times) - 1), ("mean", (len(times) - 1) / 2)):
            answer = ask(
                store,
                start=start,
                end=start + window_ms,
                step=window_ms,
                aggregate=aggregate,  # type: ignore[arg-type] # a literal, through the loop
                raw_from=start + 2 * window_ms,
            )
            ((at, found),) = only(answer)
            assert at == start
            assert found == pytest.approx(value)


class TestRefusing:
    """What cannot be kept is refused whole and in words."""

    @pytest.mark.parametrize("value", [math.nan, 10**400])
    def test_a_value_that_is_no_number_is_refused(self, store: Store, value: float) -> None:
        """Neither it nor its neighbours are kept, and the store goes on."""
        with pytest.raises(StoreRejectedError):
            store.write([cpu(1.0, T0), cpu(value, T0 + 10_000)])
        assert ask(store) == {}
        store.write([cpu(2.0, T0)])
        assert only(ask(store)) == [(T0, 2.0)]

    def test_text_that_is_not_unicode_is_refused(self, store: Store) -> None:
        """Half a surrogate pair can come out of JSON and go into no store."""
        with pytest.raises(StoreRejectedError):
            store.write([cpu(1.0, T0, core="\ud800")])


def legal(text: str) -> bool:
    """Return whether the api lets a tag's value through."""
    return check_point({"measurement": "x", "tags": {"a": text}, "fields": {"b": 1}}) is None


texts = (
    st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=40)
    | st.text(' ,="\'\\/a', min_size=1, max_size=12)
    | st.sampled_from(
        [
            "'; DROP TABLE raw; --", '") |> drop() //', "${measurement}", "%", "[]", '","', "\\n",
            "é", "🂡", "\u00a0", "\ufeff", " ", "#default", "null", "x" * 255, "🂡" * 255, " ," * 127,
        ]
    )
).filter(legal)  # fmt: skip
names = st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True).filter(
    lambda name: name not in RESERVED
) | st.sampled_from(
    ["table", "result", "field", "value", "start", "stop", "error", "default", "a_mean", "or",
     "return", "null", "r", "measurement", "bucket", "host"]
)  # fmt: skip
points = st.builds(
    lambda server, tags, offset, fields: StorePoint(
        server, "", tuple(sorted(tags.items())), T0 + offset, fields
    ),
    st.sampled_from(["a", "b.c", "d-e", ""]),
    st.dictionaries(names, texts, max_size=3),
    st.integers(0, 100),
    st.dictionaries(
        names, st.floats(allow_nan=False, allow_infinity=False), max_size=3, min_size=1
    ),
)
measurements = map("x_{}".format, count())


class TestHostileText:
    """Tags may hold anything that CONTRACT lets through."""

    @settings(
        max_examples=30,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(written=st.lists(points, min_size=1, max_size=12))
    def test_what_was_written_is_what_is_read(
        self, store: Store, written: Sequence[StorePoint]
    ) -> None:
        """Every value comes back once, under its own names, and its tags find it."""
        measurement = next(measurements)
        written = [point._replace(measurement=measurement) for point in written]
        store.write(written)
        wanted: dict[tuple[str, Tags, str], dict[int, float]] = {}
        for server, _, tags, time_ms, fields in written:
            for field, value in fields.items():
                wanted.setdefault((server, tags, field), {})[time_ms] = value
        expected = {key: sorted(values.items()) for key, values in wanted.items()}

        def read(**limits: Any) -> dict[tuple[str, Tags, str], list[tuple[int, float]]]:
            return ask(
                store, end=T0 + 101, step=1, aggregate="last", measurement=measurement, **limits
            )

        assert read() == expected
        server, _, tags, _, fields = written[0]
        name = next(iter(fields))
        assert read(server_ids=(server,), tags=tags, fields=(name, "other")) == {
            key: values
            for key, values in expected.items()
            if key[0] == server and set(tags) <= set(key[1]) and key[2] == name
        }

    @settings(
        max_examples=25,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(server=st.text(), field=st.text(), tag=st.text(), value=st.text())
    def test_a_question_may_hold_any_text(
        self, store: Store, server: str, field: str, tag: str, value: str
    ) -> None:
        """It matches itself or nothing, and is never an error."""
        store.write([cpu(1.0, T0)])
        assert ask(store, server_ids=(server,)) == {}
        assert ask(store, fields=(field,)) == {}
        assert ask(store, tags=((tag, value),)) == {}
        assert ask(store, tags=(("core", value),)) == {}
        assert len(ask(store, server_ids=(server, "web-01"), fields=(field, "usage_percent"))) == 1
