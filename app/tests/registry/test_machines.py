"""One id is one machine: binding, rebuilt hosts, conflicts; and what agents say about hosts."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from hostpulse_server import state
from hostpulse_server.errors import AuthenticationError, MachineConflictError
from hostpulse_server.registry import Registry, status_of
from hostpulse_server.state.models import FactsRow, RegistryRevision

if TYPE_CHECKING:
    from sqlalchemy import Engine

M1, M2 = "1" * 64, "2" * 64


@pytest.fixture
def first(registry: Registry) -> str:
    """Return the id of the first key of a server ``web-01``."""
    key = registry.add({"id": "web-01"}).key
    assert key is not None
    return key.id


def revision(engine: Engine) -> int:
    """Return the registry's revision."""
    with state.reading(engine) as session:
        return session.scalars(sa.select(RegistryRevision.revision)).one()


def test_the_first_machine_gets_the_id_and_keeps_it(
    registry: Registry, first: str, clock: Any, engine: Engine
) -> None:
    """Later samples of the same machine write nothing."""
    registry.bind_machine("web-01", M1, first)
    bound = revision(engine)
    for _ in range(3):
        registry.bind_machine("web-01", M1, first)
        clock.move(2)
    assert revision(engine) == bound


def test_a_second_machine_with_the_same_key_is_a_conflict_that_stays_visible(
    registry: Registry, first: str, clock: Any
) -> None:
    """A cloned disk: the first goes on, the second is refused, the server shows it for minutes."""
    registry.bind_machine("web-01", M1, first)
    with pytest.raises(MachineConflictError, match="keys rotate web-01"):
        registry.bind_machine("web-01", M2, first)
    registry.bind_machine("web-01", M1, first)
    marked = registry.server("web-01").conflict_ms
    assert marked == clock.ms
    clock.move(10)
    with pytest.raises(MachineConflictError):
        registry.bind_machine("web-01", M2, first)
    assert registry.server("web-01").conflict_ms == marked  # marked anew every 30 s at most
    clock.move(25)
    with pytest.raises(MachineConflictError):
        registry.bind_machine("web-01", M2, first)
    assert registry.server("web-01").conflict_ms == clock.ms


def test_a_rebuilt_host_takes_the_id_over_with_a_newer_key(
    registry: Registry, first: str, clock: Any
) -> None:
    """The new key rebinds and clears the conflict; the old machine's key no longer can."""
    registry.bind_machine("web-01", M1, first)
    with pytest.raises(MachineConflictError):
        registry.bind_machine("web-01", M2, first)
    second = registry.rotate("web-01").id
    registry.bind_machine("web-01", M2, second)
    assert registry.server("web-01").conflict_ms is None
    clock.move(2)
    for key_id in (first, second):
        with pytest.raises(MachineConflictError):
            registry.bind_machine("web-01", M1, key_id)


def test_a_rotated_key_on_the_same_machine_moves_the_binding(
    registry: Registry, first: str
) -> None:
    """After going over to the new key the binding no longer hangs on the old one."""
    registry.bind_machine("web-01", M1, first)
    second = registry.rotate("web-01").id
    registry.bind_machine("web-01", M1, second)
    registry.bind_machine("web-01", M1, first)
    registry.revoke(first)
    with pytest.raises(MachineConflictError):
        registry.bind_machine("web-01", M2, second)


def test_revoking_the_key_that_bound_releases_the_id(registry: Registry, first: str) -> None:
    """A rebuild taken back: the old machine with the older key may have its id again."""
    registry.bind_machine("web-01", M1, first)
    second = registry.rotate("web-01").id
    registry.bind_machine("web-01", M2, second)
    registry.revoke(second)
    registry.bind_machine("web-01", M1, first)
    with pytest.raises(AuthenticationError):
        registry.bind_machine("web-01", M2, second)


