"""A server and agents whose programs are replaced; what they hold is read by commands and HTTP.

Nothing here looks into a file or imports a package under test: programs of other releases have
others.
"""

from __future__ import annotations

import json
import signal
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import requests
from testbed.ports import free_port
from tests.e2e.services import environment, kill
from tests.support.polling import DEADLINE, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tests.upgrade.releases import Programs

SERVICES: Final = ("api", "ship", "alert")
_SERVER_CONFIG: Final = """\
data_dir = "{folder}"
[site]
public_url = "{url}"
[api]
bind = "{bind}"
rate_limit = "1000000/second"
[journal]
min_free_bytes = "1MiB"
[shipper]
batch_seconds = 0.1
[alerts]
rules = ["{folder}/rules.yml"]
group_by = ["server_id"]
group_wait = "0s"
group_interval = "1s"
messages_per_minute = 600
"""
_AGENT_CONFIG: Final = """\
server_id = "{server_id}"
[server]
urls = ["{url}"]
key_file = "{folder}/agent.key"
[sampling]
interval = "1s"
[spool]
path = "{folder}/spool.db"
min_free_bytes = "1MiB"
"""
_STATUS: Final = ("status", "--json")
_RULES: Final = """\
rules:
  - name: cpu_usage
    summary: "CPU {{ value }} % on {{ server_id }}"
    measurement: cpu
    field: usage_percent
    for: 20s
    levels: {warning: {above: 80}}
"""


def _run(program: Path, config: Path, arguments: Iterable[str]) -> subprocess.CompletedProcess[str]:
    command = [str(program), "--config", str(config), *arguments]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)


def _command(program: Path, config: Path, arguments: Iterable[str]) -> str:
    """Run a command that has to exit with 0; return what it prints."""
    done = _run(program, config, arguments)
    assert done.returncode == 0, f"{done.args} exits {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


class ServerInstallation:
    """One server's configuration, data and keys."""

    def __init__(self, folder: Path, programs: Programs, more: str = "") -> None:
        self._bind = f"127.0.0.1:{free_port()}"
        self.url = f"http://{self._bind}"
        self._folder = folder
        self._config = folder / "server.toml"
        self._config.write_text(
            _SERVER_CONFIG.format(folder=folder, url=self.url, bind=self._bind) + more
        )
        (folder / "rules.yml").write_text(_RULES)
        path = folder / "admin.key"
        self.command(programs, "keys", "create", "--role", "admin", "--key-file", str(path))
        self._admin_key = path.read_text().strip()

    def command(self, programs: Programs, *arguments: str) -> str:
        """Run a command of the server that has to exit with 0; return what it prints."""
        return _command(programs.server, self._config, arguments)

    def is_well(self, programs: Programs) -> bool:
        """Return whether the server's ``doctor`` finds nothing."""
        return _run(programs.server, self._config, ["doctor"]).returncode == 0

    def register(self, programs: Programs, server_id: str) -> str:
        """Add a host and return its agent's key."""
        path = self._folder / f"{server_id}.key"
        self.command(programs, "servers", "add", server_id, "--key-file", str(path))
        return path.read_text().strip()

    @contextmanager
    def running(self, programs: Programs, *services: str) -> Iterator[RunningServer]:
        """Run services meanwhile, by default all."""
        running = RunningServer(self, programs)
        try:
            for service in services or SERVICES:
                running.start(service)
            wait_until(
                lambda: self._is_ready(running), f"the api is ready; see {self._folder}/api.log"
            )
            yield running
            running.stop(*reversed(services or SERVICES))
        finally:
            running.kill()

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """Return the JSON of a successful request of an administrator."""
        answer = requests.request(
            method,
            self.url + path,
            json=body,
            headers={"X-API-Key": self._admin_key},
            timeout=DEADLINE,
        )
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def get(self, path: str) -> Any:
        """Return the JSON of a successful GET."""
        return self.request("GET", path)

    def counter(self, name: str) -> float:
        """Return a value of ``/metrics``."""
        text = requests.get(f"{self.url}/metrics", timeout=DEADLINE).text
        values = [line.split() for line in text.splitlines() if line.startswith(f"{name} ")]
        ((_, value),) = values
        return float(value)

    def ledger(self, server_id: str) -> list[dict[str, Any]]:
        """Return what is stored of each stream of a host's samples."""
        found: list[dict[str, Any]] = self.get(f"/api/v1/servers/{server_id}")["ledger"]
        return found

    def series(self, server_id: str, measurement: str, **more: str) -> list[dict[str, Any]]:
        """Return the values of a measurement, by default each one."""
        wanted = {"start": "-10m", "step": "100ms", "aggregate": "last", **more}
        query = "&".join(f"{name}={value}" for name, value in wanted.items())
        path = f"/api/v1/metrics?server_id={server_id}&measurement={measurement}&{query}"
        found: list[dict[str, Any]] = self.get(path)["series"]
        return found

    def start(self, programs: Programs, service: str) -> subprocess.Popen[bytes]:
        """Start a service in a process group of its own; its log is ``SERVICE.log``."""
        with (self._folder / f"{service}.log").open("ab") as log:
            return subprocess.Popen(
                [programs.server, "--config", self._config, service],
                stdout=log,
                stderr=log,
                env=environment(),
                process_group=0,
            )

    def _is_ready(self, running: RunningServer) -> bool:
        running.require_all()
        try:
            answer = requests.get(f"{self.url}/readyz", timeout=DEADLINE)
        except requests.ConnectionError:
            return False
        return answer.status_code == HTTPStatus.OK


