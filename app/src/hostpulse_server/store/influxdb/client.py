"""One InfluxDB spoken to over HTTP: writes of lines, queries to rows, every error one of ours.

influxdb-client brings the requests, its typed parameters and urllib3's connections; it is imported
only where this store is in use, opened at the first use, so always after a fork, and used
synchronously: its batching mode loses points silently (docs/adr/0009-influxdb-client.md).
"""

from __future__ import annotations

import contextlib
import csv
import importlib
import threading
import time
import zlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from hostpulse_server.errors import ConfigError, StoreMisconfiguredError, StoreUnavailableError
from hostpulse_server.store.influxdb import write_errors
from hostpulse_server.store.influxdb.write_errors import ErrorPosition, WriteResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from influxdb_client import InfluxDBClient

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 30.0
_CHUNK_BYTES = 65_536
_GZIP_LEVEL = 1  # level 9, the client's own, takes five times as long for a tenth less
_GZIP_WINDOW = 31  # zlib's for a gzip header


@dataclass(frozen=True)
class ClientSettings:
    """Where an InfluxDB is; ``token`` reads the token, ``token_file`` is what messages call it.

    An answer may take ``seconds``, a query's to its last row.
    """

    url: str
    org: str
    bucket_raw: str
    bucket_rollup: str
    token: Callable[[], str]
    token_file: str = "the token file"  # noqa: S105 - a name for it
    ca_file: str = ""
    seconds: float = ANSWER_SECONDS


class Client:
    """Threads may share it. Methods raise what ``write_errors`` returns."""

    def __init__(self, settings: ClientSettings) -> None:
        # seconds on a busy host: now, when a process starts, not while a caller waits for an answer
        importlib.import_module("influxdb_client")
        self._settings = settings
        self._lock = threading.Lock()
        self._opened: InfluxDBClient | None = None

    def write(self, bucket: str, lines: bytes) -> None:
        """Write line protocol with times in ms, in one request."""
        with self._speaking(bucket, write_errors.of_write) as api:
            from influxdb_client import WriteService  # noqa: PLC0415 - see the module's text

            WriteService(api.api_client).post_write(
                self._settings.org,
                bucket,
                _gzip(lines),
                precision="ms",
                content_encoding="gzip",
                content_type="text/plain; charset=utf-8",
            )

    def rows(
        self, bucket: str, flux: str, params: Mapping[str, Any]
    ) -> Generator[list[str], None, None]:
        """Run a query and yield its CSV's rows as they come, ``datatype`` annotations among them.

        Values go into the query only as ``params``, which the engine gets as typed literals.
        """
        deadline = time.monotonic() + self._settings.seconds
        with self._speaking(bucket, write_errors.of_query) as api:
            from influxdb_client import Dialect  # noqa: PLC0415 - see the module's text

            dialect = Dialect(header=True, annotations=["datatype"])
            response = api.query_api().query_raw(flux, dialect=dialect, params=dict(params))
            try:
                yield from csv.reader(self._lines(response, deadline))
            finally:
                response.close()  # in the middle of an answer this ends the query in the engine

    def retention(self, bucket: str) -> int | None:
        """Return how many seconds a bucket keeps values (0: for ever), ``None`` if none is seen.

        A token sees the buckets that it may read.
        """
        with self._speaking(bucket, write_errors.of_query) as api:
            found = api.buckets_api().find_bucket_by_name(bucket)
        if found is None:
            return None
        return next((int(rule.every_seconds) for rule in found.retention_rules), 0)

    def close(self) -> None:
        """Close all connections; the next use opens new ones, with the token as it is then."""
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    def _lines(self, response: Any, deadline: float) -> Iterator[str]:
        rest = b""
        # read1 returns what is there; stream() would sit out an answer that trickles
        for chunk in iter(partial(response.read1, _CHUNK_BYTES), b""):
            if time.monotonic() > deadline:
                raise StoreUnavailableError(
                    f"the query took more than {self._settings.seconds:g} s; ask for fewer "
                    "series, a shorter time or a longer step"
                )
            whole, newline, rest = (rest + chunk).rpartition(b"\n")
            if newline:
                yield from whole.decode().split("\n")
        if rest:
            yield rest.decode()

    @contextlib.contextmanager
    def _speaking(
        self, bucket: str, judge: Callable[[WriteResponse, ErrorPosition], Exception | None]
    ) -> Iterator[InfluxDBClient]:
        """Yield the client; turn what it raises into errors of ours."""
        settings = self._settings
        place = ErrorPosition(settings.url, settings.org, bucket, settings.token_file)
        api = self._open()
        from influxdb_client.rest import ApiException  # noqa: PLC0415
        from urllib3.exceptions import HTTPError, ReadTimeoutError, SSLError  # noqa: PLC0415

        try:
            yield api
        except ApiException as error:
            if not error.status:  # the client's own sign for a failed handshake
                self.close()
                raise write_errors.of_silence(error, place, certificate=True) from error
            if error.status in (401, 403, 404):
                self.close()  # the token's file may have changed
            found = judge(_answer(error), place)
            raise found or StoreUnavailableError(f"{settings.url}: {error.status}") from error
        except SSLError as error:
            raise write_errors.of_silence(error, place, certificate=True) from error
        except ReadTimeoutError as error:
            raise StoreUnavailableError(
                f"InfluxDB at {settings.url} took more than {settings.seconds:g} s to answer; it "
                "is overloaded, or was asked for too much at once"
            ) from error
        except (HTTPError, OSError) as error:
            raise write_errors.of_silence(error, place) from error

    def _open(self) -> InfluxDBClient:
        with self._lock:
            if self._opened is None:
                try:
                    token = self._settings.token()
                except ConfigError as error:
                    raise StoreMisconfiguredError(str(error)) from error
                from influxdb_client import InfluxDBClient  # noqa: PLC0415

                self._opened = InfluxDBClient(
                    self._settings.url,
                    token,
                    org=self._settings.org,
                    timeout=(int(CONNECT_SECONDS * 1000), int(self._settings.seconds * 1000)),
                    ssl_ca_cert=self._settings.ca_file or None,
                    retries=False,  # who calls decides when to try again
                )
            return self._opened


def _gzip(data: bytes) -> bytes:
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    return packer.compress(data) + packer.flush()


def _answer(error: Any) -> WriteResponse:
    body = error.body or ""
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
    return WriteResponse(int(error.status), text, (error.headers or {}).get("Retry-After"))