def test_of_many_machines_at_once_one_gets_the_id(
    registry: Registry, first: str, engine: Engine, clock: Any
) -> None:
    """Binding is decided in one transaction, whichever worker asks."""
    outcomes: list[str | None] = []

    def bind(machine: str) -> None:
        try:
            Registry(engine, clock).bind_machine("web-01", machine, first)
        except MachineConflictError:
            outcomes.append(None)
        else:
            outcomes.append(machine)

    threads = [threading.Thread(target=bind, args=(str(n) * 64,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 6
    assert len([machine for machine in outcomes if machine]) == 1


def say(registry: Registry, **changes: Any) -> None:
    """Report facts of web-01 as the api does for a batch."""
    said = {"facts": None, "agent_version": "0.1.0", "clock_offset_ms": 3, "interval_ms": 10_000}
    registry.record_facts("web-01", **{**said, **changes})


def written(engine: Engine) -> int:
    """Return when the facts were last written."""
    with state.reading(engine) as session:
        return session.scalars(sa.select(FactsRow.updated_ms)).one()


@pytest.mark.usefixtures("first")
def test_facts_are_kept_and_only_changes_are_written(
    registry: Registry, engine: Engine, clock: Any
) -> None:
    """The hot path stays free of writes while nothing changes."""
    say(registry, facts={"os": "Debian 12", "mounts": [{"mount": "/"}]})
    at_first = written(engine)
    clock.move(60)
    say(registry, facts={"os": "Debian 12", "mounts": [{"mount": "/"}]}, clock_offset_ms=-200)
    say(registry)
    Registry(engine, clock).check()
    assert written(engine) == at_first
    say(registry, clock_offset_ms=900)
    assert written(engine) == clock.ms
    clock.move(60)
    say(registry, agent_version="0.2.0", clock_offset_ms=None, interval_ms=None)
    server = registry.server("web-01")
    assert server.facts == {"os": "Debian 12", "mounts": [{"mount": "/"}]}
    assert server.agent_version == "0.2.0"
    assert server.clock_offset_ms == 900
    assert server.interval_ms == 10_000


@pytest.mark.usefixtures("first")
def test_facts_of_a_server_that_came_back_are_written_again(registry: Registry, clock: Any) -> None:
    """What a process remembers of a removed server counts for nothing."""
    say(registry, facts={"os": "a"})
    registry.remove("web-01")
    say(registry, facts={"os": "a"})  # on its way while the server was removed
    registry.add({"id": "web-01"})
    clock.move(2)
    say(registry, facts={"os": "a"})
    assert registry.server("web-01").facts == {"os": "a"}


@pytest.mark.usefixtures("first")
def test_facts_never_cost_a_sample(
    registry: Registry, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """A state database that does not answer is logged, not raised."""
    registry.resolve({}, [])
    with state.writing(engine) as session:
        session.execute(sa.text("DROP TABLE server_facts"))
    say(registry, facts={"os": "a"})
    assert "facts of server web-01 were not kept" in caplog.text


@pytest.mark.parametrize(
    ("silent_ms", "interval_ms", "status"),
    [
        (29_999, 10_000, "up"),
        (30_000, 10_000, "late"),
        (59_999, 10_000, "late"),
        (60_000, 10_000, "down"),
        (29_999, 1_000, "up"),
        (60_000, 1_000, "down"),
        (179_999, 60_000, "up"),
        (180_000, 60_000, "late"),
        (359_999, 60_000, "late"),
        (360_000, 60_000, "down"),
        (-5_000, 10_000, "up"),
        (30_000, None, "late"),
    ],
)
def test_status_changes_at_the_thresholds_of_the_contract(
    silent_ms: int, interval_ms: int | None, status: str
) -> None:
    """Late after max(3 x interval, 30 s), down after max(6 x interval, 60 s)."""
    now_ms = 1_800_000_000_000
    found = status_of(
        disabled=False,
        conflict_ms=None,
        last_ms=now_ms - silent_ms,
        interval_ms=interval_ms,
        now_ms=now_ms,
    )
    assert found == status


@pytest.mark.parametrize(
    ("disabled", "conflict_age_ms", "seen", "status"),
    [
        (True, 0, True, "disabled"),
        (False, 0, True, "conflict"),
        (False, 299_999, False, "conflict"),
        (False, 300_000, True, "up"),
        (False, None, False, "never_seen"),
    ],
)
def test_disabled_wins_over_conflict_and_conflict_over_the_rest(
    *, disabled: bool, conflict_age_ms: int | None, seen: bool, status: str
) -> None:
    """A conflict stays visible for five minutes after the last attempt."""
    now_ms = 1_800_000_000_000
    found = status_of(
        disabled=disabled,
        conflict_ms=None if conflict_age_ms is None else now_ms - conflict_age_ms,
        last_ms=now_ms if seen else None,
        interval_ms=10_000,
        now_ms=now_ms,
    )
    assert found == status
