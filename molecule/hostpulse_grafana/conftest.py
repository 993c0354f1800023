"""How the scenario's tests ask Grafana and InfluxDB: on the host, with what lies there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from testinfra.host import Host

# Sends requests from the host itself and prints each answer's status and body. Of a login it takes
# NAME and the password's FILE; secrets that are no test's own are in no argument.
REQUESTS = """
import base64, json, pathlib, ssl, sys, urllib.error, urllib.request
login, requests = json.loads(sys.argv[1])
headers = {"Content-Type": "application/json"}
if login:
    secret = pathlib.Path(login["file"]).read_text().strip() if "file" in login else login["secret"]
    pair = base64.b64encode(f"{login.get('name')}:{secret}".encode()).decode()
    kind = login.get("kind", "Basic")
    headers["Authorization"] = f"{kind} {pair if kind == 'Basic' else secret}"
context = ssl.create_default_context(cafile="/etc/hostpulse/ca/ca.pem")
answers = []
for method, url, body in requests:
    data = None if body is None else (body if isinstance(body, str) else json.dumps(body)).encode()
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:
            answers.append([answer.status, answer.read().decode()])
    except urllib.error.HTTPError as error:
        answers.append([error.code, error.read().decode()])
print(json.dumps(answers))
"""
ADMIN = {"name": "admin", "file": "/etc/hostpulse/grafana/admin_password"}
PUBLIC = "https://127.0.0.1:8443/grafana"


@dataclass(frozen=True)
class Asked:
    """A server as somebody on the host sees it."""

    host: Host
    url: str
    login: dict[str, str]

    def answers(self, *requests: tuple[str, str, Any]) -> list[tuple[int, Any]]:
        """Send (method, path, body) each; return (status, parsed body) each."""
        full = [(method, self.url + path, body) for method, path, body in requests]
        output = self.host.check_output(
            "python3 -c %s %s", REQUESTS, json.dumps([self.login, full])
        )
        found = []
        for status, text in json.loads(output):
            try:
                found.append((status, json.loads(text)))
            except ValueError:
                found.append((status, text))
        return found

    def get(self, path: str) -> Any:
        """Return what a path gives."""
        ((status, found),) = self.answers(("GET", path, None))
        assert status == 200, (path, status, found)
        return found


@pytest.fixture(scope="session")
def monitor(host_of: Callable[[str], Host]) -> Host:
    """Return the one host."""
    return host_of("monitor")


@pytest.fixture(scope="session")
def seen_by(monitor: Host) -> Callable[..., Asked]:
    """Return a function that gives Grafana, through the proxy, as a user sees it."""

    def view(name: str = "", password: str = "", url: str = PUBLIC) -> Asked:
        login = {"name": name, "secret": password} if name else ADMIN
        return Asked(monitor, url, login)

    return view


@pytest.fixture(scope="session")
def influxdb(monitor: Host) -> Asked:
    """Return InfluxDB as Grafana's data source sees it."""
    login = {"kind": "Token", "file": "/etc/hostpulse/influxdb_grafana_token"}
    return Asked(monitor, "http://127.0.0.1:8086", login)
