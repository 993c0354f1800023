"""After remove.yml: the dead host is gone, the others are as before."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from reader import Reader

    Until = Callable[[Callable[[], object], float], None]


def test_the_registry_does_not_know_the_host(reader: Reader) -> None:
    """Its key is worth nothing from now on, and nobody is notified that it is silent."""
    assert [server["id"] for server in reader.get("servers")["servers"]] == ["monitor"]


def test_its_history_stays(reader: Reader) -> None:
    """Who asks what the host did last week still gets an answer."""
    assert "db-01" in reader.last("system", "load1", server_id="db-01", start="-1h")


def test_the_other_host_goes_on_delivering(reader: Reader, until: Until) -> None:
    """A removal concerns one host."""
    begin = time.time() * 1000
    until(lambda: reader.get("servers/monitor")["last_seen"] > begin, 60)
