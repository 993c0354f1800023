"""Programs of every release that the present one follows."""

from __future__ import annotations

import pytest
from tests.upgrade.releases import PRESENT, RELEASES, Programs, install


@pytest.fixture(scope="session", params=RELEASES, ids=lambda release: release.version)
def earlier(request: pytest.FixtureRequest) -> Programs:
    """Give the programs of an earlier release."""
    return install(request.param)


@pytest.fixture(params=["upgrade", "rollback"])
def before_and_after(
    request: pytest.FixtureRequest, earlier: Programs
) -> tuple[Programs, Programs]:
    """Give the programs that run first and those that replace them: both ways."""
    return (earlier, PRESENT) if request.param == "upgrade" else (PRESENT, earlier)
