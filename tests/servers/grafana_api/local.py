"""The stand-in on loopback, started and asked as a real Grafana is in tests.

    with StandIn.start(directory, provisioning=folder) as server:
        server.api("GET", "/api/datasources")

A test of what both do takes ``SERVERS`` as its parameters, one of the modules ``MODULE_SERVERS``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pytest
from testbed.grafana.local import Grafana
from tests.servers.grafana_api.archive import lay_out
from tests.servers.grafana_api.server import VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Self


class StandIn(Grafana):
    """What the test archive holds, laid out in the server's directory."""

    name: ClassVar[str] = "stand-in"

    def home(self) -> Path:
        """Return the top folder of what is run."""
        top = self.directory / "program"
        if not top.exists():
            lay_out(top, VERSION)
        return top


class LaterStandIn(StandIn):
    """Answers versions as releases since 12 do, and little where no limit is sent."""

    name: ClassVar[str] = "later-stand-in"

    @classmethod
    def start(
        cls,
        directory: Path,
        *,
        provisioning: Path | None = None,
        settings: Mapping[str, Mapping[str, str]] | None = None,
    ) -> Self:
        """Start one."""
        more = {"stand_in": {"versions": "object", "page": "2"}, **(settings or {})}
        return super().start(directory, provisioning=provisioning, settings=more)


SERVERS = [
    pytest.param(StandIn, id="stand-in", marks=pytest.mark.integration),
    pytest.param(Grafana, id="real", marks=pytest.mark.grafana),
]
MODULE_SERVERS = [
    *SERVERS,
    pytest.param(LaterStandIn, id="later-stand-in", marks=pytest.mark.integration),
]
