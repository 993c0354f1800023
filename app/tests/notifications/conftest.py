"""Desks for the tests of what is told to whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from app.tests.notifications.delivery import DeliveryHarness
from app.tests.notifications.planning import MAIL, PlanningHarness
from tests.support.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., PlanningHarness]]:
    """Give a maker of desks: keys of ``[alerts]``, and what else the configuration has.

    One ``like`` another goes on where that is, as after an upgrade.
    """
    made: list[PlanningHarness] = []

    def maker(
        alerts: str = 'group_wait = "10s"', more: str = "", like: PlanningHarness | None = None
    ) -> PlanningHarness:
        folder, clock = (like.folder, like.clock) if like else (tmp_path / str(len(made)), None)
        made.append(PlanningHarness(folder, alerts, more, clock=clock or ManualClock()))
        return made[-1]

    yield maker
    for one in made:
        one.close()


@pytest.fixture
def planning(make: Callable[..., PlanningHarness]) -> PlanningHarness:
    """Give a harness with one channel and the times that hold without configuration."""
    return make()


@pytest.fixture
def two(make: Callable[..., PlanningHarness]) -> PlanningHarness:
    """Give a harness with two channels, one of them only for what is critical."""
    routes = (
        '[[routes]]\nmatch = {severity = "critical"}\nchannels = ["pager", "mail"]\n'
        '[[routes]]\nmatch = {}\nchannels = ["mail"]\n'
    )
    return make(more=MAIL + routes)


@pytest.fixture
def delivery(tmp_path: Path) -> Iterator[DeliveryHarness]:
    """Give a harness with chat, mail and a pager, which all get every alert."""
    with DeliveryHarness(tmp_path / "delivery") as made:
        yield made
