"""Desks for the tests of what is told to whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from app.tests.dispatch.desk import MAIL, Desk
from app.tests.dispatch.office import Office

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    """Give a maker of desks: keys of ``[alerts]``, and what else the configuration has."""
    made: list[Desk] = []

    def maker(alerts: str = 'group_wait = "10s"', more: str = "") -> Desk:
        made.append(Desk(tmp_path / str(len(made)), alerts, more))
        return made[-1]

    yield maker
    for one in made:
        one.close()


@pytest.fixture
def desk(make: Callable[..., Desk]) -> Desk:
    """Give a desk with one channel and the times that hold without configuration."""
    return make()


@pytest.fixture
def two(make: Callable[..., Desk]) -> Desk:
    """Give a desk with two channels, one of them only for what is critical."""
    routes = (
        '[[routes]]\nmatch = {severity = "critical"}\nchannels = ["pager", "mail"]\n'
        '[[routes]]\nmatch = {}\nchannels = ["mail"]\n'
    )
    return make(more=MAIL + routes)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Give an office with chat, mail and a pager, which all hear of every alert."""
    with Office(tmp_path / "office") as made:
        yield made
