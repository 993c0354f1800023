"""A real influxd on loopback, for tests and benches.

    with Influxd.start(directory) as influxd:
        raw = influxd.bucket("raw")
        token = influxd.token(read=[raw], write=[raw])

Data stays in the directory, so ``kill`` and ``resume`` act as a crash and a restart do.
"""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import tarfile
import time
import uuid
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

ORG = "hostpulse"
READY_SECONDS = 60.0
_GET = Path(__file__).resolve().parents[1] / "get"
_OK = range(200, 300)


class InfluxdError(Exception):
    """influxd did not do what was asked; the message holds its answer."""


@cache
def program() -> Path:
    """Return the path of influxd, unpacked beside its archive in the cache."""
    got = subprocess.run([sys.executable, _GET, "influxdb"], stdout=subprocess.PIPE, check=True)
    archive = Path(got.stdout.decode().strip())
    with tarfile.open(archive) as packed:
        inside = next(name for name in packed.getnames() if name.endswith("/usr/bin/influxd"))
    target = archive.parent / "unpacked" / inside
    if not target.exists():
        fresh = archive.parent / f"unpacked.{uuid.uuid4().hex}"
        with tarfile.open(archive) as packed:
            packed.extractall(fresh, filter="data")
        try:
            fresh.rename(archive.parent / "unpacked")
        except OSError:  # another run was faster
            subprocess.run(["rm", "-rf", fresh], check=True)
    return target


class Influxd:
    """One server with the organization ``hostpulse`` and an operator token."""

    def __init__(self, directory: Path, options: Sequence[str] = ()) -> None:
        self.directory = directory
        self.options = tuple(options)
        self.port = _free_port()
        self.operator_token = uuid.uuid4().hex
        self.org_id = ""
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(cls, directory: Path, options: Sequence[str] = ()) -> Self:
        """Start a server in ``directory``, with further influxd ``options``, and set it up."""
        server = cls.fresh(directory, options)
        answer = server.call(
            "POST",
            "/api/v2/setup",
            {
                "username": "operator",
                "password": "not-a-secret",
                "org": ORG,
                "bucket": "first",
                "token": server.operator_token,
            },
        )
        server.org_id = answer["org"]["id"]
        return server

    @classmethod
    def fresh(cls, directory: Path, options: Sequence[str] = ()) -> Self:
        """Start a server that nobody has set up: it takes no token yet."""
        server = cls(directory, options)
        directory.mkdir(parents=True, exist_ok=True)
        server.resume()
        return server

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process id; raises InfluxdError when it does not run."""
        if self._process is None:
            raise InfluxdError("influxd does not run")
        return self._process.pid

    def resume(self) -> None:
        """Start the process on the same port and data and wait until it is ready."""
        paths = {
            "--bolt-path": "influxd.bolt",
            "--sqlite-path": "influxd.sqlite",
            "--engine-path": "engine",
        }
        with (self.directory / "influxd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    program(),
                    f"--http-bind-address=127.0.0.1:{self.port}",
                    *(f"{option}={self.directory / name}" for option, name in paths.items()),
                    "--reporting-disabled",
                    "--log-level=warn",
                    *self.options,
                ],
                stdout=log,
                stderr=log,
            )
        self._wait()

    def stop(self) -> None:
        """End it in order; harmless when it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash does."""
        self._end(signal.SIGKILL)

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *_exc: object) -> None:
        """Stop."""
        self.stop()

    def bucket(self, name: str, retention_seconds: int = 0) -> str:
        """Make a bucket, kept for ever by default; return its id."""
        rules = [{"type": "expire", "everySeconds": retention_seconds}] if retention_seconds else []
        document = {"name": name, "orgID": self.org_id, "retentionRules": rules}
        return str(self.call("POST", "/api/v2/buckets", document)["id"])

    def token(self, *, read: Sequence[str] = (), write: Sequence[str] = ()) -> str:
        """Make a token for buckets, given by id; return it."""
        permissions = [
            {"action": action, "resource": {"type": "buckets", "id": one, "orgID": self.org_id}}
            for action, ids in (("read", read), ("write", write))
            for one in ids
        ]
        document = {"orgID": self.org_id, "permissions": permissions}
        return str(self.call("POST", "/api/v2/authorizations", document)["token"])

    def write(self, bucket: str, lines: str, precision: str = "ms") -> None:
        """Write line protocol with the operator token."""
        path = f"/api/v2/write?org={ORG}&bucket={bucket}&precision={precision}"
        self._request("POST", path, lines.encode(), "text/plain")

    def query(self, flux: str) -> str:
        """Return the annotated CSV that ``flux`` gives with the operator token."""
        body = json.dumps({"query": flux, "type": "flux"}).encode()
        return self._request("POST", f"/api/v2/query?org={ORG}", body, "application/json").decode()

    def call(self, method: str, path: str, document: Any = None) -> Any:
        """Call the HTTP interface with JSON and the operator token; raise InfluxdError on 4xx."""
        body = None if document is None else json.dumps(document).encode()
        answer = self._request(method, path, body, "application/json")
        return json.loads(answer) if answer else None

    def _request(self, method: str, path: str, body: bytes | None, kind: str) -> bytes:
        headers = {"Authorization": f"Token {self.operator_token}", "Content-Type": kind}
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answer = response.read()
        if response.status not in _OK:
            raise InfluxdError(f"{method} {path}: {response.status} {answer.decode()[:500]}")
        return answer

    def _wait(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                break
            try:
                self._request("GET", "/health", None, "application/json")
            except (OSError, http.client.HTTPException, InfluxdError):
                time.sleep(0.05)
            else:
                return
        self.kill()
        tail = (self.directory / "influxd.log").read_text(errors="replace")[-2000:]
        raise InfluxdError(f"influxd did not get ready; its log ends:\n{tail}")

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
