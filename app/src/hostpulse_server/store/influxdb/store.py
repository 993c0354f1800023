"""The production store: InfluxDB 2, one bucket for raw values and one for rollups."""

from __future__ import annotations

import logging
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING

from hostpulse_server.errors import (
    StoreFailedError,
    StoreRejectedError,
    StoreTooLargeError,
    StoreUnavailableError,
)
from hostpulse_server.store.base import OldestTimes
from hostpulse_server.store.influxdb import csv_response, flux, query_plan, rollups
from hostpulse_server.store.influxdb.client import Client, ClientSettings
from hostpulse_server.store.influxdb.lines import Encoder

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from hostpulse_server.store.base import Query, RawQuery, RollupWindow, Series
    from hostpulse_server.values.points import StorePoint

ROLLUP_POINTS = 1000  # a request's: these points have six values for each field

log = logging.getLogger(__name__)


class InfluxdbStore:
    """A ``Store`` in InfluxDB; ``read_only`` leaves writing to another process."""

    def __init__(self, settings: ClientSettings, *, read_only: bool = False) -> None:
        self._settings = settings
        self._read_only = read_only
        self._client = Client(settings)
        self._encoder = Encoder()

    def write(self, points: Sequence[StorePoint]) -> None:
        """Keep ``points`` in one request, in the engine's write-ahead log before this returns."""
        self._require_writer()
        if points:
            self._client.write(self._settings.bucket_raw, self._encoder.encode(points))

    def query(self, query: Query) -> list[Series]:
        """Return the series that match; aggregation happens inside the engine."""
        if query_plan.is_empty(query):
            return []
        try:
            return self._read(query)
        except StoreFailedError:
            # The engine aggregates no text: if another program wrote some, read without it.
            return self._read(query, numbers=True)

    def raw(self, query: RawQuery) -> list[Series]:
        """Return the raw values that match, of one request; texts are none of ours."""
        bucket, params = self._settings.bucket_raw, query_plan.raw_params(query)
        with closing(self._client.rows(bucket, flux.raw(), {**params, "bucket": bucket})) as rows:
            return query_plan.raw_series(query, csv_response.tables(rows))

    def rollup(self, windows: Sequence[RollupWindow], window_ms: int) -> None:
        """Make the rollups of ``windows`` anew; one without raw values keeps what it has.

        A single window keeps what can be read of it, also where a measurement cannot: that raises.
        """
        self._require_writer()
        for group in rollups.groups(windows, window_ms):
            try:
                self._roll_up(group, window_ms)
            except StoreFailedError:
                if len(windows) > 1:  # the caller finds the one at fault
                    raise
                names = self._measurements(group)
                if not names:
                    raise
                self._roll_up_apart(group, window_ms, names)

    def oldest(self) -> OldestTimes:
        """Return nothing: there is nothing for ``expire`` to remove."""
        return OldestTimes(None, None)

    def expire(self, raw_before_ms: int, rollup_before_ms: int) -> bool:  # noqa: ARG002
        """Do nothing: the buckets' own retention removes what is older."""
        return False

    def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        self._client.close()

    def _read(self, query: Query, *, numbers: bool = False) -> list[Series]:
        collector = query_plan.Collector(query)
        for source in query_plan.sources(query):
            bucket = self._settings.bucket_rollup if source.endings else self._settings.bucket_raw
            text, params = query_plan.request(query, source, numbers=numbers)
            with closing(self._client.rows(bucket, text, {**params, "bucket": bucket})) as rows:
                collector.take(source, csv_response.tables(rows))
        return collector.series()

    def _roll_up(self, group: rollups.RollupGroup, window_ms: int, measurement: str = "") -> None:
        """Roll up a group, of one measurement if it is named."""
        text = flux.values(measurement=bool(measurement))
        with closing(self._raw(text, group, measurement=measurement)) as rows:
            points = rollups.points(csv_response.tables(rows), window_ms)
            while some := list(islice(points, ROLLUP_POINTS)):
                self._write_rollups(some)

    def _roll_up_apart(
        self, group: rollups.RollupGroup, window_ms: int, names: Sequence[str]
    ) -> None:
        """Roll up each measurement on its own: one that the engine cannot read costs no other."""
        failures: list[tuple[str, StoreFailedError]] = []
        for name in names:
            try:
                self._roll_up(group, window_ms, name)
            except StoreFailedError as error:
                failures.append((name, error))
        if failures:
            name, first = failures[0]
            more = f" and {len(failures) - 1} more" if len(failures) > 1 else ""
            text = f"measurement {name[:64]!r}{more}: {first}"
            raise StoreFailedError(text, first.retry_after) from first

    def _measurements(self, group: rollups.RollupGroup) -> list[str]:
        with closing(self._raw(flux.measurements(), group)) as rows:
            return list(csv_response.texts(rows))

    def _raw(
        self, text: str, group: rollups.RollupGroup, **params: str
    ) -> Generator[list[str], None, None]:
        """Query the raw values of a group."""
        bucket = self._settings.bucket_raw
        servers = flux.any_of(group.server_ids)
        span = flux.span(group.start_ms, group.end_ms)
        return self._client.rows(
            bucket, text, {"bucket": bucket, "servers": servers, **span, **params}
        )

    def _write_rollups(self, points: Sequence[StorePoint]) -> None:
        try:
            self._client.write(self._settings.bucket_rollup, self._encoder.encode(points))
        except StoreTooLargeError:
            if len(points) == 1:
                raise
            middle = len(points) // 2
            self._write_rollups(points[:middle])
            self._write_rollups(points[middle:])
        except StoreRejectedError as error:
            # Raw values remain, and the points that InfluxDB did take: to stop would not help.
            log.warning("InfluxDB rejected a rollup: %s", error)

    def _require_writer(self) -> None:
        if self._read_only:
            raise StoreUnavailableError(f"{self._settings.url} was opened for reading only")
