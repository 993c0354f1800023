"""GET /api/v1/metrics as CONTRACT says."""

from __future__ import annotations

from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostpulse_server.api.query_parameters import (
    ParametersError,
    duration_ms,
    parse,
    time_ms,
)
from hostpulse_server.store.base import Budget
from hostpulse_server.store.factory import open_store

if TYPE_CHECKING:
    from app.tests.queries.conftest import QuerySite

NOW = 1_795_387_200_000 + 123_456
T0 = NOW - NOW % 300_000
HOUR = 3_600_000
TOTAL: dict[str, Any] = {"measurement": "cpu", "field": "usage_percent", "tag.core": "total"}


class TestAnswers:
    """What comes back."""

    def test_what_was_sent_is_read_back(self, site: QuerySite) -> None:
        """The shape, with every name where CONTRACT puts it."""
        site.put("web-01", range(T0 + 1234, T0 + 21_234, 10_000))
        body = site.get(**TOTAL).json
        assert body == {
            "resolution": "raw",
            "step_ms": 10_000,
            "series": [
                {
                    "server_id": "web-01",
                    "measurement": "cpu",
                    "field": "usage_percent",
                    "tags": {"core": "total"},
                    "points": [[T0, 0.0], [T0 + 10_000, 1.0]],
                }
            ],
        }

    def test_all_fields_and_series_come_by_default(self, site: QuerySite) -> None:
        """Two servers, two cores, two fields are eight series."""
        for server in ("a", "b"):
            site.put(server, range(T0, T0 + 10_000, 10_000))
        series = site.get(measurement="cpu").json["series"]  # type: ignore[index] # JSON
        assert len(series) == 8

    def test_servers_and_fields_are_repeatable(self, site: QuerySite) -> None:
        """Each value given adds its own."""
        for server in ("a", "b", "c"):
            site.put(server, range(T0, T0 + 10_000, 10_000))
        response = site.get(
            ("server_id", "a"), ("server_id", "c"), ("field", "usage_percent"),
            ("field", "idle_percent"), ("measurement", "cpu"), ("tag.core", "0"),
        )  # fmt: skip
        found = [(one["server_id"], one["field"]) for one in response.json["series"]]  # type: ignore[index] # JSON
        assert sorted(found) == sorted(
            (server, field) for server in "ac" for field in ("usage_percent", "idle_percent")
        )

    def test_labels_choose_servers(self, site: QuerySite) -> None:
        """Labels are the registry's; among server ids they narrow down."""
        for server, env in (("a", "prod"), ("b", "test"), ("c", "prod")):
            site.registry.add({"id": server, "labels": {"env": env}})
            site.put(server, range(T0, T0 + 10_000, 10_000))
        site.clock.ms += 10_000

        def servers(*pairs: tuple[str, str]) -> list[str]:
            body = site.get(*pairs, **TOTAL).json
            return [one["server_id"] for one in body["series"]]  # type: ignore[index] # JSON

        assert servers(("label.env", "prod")) == ["a", "c"]
        assert servers(("label.env", "prod"), ("server_id", "c"), ("server_id", "b")) == ["c"]
        assert servers(("label.env", "prod"), ("label.tier", "x")) == []

    def test_the_history_of_a_removed_server_stays(self, site: QuerySite) -> None:
        """A server that the registry does not hold is still in the store."""
        site.put("gone", range(T0, T0 + 10_000, 10_000))
        assert site.points(server_id="gone", **TOTAL) == [[T0, 0.0]]

    @pytest.mark.parametrize(
        ("aggregate", "value"), [("mean", 2.5), ("min", 0.0), ("max", 5.0), ("last", 5.0)]
    )
    def test_aggregates_over_a_step(self, site: QuerySite, aggregate: str, value: float) -> None:
        """Six samples in a minute."""
        site.put("web-01", range(T0, T0 + 60_000, 10_000))
        assert site.points(step="1m", aggregate=aggregate, **TOTAL) == [[T0, value]]

    def test_the_default_step_follows_the_servers_interval(self, site: QuerySite) -> None:
        """A range of 3 h at 10 s gets 30 s."""
        site.put("web-01", range(T0, T0 + 10_000, 10_000))
        assert site.get(start="-3h", **TOTAL).json["step_ms"] == 30_000  # type: ignore[index] # JSON

    def test_times_may_be_given_in_several_ways(self, site: QuerySite) -> None:
        """Epoch milliseconds, RFC 3339 and relative ask for the same window."""
        site.put("web-01", range(T0 - 600_000, T0, 10_000))
        ways: list[dict[str, Any]] = [
            {"start": T0 - 60_000, "end": T0},
            {"start": "2026-11-22T22:39:00Z", "end": "2026-11-22T23:40:00+01:00"},
            {"start": "2026-11-22t22:39:00z", "end": "2026-11-22t22:40:00.000z"},
            {"start": f"-{(NOW - T0 + 60_000)}ms", "end": f"-{(NOW - T0)}ms"},
        ]
        answers = [site.points(**way, **TOTAL) for way in ways]
        assert len(answers[0]) == 6
        assert answers[0] == answers[1] == answers[2] == answers[3]


