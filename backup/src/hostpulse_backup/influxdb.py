"""A minimal InfluxDB client: buckets, counts, sample values."""

from __future__ import annotations

import csv
import http.client
import io
import json
import ssl
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlsplit

from hostpulse_backup.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

TIMEOUT_SECONDS = 300.0
READY_SECONDS = 120.0
SAMPLES = 5
_MAX_SERIES = 2000
_OK = 200
_DENIED = (401, 403)
# Columns of a response that are no tags.
_NON_TAGS = ("", "result", "table", "_start", "_stop", "_time", "_value", "_field", "_measurement")


class Bucket(NamedTuple):
    """A bucket's id, which is also its folder's name, and its retention (0: for ever)."""

    id: str
    retention_seconds: int


class Client:
    """Client of one InfluxDB with one token. Every method raises StoreError."""

    def __init__(self, url: str, org: str, token: str, ca_file: str = "") -> None:
        self._url = urlsplit(url)
        self._org = org
        self._token = token
        self._ca_file = ca_file

    @classmethod
    def with_token_file(cls, url: str, org: str, path: Path, ca_file: str = "") -> Client:
        """Make a client with the token that a file holds."""
        try:
            token = path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise StoreError(
                f"the token {path}: {error.strerror}; run site.yml, which makes it"
            ) from None
        return cls(url, org, token, ca_file)

    def bucket(self, name: str) -> Bucket:
        """Look a bucket up by its name."""
        path = f"/api/v2/buckets?name={quote(name)}&org={quote(self._org)}"
        found = json.loads(self._read("GET", path)).get("buckets", [])
        if not found:
            raise StoreError(f"InfluxDB shows no bucket {name} to the backup token; run site.yml")
        rules = found[0].get("retentionRules") or [{}]
        return Bucket(str(found[0]["id"]), int(rules[0].get("everySeconds", 0)))

    def count(self, bucket: str, until: str) -> int:
        """Return how many values a bucket has before a time (RFC 3339)."""
        rows = self._query(
            f"from(bucket: {flux_string(bucket)}) |> range(start: 0, stop: {until})"
            " |> count() |> group() |> sum()"
        )
        return sum(int(row["_value"]) for row in rows)

    def samples(self, bucket: str, until: str) -> list[dict[str, Any]]:
        """Return some points of a bucket before a time, spread over its series."""
        chosen = []
        for end in ("first", "last"):
            rows = []
            for row in self._query(
                f"from(bucket: {flux_string(bucket)}) |> range(start: 0, stop: {until}) |> {end}()"
            ):
                rows.append(row)
                if len(rows) == _MAX_SERIES:
                    break
            step = max(1, len(rows) // SAMPLES)
            chosen += [_sample(row) for row in rows[::step][:SAMPLES]]
        return chosen

    def value(self, bucket: str, sample: Mapping[str, Any]) -> float | None:
        """Return the value that the bucket has for a sample, ``None`` for nothing."""
        where = {"_measurement": sample["measurement"], "_field": sample["field"], **sample["tags"]}
        tests = " and ".join(
            f"r[{flux_string(name)}] == {flux_string(value)}" for name, value in where.items()
        )
        rows = self._query(
            f"from(bucket: {flux_string(bucket)}) |> range(start: {sample['time']})"
            f" |> filter(fn: (r) => {tests}) |> first()"
        )
        for row in rows:
            if row["_time"] == sample["time"] and set(_sample(row)["tags"]) == set(sample["tags"]):
                return float(row["_value"])
        return None

    def wait(self, alive: Any = lambda: True) -> None:
        """Wait until it is ready, for as long as ``alive()`` is true."""
        deadline = time.monotonic() + READY_SECONDS
        while (problem := self._health_error()) is not None:
            if time.monotonic() > deadline or not alive():
                raise StoreError(f"InfluxDB did not get ready: {problem}")
            time.sleep(0.05)

    def _health_error(self) -> StoreError | None:
        try:
            self._read("GET", "/health")
        except StoreError as error:
            return error
        return None

    def _query(self, flux: str) -> Iterator[dict[str, str]]:
        document = json.dumps({"query": flux, "type": "flux"}).encode()
        header: list[str] = []
        with self._request("POST", f"/api/v2/query?org={quote(self._org)}", document) as response:
            # read as it comes: a caller that has seen enough ends the query
            for row in csv.reader(io.TextIOWrapper(response, encoding="utf-8", newline="")):
                if not row:
                    header = []  # the next table has a header of its own
                elif not header:
                    header = row
                elif header[0] == "error":
                    raise StoreError(f"InfluxDB broke the query off: {row[0]}")
                else:
                    yield dict(zip(header, row))

    def _read(self, method: str, path: str) -> str:
        with self._request(method, path) as response:
            return response.read().decode(errors="replace")

    @contextmanager
    def _request(
        self, method: str, path: str, body: bytes | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        headers = {"Authorization": f"Token {self._token}", "Content-Type": "application/json"}
        try:
            with closing(self._connect()) as connection:
                connection.request(method, path, body, headers)
                response = connection.getresponse()
                if response.status in _DENIED:
                    raise StoreError(
                        f"InfluxDB refuses the backup token ({response.status}); run site.yml"
                    )
                if response.status != _OK:
                    message = response.read().decode(errors="replace")[:300].strip()
                    raise StoreError(f"InfluxDB answers {response.status}: {message}")
                yield response
        except (OSError, http.client.HTTPException) as error:
            raise StoreError(
                f"InfluxDB at {self._url.netloc} does not answer: {error}; see systemctl status "
                "hostpulse-influxdb"
            ) from None

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        if self._url.scheme != "https":
            return http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
        context = ssl.create_default_context(cafile=self._ca_file or None)
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=context)


def flux_string(text: str) -> str:
    """Return a Flux string literal; what could end it or be an expression is escaped as bytes."""
    escaped = "".join(
        f"\\x{ord(char):02x}" if ord(char) < 32 or char in '"\\$' else char  # noqa: PLR2004
        for char in text
    )
    return f'"{escaped}"'


def _sample(row: Mapping[str, str]) -> dict[str, Any]:
    return {
        "measurement": row["_measurement"],
        "field": row["_field"],
        "time": row["_time"],
        "tags": {name: text for name, text in row.items() if name not in _NON_TAGS and text},
        "value": float(row["_value"]),
    }
