"""What is special about InfluxDB as a store: its answers, its absence, its rights, its windows."""

from __future__ import annotations

import dataclasses
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from app.tests.store.conftest import listening, settings_of
from testbed.influxdb.local import Influxd

from hostpulse_server.errors import (
    ConfigError,
    StoreMisconfiguredError,
    StoreRejectedError,
    StoreTooLargeError,
    StoreUnavailableError,
)
from hostpulse_server.store.base import Query, RollupWindow
from hostpulse_server.store.influxdb import ClientSettings, InfluxdbStore
from hostpulse_server.store.influxdb.self_check import examine
from hostpulse_server.values.points import StorePoint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

T0 = 1_795_387_200_000
WINDOW = 300_000
DAY = 86_400


def point(value: float, time_ms: int = T0, **tags: str) -> StorePoint:
    """Make a point of one field."""
    return StorePoint("web-01", "cpu", tuple(sorted(tags.items())), time_ms, {"a": value})


def values(store: InfluxdbStore, raw_from: int = 0) -> list[tuple[int, float]]:
    """Return the windows of all series of cpu."""
    query = Query(None, "cpu", (), (), T0, T0 + WINDOW, WINDOW, "last", raw_from)
    return [value for series in store.query(query) for value in series.points]


@pytest.fixture
def settings(influxd: Influxd) -> ClientSettings:
    """Give two empty buckets and a token for all of them."""
    return settings_of(influxd)


@pytest.fixture
def store(settings: ClientSettings) -> Iterator[InfluxdbStore]:
    """Give an empty store."""
    with closing(InfluxdbStore(settings)) as made:
        yield made


