"""The store goes away and comes back: what waits, what goes first, and in which batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.tests.shipper.conftest import MINUTE, Bench, drain, pile_up, spans

from hostpulse_server.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hostpulse_server.values.points import StorePoint


def test_a_second_outage_while_draining_is_overtaken_too(bench: Bench) -> None:
    """The live stream fell behind itself: newer entries pass it, and all of both arrives."""
    bench.config = type(bench.config)(max_batch_points=1000)
    pile_up(bench, 60)
    shipper = bench.shipper()
    shipper.turn()
    bench.send(*range(1, 101), server="live")
    shipper.turn()
    bench.store.down = True
    for first in range(101, 5001, 100):
        bench.send(*range(first, first + 100), server="live")
        bench.clock.ms += 2000
        shipper.turn()
    bench.store.down = False
    bench.clock.ms += 10_000
    shipper.turn()
    bench.send(1, server="newest")
    shipper.turn()
    bench.clock.ms += 5000
    shipper.turn()
    assert bench.stored()["newest"]
    assert len(spans(bench)) == 2
    assert len(bench.stored()["live"]) < 5000
    drain(bench, shipper)
    assert len(bench.stored()["live"]) == 5000
    assert bench.seen.ledger("live")[0].missing == 0


def test_what_arrives_after_the_return_of_the_store_is_not_overtaken(bench: Bench) -> None:
    """It was, if the first attempt found the live stream late: it waited for the whole backlog."""
    shipper = bench.shipper()
    bench.store.down = True
    pile_up(bench, 300)
    shipper.turn()
    bench.send(1, server="before")
    for _ in range(20):  # until the live stream has failed, too
        bench.clock.ms += 1000
        shipper.turn()
    for first in range(1, 301, 100):  # more than the small batch that tries the store
        bench.send(*range(first, first + 100), server="between")
    bench.store.down = False
    bench.send(1, server="after")
    bench.clock.ms += MINUTE  # past any backoff, and late by any measure
    for _ in range(3):
        shipper.turn()
    assert bench.stored()["after"]
    assert bench.stored()["between"]
    assert len(bench.stored()["late"]) < 30_000
    drain(bench, shipper)
    assert len(bench.stored()["late"]) == 30_000


def test_after_the_return_of_the_store_many_batches_arrive_in_order(bench: Bench) -> None:
    """What came since the last attempt is more than a batch: the rest of it is no backlog yet."""
    bench.config = type(bench.config)(max_batch_points=1000)
    shipper = bench.shipper()
    bench.store.down = True
    pile_up(bench, 100)
    for _ in range(20):
        bench.send(1, server="before")
        bench.clock.ms += 1000
        shipper.turn()
    for first in range(1, 3001, 100):
        bench.send(*range(first, first + 100), server="live")
    bench.store.down = False
    bench.clock.ms += 10_000
    for _ in range(6):
        shipper.turn()
    assert len(bench.stored()["live"]) == 3000
    assert len(bench.stored()["late"]) < 10_000
    drain(bench, shipper)
    assert len(bench.stored()["late"]) == 10_000


def test_while_the_store_is_away_the_journal_holds_what_waits(bench: Bench) -> None:
    """Only the first write that fails is a large one; once the store is back they are again."""
    pile_up(bench, 300)
    shipper = bench.shipper()
    tried: list[int] = []

    def refuse(points: Sequence[StorePoint]) -> None:
        tried.append(len(points))
        raise StoreUnavailableError("away")

    bench.store.before_write = refuse
    for _ in range(20):
        shipper.turn()
        bench.clock.ms += 11_000
    assert tried[0] == 5000
    assert len(tried) >= 20
    assert max(tried[1:]) <= bench.config.batch_points
    bench.store.before_write = lambda _: None
    drain(bench, shipper)
    assert len(bench.stored()["late"]) == 30_000
    assert bench.store.batches.count(5000) == 5


def test_a_store_that_is_back_gets_a_small_batch_at_once(bench: Bench) -> None:
    """The time that a batch waits for more does not begin anew with every try."""
    bench.config = type(bench.config)(max_backoff=1.0)
    bench.send(1)
    shipper = bench.shipper()
    bench.store.down = True
    bench.flush(shipper)
    bench.clock.ms += 1000
    shipper.turn()
    bench.store.down = False
    bench.clock.ms += 1000
    shipper.turn()
    assert bench.store.batches == [1]