class TestResolutions:
    """Raw values, rollups, both."""

    @pytest.fixture(autouse=True)
    def _day(self, site: QuerySite) -> None:
        site.put("web-01", range(T0 - 6 * HOUR, NOW, 10_000))

    def test_rollups_serve_old_windows_and_raw_the_open_one(self, site: QuerySite) -> None:
        """The answer is the same as from raw values alone."""
        body: Any = site.get(start=T0 - 6 * HOUR, end=NOW, step="5m", **TOTAL).json
        assert body["resolution"] == "mixed"
        points = body["series"][0]["points"]
        assert [start for start, _ in points] == list(range(T0 - 6 * HOUR, NOW, 300_000))
        assert points[0][1] == pytest.approx(14.5)
        assert points[-1][1] == pytest.approx((2160 + 2172) / 2)

    def test_ranges_that_are_rolled_up_are_rollup(self, site: QuerySite) -> None:
        """Nothing is read raw."""
        body: Any = site.get(start="-5h", end="-1h", step="10m", **TOTAL).json
        assert body["resolution"] == "rollup"

    def test_fine_steps_are_raw(self, site: QuerySite) -> None:
        """Under the rollup window, inside raw retention."""
        body: Any = site.get(start="-2h", step="1m", **TOTAL).json
        assert body["resolution"] == "raw"

    def test_before_raw_retention_rollups_serve(self, site: QuerySite) -> None:
        """A fine step is raised to the rollup window."""
        site.clock.ms += 7 * 24 * HOUR + HOUR
        with closing(open_store(site.config)) as store:
            while store.expire(NOW + HOUR, 0):
                pass
        body: Any = site.get(start=T0 - HOUR, end=T0, step="10s", **TOTAL).json
        assert (body["resolution"], body["step_ms"]) == ("rollup", 300_000)
        assert len(body["series"][0]["points"]) == 12


