"""How the stack's tests read the server: through its public address, with the key of verify."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from reader import Reader

if TYPE_CHECKING:
    from collections.abc import Callable

    from testinfra.host import Host


@pytest.fixture(scope="session")
def reader(host_of: Callable[[str], Host], tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """Return a reader of the stack's API."""
    monitor = host_of("monitor")
    authority = tmp_path_factory.mktemp("reader") / "ca.pem"
    authority.write_text(monitor.file("/etc/hostpulse/ca/ca.pem").content_string)
    key = monitor.file("/etc/hostpulse/verify.key").content_string.strip()
    address = str(monitor.check_output("hostname -I")).split()[0]
    return Reader("monitor", (address, 8443), authority, key)
