"""A real Grafana on loopback, for tests and benches.

    with Grafana.start(directory, provisioning=folder) as grafana:
        sources = grafana.api("GET", "/api/datasources")
        frames = grafana.query("hostpulse-influxdb", 'from(bucket: "raw") |> …')

It asks nothing of the outside and lets nobody in without a password. Data stays in the directory,
so ``kill`` and ``resume`` act as a crash and a restart do.
"""

from __future__ import annotations

import base64
import configparser
import json
import os
import uuid
from typing import TYPE_CHECKING, Any, ClassVar

from testbed.server import EngineError, LocalServer, unpacked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Self

ADMIN = "admin"
_MAX_DATA_POINTS = 1000
_LOST_RACE = "failed to create default organization: UNIQUE constraint"


class Grafana(LocalServer):
    """One server with SQLite and an administrator ``admin``, whose password is ``password``."""

    name: ClassVar[str] = "grafana"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.password = uuid.uuid4().hex

    @classmethod
    def start(
        cls,
        directory: Path,
        *,
        provisioning: Path | None = None,
        settings: Mapping[str, Mapping[str, str]] | None = None,
    ) -> Self:
        """Start a server in ``directory``.

        ``provisioning`` is a folder with ``datasources/``, ``dashboards/``, ``alerting/``, …, by
        default the archive's, which provisions nothing. Data sources and alerting are there when
        this returns, dashboards some moments later.
        ``settings`` are further sections of its ini file, and win over what stands here.
        """
        server = cls(directory)
        directory.mkdir(parents=True, exist_ok=True)
        nothing = server.home() / "conf" / "provisioning"
        server._configure(provisioning or nothing, settings or {})
        try:
            server.resume()
        except EngineError as error:
            # 10.0 fills a new database from two places at once, and now and then ends over it; what
            # was filled stays, so the next start is well. In production its unit starts it again.
            if _LOST_RACE not in str(error):
                raise
            server.resume()
        return server

    def home(self) -> Path:
        """Return the top folder of what is run."""
        return unpacked("grafana")

    def command(self) -> Sequence[str | Path]:
        """Return what to run."""
        home = self.home()
        config = self.directory / "grafana.ini"
        return [home / "bin/grafana", "server", f"--homepath={home}", f"--config={config}"]

    def ready(self) -> None:
        """Raise while it takes no requests yet."""
        self.request("GET", "/api/health", None, {})

    def api(
        self, method: str, path: str, document: Any = None, login: tuple[str, str] | None = None
    ) -> Any:
        """Call the HTTP interface with JSON, as administrator or ``login`` (a name, a password).

        Raises EngineError on a status other than 2xx; its message begins with method, path and
        status.
        """
        name, password = login or (ADMIN, self.password)
        basic = base64.b64encode(f"{name}:{password}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/json"}
        body = None if document is None else json.dumps(document).encode()
        answer = self.request(method, path, body, headers)
        return json.loads(answer) if answer else None

    def query(
        self,
        datasource_uid: str,
        flux: str,
        begin: str = "now-1h",
        end: str = "now",
        interval_ms: int = 10_000,
    ) -> list[dict[str, Any]]:
        """Return the data frames that a panel with this query gets, as Grafana's JSON has them.

        ``begin`` and ``end`` are Grafana's own: ``now-1h``, or milliseconds as text; they become
        ``v.timeRangeStart`` and ``v.timeRangeStop``, and ``interval_ms`` ``v.windowPeriod``. A
        panel's variables are filled in by the browser, so here by who asks. Raises EngineError with
        what InfluxDB said when it refuses.
        """
        query = {
            "refId": "A",
            "datasource": {"type": "influxdb", "uid": datasource_uid},
            "query": flux,
            "intervalMs": interval_ms,
            "maxDataPoints": _MAX_DATA_POINTS,
        }
        document = {"queries": [query], "from": begin, "to": end}
        return list(self.api("POST", "/api/ds/query", document)["results"]["A"]["frames"])

    def _configure(self, provisioning: Path, settings: Mapping[str, Mapping[str, str]]) -> None:
        """Write the ini file, which holds the password: a command line shows it to all."""
        ini = configparser.RawConfigParser()
        paths = {name: str(self.directory / name) for name in ("data", "logs", "plugins")}
        ini.read_dict(
            {
                "server": {"http_addr": "127.0.0.1", "http_port": str(self.port)},
                "paths": {**paths, "provisioning": str(provisioning)},
                "security": {"admin_password": self.password, "disable_gravatar": "true"},
                "users": {"allow_sign_up": "false"},
                "auth.anonymous": {"enabled": "false"},
                "analytics": {
                    "reporting_enabled": "false",
                    "check_for_updates": "false",
                    "check_for_plugin_updates": "false",
                    "feedback_links_enabled": "false",
                },
                "news": {"news_feed_enabled": "false"},
                "plugins": {"preinstall_disabled": "true"},  # releases after 11 fetch some
                "log": {"mode": "console", "level": "warn"},
            }
        )
        ini.read_dict(settings)
        path = self.directory / "grafana.ini"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            ini.write(file)
