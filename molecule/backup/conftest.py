"""How the scenario's tests ask a server's host: from the host itself, with the key of verify."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from testinfra.host import Host

    Ask = Callable[..., Any]

REQUEST = """
import pathlib, sys, urllib.request
key = pathlib.Path('/etc/hostpulse/verify.key').read_text().strip()
request = urllib.request.Request(sys.argv[1], headers={'Authorization': 'Bearer ' + key})
with urllib.request.urlopen(request, timeout=20) as answer:
    print(answer.read().decode())
"""


@pytest.fixture(scope="session")
def ask() -> Ask:
    """Return a function that gives the JSON of GET /api/v1/PATH on a host."""

    def get(host: Host, path: str, **parameters: Any) -> Any:
        url = f"http://127.0.0.1:8080/api/v1/{path}?{urlencode(parameters)}"
        return json.loads(host.check_output("python3 -c %s %s", REQUEST, url))

    return get
