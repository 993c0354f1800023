"""A real influxd on loopback, for tests and benches.

    with Influxd.start(directory) as influxd:
        raw = influxd.bucket("raw")
        token = influxd.token(read=[raw], write=[raw])

Data stays in the directory, so ``kill`` and ``resume`` act as a crash and a restart do.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any, ClassVar

from testbed.server import LocalServer, unpacked

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Self

ORG = "hostpulse"


def program() -> Path:
    """Return the path of influxd, unpacked in the cache."""
    return unpacked("influxdb") / "usr/bin/influxd"


class Influxd(LocalServer):
    """One server with the organization ``hostpulse`` and an operator token."""

    name: ClassVar[str] = "influxd"

    def __init__(self, directory: Path, options: Sequence[str] = ()) -> None:
        super().__init__(directory)
        self.options = tuple(options)
        self.operator_token = uuid.uuid4().hex
        self.org_id = ""

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

    def command(self) -> Sequence[str | Path]:
        """Return what to run."""
        paths = {
            "--bolt-path": "influxd.bolt",
            "--sqlite-path": "influxd.sqlite",
            "--engine-path": "engine",
        }
        return [
            program(),
            f"--http-bind-address=127.0.0.1:{self.port}",
            *(f"{option}={self.directory / name}" for option, name in paths.items()),
            "--reporting-disabled",
            "--log-level=warn",
            *self.options,
        ]

    def ready(self) -> None:
        """Raise while it takes no requests yet."""
        self._request("GET", "/health", None, "application/json")

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
        """Call the HTTP interface with JSON and the operator token; raise EngineError on 4xx."""
        body = None if document is None else json.dumps(document).encode()
        answer = self._request(method, path, body, "application/json")
        return json.loads(answer) if answer else None

    def _request(self, method: str, path: str, body: bytes | None, kind: str) -> bytes:
        headers = {"Authorization": f"Token {self.operator_token}", "Content-Type": kind}
        return self.request(method, path, body, headers)
