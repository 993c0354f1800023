"""How the scenario's tests ask InfluxDB: on a host, with a token from where it lies."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from testinfra.host import Host

# Sends requests from the host itself and prints each answer's status and body: token's file or
# nothing, then JSON [[method, url, body], ...]. The token is in no argument.
REQUESTS = """
import json, pathlib, ssl, sys, urllib.error, urllib.request
file, authority, requests = sys.argv[1:]
headers = {"Authorization": "Token " + pathlib.Path(file).read_text().strip()} if file else {}
context = ssl.create_default_context(cafile=authority)
answers = []
for method, url, body in json.loads(requests):
    kind = "text/plain" if isinstance(body, str) else "application/json"
    data = None if body is None else (body if isinstance(body, str) else json.dumps(body)).encode()
    request = urllib.request.Request(
        url, data=data, method=method, headers={**headers, "Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=20, context=context) as answer:
            answers.append([answer.status, answer.read().decode()])
    except urllib.error.HTTPError as error:
        answers.append([error.code, error.read().decode()])
print(json.dumps(answers))
"""


@dataclass(frozen=True)
class Influxdb:
    """InfluxDB as one host sees it, with the token that lies in a file there."""

    host: Host
    token_file: str
    authority: str
    url: str

    def ask(self, *requests: tuple[str, str, Any]) -> list[tuple[int, str]]:
        """Send (method, path, body) each; return (status, body) each."""
        full = [(method, self.url + path, body) for method, path, body in requests]
        output = self.host.check_output(
            "python3 -c %s %s %s %s", REQUESTS, self.token_file, self.authority, json.dumps(full)
        )
        return [(status, text) for status, text in json.loads(output)]

    def read(self, bucket: str, org: str = "hostpulse") -> tuple[str, str, Any]:
        """Return the request that reads a bucket."""
        flux = f'from(bucket: "{bucket}") |> range(start: -1h) |> limit(n: 1)'
        return "POST", f"/api/v2/query?org={org}", {"query": flux, "type": "flux"}

    def write(self, bucket: str, org: str = "hostpulse") -> tuple[str, str, Any]:
        """Return the request that writes a point into a bucket."""
        path = f"/api/v2/write?org={org}&bucket={bucket}"
        return "POST", path, "x_probe value=1"


@pytest.fixture(scope="session")
def seen_from(host_of: Callable[[str], Host]) -> Callable[[str, str], Influxdb]:
    """Return a function that gives InfluxDB as a host sees it with a token of its own."""
    address = str(host_of("store").check_output("hostname -I")).split()[0]

    def view(name: str, token_file: str) -> Influxdb:
        authority = f"/etc/hostpulse/{'ca/ca.pem' if name == 'store' else 'influxdb_ca.pem'}"
        return Influxdb(host_of(name), token_file, authority, f"https://{address}:8086")

    return view