class RunningServer:
    """The services of one release on an installation."""

    def __init__(self, installation: ServerInstallation, programs: Programs) -> None:
        self._installation = installation
        self._programs = programs
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, service: str) -> None:
        """Start a service."""
        self._processes[service] = self._installation.start(self._programs, service)

    def stop(self, *services: str) -> None:
        """Stop services as systemd does; those that were stopped before stay so."""
        for service in services:
            process = self._processes.pop(service, None)
            if process is not None:
                process.send_signal(signal.SIGTERM)
                assert process.wait(DEADLINE) == 0, f"{service} ends badly; see {service}.log"

    def require_all(self) -> None:
        """Fail when a service has ended by itself."""
        for service, process in self._processes.items():
            assert process.poll() is None, f"{service} has ended; see {service}.log"

    def kill(self) -> None:
        """End what still runs."""
        for process in self._processes.values():
            kill(process)

    def await_well(self) -> None:
        """Return once ``doctor`` finds nothing.

        Before an alert engine has run for the first time, the journal holds no samples for it.
        """
        wait_until(
            lambda: self._installation.is_well(self._programs), "doctor finds every part well"
        )

    def command(self, *arguments: str) -> str:
        """Run a command of the release that runs."""
        return self._installation.command(self._programs, *arguments)


@dataclass(frozen=True)
class Account:
    """What an ended agent says: its last sample's number, and how many wait or were dropped.

    ``stream`` is the series of numbers: an agent that cannot use its spool begins another.
    """

    stream: str
    last_seq: int
    waiting: int
    dropped: int


class AgentInstallation:
    """One agent's configuration, key and spool."""

    def __init__(self, folder: Path, url: str, server_id: str, key: str) -> None:
        folder.mkdir()
        self.log = folder / "agent.log"
        self._config = folder / "agent.toml"
        (folder / "agent.key").touch(0o600)
        (folder / "agent.key").write_text(key)
        self._config.write_text(_AGENT_CONFIG.format(server_id=server_id, url=url, folder=folder))

    @contextmanager
    def running(self, programs: Programs) -> Iterator[None]:
        """Run the agent meanwhile; it ends as systemd ends it."""
        with self.log.open("ab") as log:
            command = [str(programs.agent), "--config", str(self._config), "run"]
            process = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment(), process_group=0
            )
        try:
            yield
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE) == 0, f"the agent ends badly; see {self.log}"
        finally:
            kill(process)

    def account(self, programs: Programs) -> Account:
        """Return what an agent's ``status`` says."""
        return _read(_command(programs.agent, self._config, _STATUS))

    def waiting(self, programs: Programs) -> int:
        """Return how many samples wait; 0 while the agent is just making its spool."""
        done = _run(programs.agent, self._config, _STATUS)
        return 0 if done.returncode else _read(done.stdout).waiting


def _read(text: str) -> Account:
    status = json.loads(text)
    spool, last = status["spool"], status["last_sample"] or {"seq": 0}
    return Account(spool["stream"], last["seq"], spool["samples"], spool["dropped_total"])