class TestRefusals:
    """What is refused, how, and in what words."""

    def refused(
        self, site: QuerySite, *pairs: tuple[str, Any], **values: Any
    ) -> dict[str, list[str]]:
        """Ask and return the errors of a 422."""
        response = site.get(*pairs, **values)
        assert response.status_code == 422, response.text
        assert response.content_type == "application/problem+json"
        errors: dict[str, list[str]] = response.json["errors"]  # type: ignore[index] # JSON
        return errors

    def test_every_fault_is_named_at_once(self, site: QuerySite) -> None:
        """Unknown, missing, malformed and doubled parameters in one answer."""
        errors = self.refused(
            site, ("end", "1"), ("end", "2"),
            stepp="1m", start="yesterday", step="0", aggregate="median",
        )  # fmt: skip
        assert set(errors) == {
            "/measurement", "/stepp", "/start", "/end", "/step", "/aggregate",
        }  # fmt: skip
        assert errors["/stepp"] == ["is not a parameter of this query"]
        assert "required" in errors["/measurement"][0]

    @pytest.mark.parametrize("name", ["label.", "tag.", "tag.server_id", "server", "Field"])
    def test_unknown_parameters_are_named(self, site: QuerySite, name: str) -> None:
        """A misspelt filter must not be an unfiltered answer."""
        assert set(self.refused(site, (name, "x"), measurement="cpu")) == {f"/{name}"}

    def test_a_start_after_the_end_is_refused(self, site: QuerySite) -> None:
        """Also when both are the same."""
        for end in ("-2h", "-1h"):
            errors = self.refused(site, measurement="cpu", start="-1h", end=end)
            assert errors == {"/start": ["must be before end"]}

    def test_too_many_points_name_the_step_that_fits(self, site: QuerySite) -> None:
        """And that step is then accepted."""
        site.put("web-01", range(T0, T0 + 10_000, 10_000))
        errors = self.refused(site, measurement="cpu", start="-2d", step="10s")
        assert errors["/step"][0].endswith("the smallest step that fits is 16s")
        assert site.get(measurement="cpu", start="-2d", step="16s").status_code == 200

    def test_an_answer_of_too_many_values_is_a_422_that_says_what_to_narrow(
        self, site: QuerySite, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Many series, each within its bound; what is asked for less of is answered."""
        site.put("web-01", range(T0, T0 + 40_000, 10_000))  # 4 windows of 2 cores and 2 fields
        monkeypatch.setattr(Budget.__init__, "__defaults__", (15,))
        errors = self.refused(site, measurement="cpu", step="10s")
        narrowed = "ask for fewer servers, fields or tags, a shorter time or a longer step"
        assert errors == {"/step": [f"this is more than 15 values; {narrowed}"]}
        assert len(site.points(**TOTAL, step="10s")) == 4
        assert site.get(measurement="cpu", step="1m").status_code == 200

    @pytest.mark.parametrize("site", ["embedded"], indirect=True)
    def test_a_store_that_is_not_there_is_a_503_with_its_reason(self, site: QuerySite) -> None:
        """Ingest goes on meanwhile; the answer says when to come again."""
        response = site.get(measurement="cpu")
        assert response.status_code == 503
        assert "hostpulse-shipper" in response.json["detail"]  # type: ignore[index] # JSON
        assert int(response.headers["Retry-After"]) >= 1

    def test_books_that_cannot_be_read_are_a_503(self, site: QuerySite) -> None:
        """Without them rollups cannot be told from what is not rolled up."""
        site.config.paths.shipper.write_bytes(b"no database" * 1000)
        response = site.get(measurement="cpu")
        assert response.status_code == 503
        assert "shipper.db" in response.json["detail"]  # type: ignore[index] # JSON

    def test_only_readers_read(self, site: QuerySite) -> None:
        """No key is 401, an agent's key 403, operators and admins are readers too."""
        site.put("web-01", range(T0, T0 + 10_000, 10_000))
        site.registry.add({"id": "web-01"})
        site.key("agent", "web-01")
        assert site.client.get("/api/v1/metrics?measurement=cpu").status_code == 401
        assert site.get(role="agent", measurement="cpu").status_code == 403
        assert site.get(role="operator", measurement="cpu").status_code == 200
        assert site.get(role="admin", measurement="cpu").status_code == 200

    @pytest.mark.parametrize(
        "hostile", ["' OR 1=1 --", '"; DROP TABLE raw; --', "%", "*", "a\x00b", '["web-01"]', "🂡"]
    )
    def test_values_are_values_and_nothing_else(self, site: QuerySite, hostile: str) -> None:
        """Whatever a filter holds, it matches only itself."""
        site.put("web-01", range(T0, T0 + 10_000, 10_000))
        for name in ("server_id", "field", "tag.core", "tag." + hostile, "label.env"):
            response = site.get((name, hostile), measurement="cpu")
            assert response.status_code == 200
            assert response.json["series"] == []  # type: ignore[index] # JSON
        assert len(site.points(**TOTAL)) == 1


class TestParameters:
    """The parser by itself."""

    @given(st.dictionaries(st.text(max_size=12), st.lists(st.text(max_size=20), min_size=1)))
    def test_any_parameters_are_read_or_refused(self, given_values: dict[str, list[str]]) -> None:
        """No input leads to anything but values or named faults."""
        given_values.setdefault("measurement", ["cpu"])
        faults: set[str] = set()
        try:
            found = parse(given_values, NOW)
        except ParametersError as error:
            faults = set(error.faults)
        else:
            assert found.start_ms < found.end_ms
        assert faults <= {*given_values, "start", "end"}

    @given(st.text() | st.from_regex(r"-?\d{1,30}(\.\d+)?[a-zT:+Z-]*\d*"))
    def test_any_time_is_read_or_refused(self, text: str) -> None:
        """Nothing but ValueError comes out, and no time outside RFC 3339's range."""
        value = 0
        with suppress(ValueError):
            value = time_ms(text, NOW)
        assert 0 <= value < 10**15

    @given(st.integers(0, 253_402_300_799))
    def test_all_three_ways_name_the_same_instant(self, seconds: int) -> None:
        """Epoch milliseconds and RFC 3339 agree to the millisecond."""
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
        assert time_ms(moment.isoformat(), NOW) == time_ms(str(seconds * 1000), NOW)

    @pytest.mark.parametrize(
        ("text", "value"),
        [("250ms", 250), ("10s", 10_000), ("1.5h", 5_400_000), ("7d", 604_800_000), ("0w", 0)],
    )  # fmt: skip
    def test_durations_are_read(self, text: str, value: int) -> None:
        """A number and a unit."""
        assert duration_ms(text) == value

    @pytest.mark.parametrize(
        "text", ["", "5", "m", "-5m", "5 m", "5M", "1e3s", "٣s", "1h30m", f"{10**12}s", "1ns"]
    )
    def test_other_durations_are_refused(self, text: str) -> None:
        """The message shows how to write one."""
        with pytest.raises(ValueError, match="such as"):
            duration_ms(text)

    def test_a_time_without_an_offset_is_refused(self) -> None:
        """Nobody knows which zone is meant."""
        with pytest.raises(ValueError, match="end it with Z"):
            time_ms("2026-11-22T16:39:00", NOW)