class TestAnswers:
    """What a real InfluxDB answers becomes the error that says what to do."""

    def test_a_field_of_another_type_is_rejected_and_its_neighbours_are_kept(
        self, influxd: Influxd, settings: ClientSettings, store: InfluxdbStore
    ) -> None:
        """Somebody else wrote a text under our name: 422 partial write."""
        influxd.write(settings.bucket_raw, f'cpu,server_id=web-01 b="text" {T0}')
        with pytest.raises(StoreRejectedError, match="type conflict"):
            store.write([point(1.0), point(2.0, T0 + 1)._replace(fields={"b": 1.0})])
        assert values(store) == [(T0, 1.0)]

    def test_a_point_older_than_the_bucket_keeps_is_rejected(
        self, influxd: Influxd, settings: ClientSettings
    ) -> None:
        """The others of its batch are kept."""
        influxd.bucket("kept_a_day", DAY)
        day = dataclasses.replace(settings, bucket_raw="kept_a_day")
        token = influxd.operator_token
        now = int(time.time()) * 1000
        with closing(InfluxdbStore(dataclasses.replace(day, token=lambda: token))) as store:
            with pytest.raises(StoreRejectedError, match="retention"):
                store.write([point(1.0, now), point(2.0, now - 3 * DAY * 1000)])
            query = Query(None, "cpu", (), (), now - 9 * DAY * 1000, now + 1, 1000, "last")
            assert [len(series.points) for series in store.query(query)] == [1]

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"org": "nobody"}, "organization nobody"),
            ({"bucket_raw": "nowhere"}, "bucket nowhere"),
            ({"token": lambda: "wrong"}, "token in the token file"),
        ],
    )
    def test_a_wrong_setting_is_named(
        self, settings: ClientSettings, change: dict[str, str], words: str
    ) -> None:
        """Writing, reading and rolling up each say which setting it is."""
        with closing(InfluxdbStore(dataclasses.replace(settings, **change))) as store:  # type: ignore[arg-type] # by name
            for use in (
                lambda: store.write([point(1.0)]),
                lambda: values(store),
                lambda: store.rollup([RollupWindow("web-01", T0)], WINDOW),
            ):
                with pytest.raises(StoreMisconfiguredError, match=words):
                    use()

    def test_a_token_without_the_right_is_named(
        self, influxd: Influxd, settings: ClientSettings
    ) -> None:
        """One that may only read cannot write, and the message says where it came from."""
        buckets = influxd.call("GET", f"/api/v2/buckets?name={settings.bucket_raw}")["buckets"]
        token = influxd.token(read=[buckets[0]["id"]])
        reading = dataclasses.replace(settings, token=lambda: token, token_file="query_token")
        with (
            closing(InfluxdbStore(reading)) as store,
            pytest.raises(StoreMisconfiguredError, match="query_token may not write"),
        ):
            store.write([point(1.0)])

    def test_a_token_that_is_replaced_works_without_a_restart(
        self, settings: ClientSettings
    ) -> None:
        """After a refusal the file is read again."""
        tokens = ["ended", settings.token()]
        turning = dataclasses.replace(settings, token=lambda: tokens.pop(0))
        with closing(InfluxdbStore(turning)) as store:
            with pytest.raises(StoreMisconfiguredError):
                store.write([point(1.0)])
            store.write([point(1.0)])
            assert values(store) == [(T0, 1.0)]

    def test_a_token_file_that_is_missing_holds_and_says_so(self, settings: ClientSettings) -> None:
        """The store waits as for any other fault of the configuration."""

        def missing() -> str:
            raise ConfigError("secret file /etc/x: cannot be read")

        with (
            closing(InfluxdbStore(dataclasses.replace(settings, token=missing))) as store,
            pytest.raises(StoreMisconfiguredError, match="/etc/x"),
        ):
            store.write([point(1.0)])

    def test_rollups_too_large_for_one_request_are_halved(
        self, settings: ClientSettings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The single point that is still too large is told about."""
        store = InfluxdbStore(settings)
        taken: list[int] = []

        def write(_bucket: str, lines: bytes) -> None:
            count = lines.count(b"\n") + 1
            if count > 2:
                raise StoreTooLargeError("413")
            taken.append(count)

        monkeypatch.setattr(store._client, "write", write)
        store._write_rollups([point(1.0, T0 + index) for index in range(7)])
        assert sum(taken) == 7

    def test_only_the_writer_writes(self, settings: ClientSettings) -> None:
        """The api's store is for reading."""
        store = InfluxdbStore(settings, read_only=True)
        with pytest.raises(StoreUnavailableError, match="reading only"):
            store.write([])
        with pytest.raises(StoreUnavailableError, match="reading only"):
            store.rollup([], WINDOW)


class TestAbsence:
    """Not there, not answering, not finishing: an error in time, and all is well afterwards."""

    @pytest.mark.integration
    def test_a_stopped_engine_is_unavailable_and_comes_back(self, tmp_path: Path) -> None:
        """The same store object works again after a crash and a restart of InfluxDB."""
        with (
            Influxd.start(tmp_path) as influxd,
            closing(InfluxdbStore(settings_of(influxd))) as ours,
        ):
            ours.write([point(1.0)])
            influxd.kill()
            for use in (lambda: ours.write([point(2.0)]), lambda: values(ours)):
                with pytest.raises(StoreUnavailableError, match="does not answer"):
                    use()
            influxd.resume()
            ours.write([point(3.0, T0 + 1)])
            assert values(ours) == [(T0, 3.0)]

    @pytest.mark.parametrize(
        "said",
        [
            b"",
            b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: 999999\r\n\r\n#default",
        ],
    )
    def test_an_engine_that_hangs_ends_in_a_time_out(
        self, settings: ClientSettings, said: bytes
    ) -> None:
        """Neither a write nor a query waits for ever, before the answer or in the middle of it."""
        with listening(said) as port:
            slow = dataclasses.replace(settings, url=f"http://127.0.0.1:{port}", seconds=0.3)
            with closing(InfluxdbStore(slow)) as store:
                started = time.monotonic()
                with pytest.raises(StoreUnavailableError):
                    values(store)
                assert time.monotonic() - started < 20  # the import of the client is in it
                if not said:
                    with pytest.raises(StoreUnavailableError, match="took more than"):
                        store.write([point(1.0)])

    def test_an_answer_that_trickles_ends_at_the_deadline(self, settings: ClientSettings) -> None:
        """The time-out is for the whole answer, not for each byte of it."""
        with listening(b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n", b"\r\n") as port:
            slow = dataclasses.replace(settings, url=f"http://127.0.0.1:{port}", seconds=0.5)
            started = time.monotonic()
            with (
                closing(InfluxdbStore(slow)) as store,
                pytest.raises(StoreUnavailableError, match="took more than"),
            ):
                values(store)
            assert time.monotonic() - started < 20  # the import of the client is in it

    def test_something_else_at_the_address_is_told_from_influxdb(
        self, settings: ClientSettings
    ) -> None:
        """A web server's 404 is no missing bucket, its 400 no bad point."""
        page = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>"
        with listening(page) as port:
            other = dataclasses.replace(settings, url=f"http://127.0.0.1:{port}")
            with (
                closing(InfluxdbStore(other)) as store,
                pytest.raises(StoreMisconfiguredError, match="as InfluxDB 2 does"),
            ):
                store.write([point(1.0)])


class TestRollups:
    """What only InfluxDB's rollups have."""

    def test_rolling_up_nothing_erases_nothing(
        self, influxd: Influxd, settings: ClientSettings, store: InfluxdbStore
    ) -> None:
        """Raw values are gone, their rollup stays whatever is rolled up anew."""
        store.write([point(10.0)])
        store.rollup([RollupWindow("web-01", T0)], WINDOW)
        influxd.call(
            "POST",
            f"/api/v2/delete?org=hostpulse&bucket={settings.bucket_raw}",
            {"start": "2020-01-01T00:00:00Z", "stop": "2030-01-01T00:00:00Z"},
        )
        store.rollup([RollupWindow("web-01", T0)], WINDOW)
        assert values(store) == []
        assert values(store, raw_from=2 * T0) == [(T0, 10.0)]

    def test_a_rollup_made_again_is_the_same_value_for_value(
        self, influxd: Influxd, settings: ClientSettings, store: InfluxdbStore
    ) -> None:
        """Whether its windows are read one by one or in a row, with others or alone."""
        servers = ("a", "b")
        windows = [RollupWindow(server, T0 + i * WINDOW) for server in servers for i in range(6)]
        store.write(
            [
                point((index * 37 % 101) / 7, T0 + index * 10_000)._replace(server_id=server)
                for server in servers
                for index in range(180)
            ]
        )
        everything = f'from(bucket: "{settings.bucket_rollup}") |> range(start: 0)'
        store.rollup(windows, WINDOW)
        before = influxd.query(everything)
        assert before.count("a_mean") == 12
        for window in reversed(windows):
            store.rollup([window], WINDOW)
        assert untimed(influxd.query(everything)) == untimed(before)

    def test_expiry_is_left_to_the_buckets(self, store: InfluxdbStore) -> None:
        """Nothing is to be done here, at once or later."""
        assert store.expire(T0, T0) is False


class TestExamination:
    """``doctor`` finds what is wrong before the shipper does."""

    @pytest.fixture
    def whole(
        self, influxd: Influxd, request: pytest.FixtureRequest
    ) -> tuple[ClientSettings, ClientSettings]:
        """Give buckets and tokens as the playbook makes them."""
        name = f"examined_{abs(hash(request.node.name))}"
        raw = influxd.bucket(f"{name}_raw", 7 * DAY)
        rollup = influxd.bucket(f"{name}_rollup", 30 * DAY)
        writing = influxd.token(read=[raw], write=[raw, rollup])
        reading = influxd.token(read=[raw, rollup])
        settings = ClientSettings(
            influxd.url, "hostpulse", f"{name}_raw", f"{name}_rollup", lambda: writing, "w_token"
        )
        return settings, dataclasses.replace(settings, token=lambda: reading, token_file="q_token")

    def test_what_is_right_is_told_in_one_line(
        self, whole: tuple[ClientSettings, ClientSettings]
    ) -> None:
        """Address, buckets and how long they keep."""
        text = examine(*whole, 7 * DAY, 30 * DAY)
        assert "_raw 7 d" in text
        assert "_rollup 30 d" in text

    def test_another_retention_is_a_fault(
        self, whole: tuple[ClientSettings, ClientSettings]
    ) -> None:
        """Both sides are named."""
        with pytest.raises(StoreMisconfiguredError, match=r"7 d, \[retention\] says 8 d"):
            examine(*whole, 8 * DAY, 30 * DAY)

    def test_a_token_for_reading_does_not_write(
        self, whole: tuple[ClientSettings, ClientSettings]
    ) -> None:
        """Tokens that were mixed up are found."""
        writer, reader = whole
        with pytest.raises(StoreMisconfiguredError, match="q_token may not write"):
            examine(reader, reader, 7 * DAY, 30 * DAY)
        with pytest.raises(StoreMisconfiguredError, match="w_token may not read"):
            examine(writer, writer, 7 * DAY, 30 * DAY)


def untimed(csv: str) -> list[str]:
    """Return the rows of an answer without the time that it was asked at."""
    return [",".join(row.split(",")[5:]) for row in csv.splitlines()]
