"""Asking real addresses: this machine answers, a hole does not."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from tests.support.clock import ManualClock
from tests.support.polling import wait_until

from hostpulse_server.liveness import HostProber
from hostpulse_server.liveness.probe import Reachability, reach

if TYPE_CHECKING:
    from collections.abc import Iterator

DEADLINE = 10.0
# a network of its own, where echo is allowed and a hole is nearby
APART = """
import sys
open("/proc/sys/net/ipv4/ping_group_range", "w").write("0 2147483647")
from hostpulse_server.liveness.probe import reach
for host in ("127.0.0.1", "10.9.9.7", "10.1.1.1"):
    print(reach(host, seconds=0.2, ports=()))
    print(reach(host, seconds=0.2, ports=(22, 9)))
"""


@pytest.fixture
def hole() -> Iterator[int]:
    """Return a port whose queue of connections is full: the kernel drops what comes."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)  # noqa: FBT003 - the method takes it so
            caller.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def test_an_open_port_is_an_answer() -> None:
    """The connection itself says enough."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = reach("127.0.0.1", ports=(port,), echo=False)
    assert found.is_answering is True
    assert found.lines[0].startswith(f"127.0.0.1 answers on TCP {port} in ")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_refusal_is_an_answer(host: str) -> None:
    """Somebody must be there to refuse."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    found = reach(host, ports=(port,), echo=False)
    assert found.is_answering is True
    assert f"answers: it refuses TCP {port} in " in found.lines[0]


def test_no_answer_within_the_time_is_none(hole: int) -> None:
    """The line says what was tried, and the time is kept."""
    began = time.monotonic()
    found = reach("127.0.0.1", ports=(hole,), seconds=0.2, echo=False)
    assert time.monotonic() - began < 2
    assert found == Reachability(
        is_answering=False, lines=(f"no answer from 127.0.0.1: TCP {hole} timed out",)
    )


def test_one_answer_among_many_questions_is_enough(hole: int) -> None:
    """And it is not waited for the rest."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        began = time.monotonic()
        ports = (hole, server.getsockname()[1])
        found = reach("127.0.0.1", ports=ports, seconds=30, echo=False)
    assert found.is_answering is True
    assert time.monotonic() - began < DEADLINE


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a" * 70 + ".example", "10.0.0.7:22"])
def test_a_name_that_does_not_resolve_tells_nothing_of_the_host(host: str) -> None:
    """But it is evidence."""
    found = reach(host, seconds=0.2)
    assert found.is_answering is None
    assert found.lines[0].startswith(f"{host} does not resolve: ")


@pytest.mark.root
def test_ping_and_holes_in_a_network_of_its_own() -> None:
    """Echo answers where the kernel allows it; where no route leads nothing is known."""
    setup = "ip link set lo up && ip route add 10.9.9.0/24 dev lo"
    command = ["unshare", "--net", "sh", "-c", f'{setup} && exec "$0" -c "$1"']
    ran = subprocess.run(
        [*command, sys.executable, APART], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    ping, tcp, hole, hole_too, nowhere, nowhere_too = ran.stdout.splitlines()
    assert re.search(r"127\.0\.0\.1 answers ping in \d+\.?\d* ms", ping)
    assert "is_answering=True" in tcp
    assert "is_answering=False, lines=('no answer from 10.9.9.7: ping 0.2 s',)" in hole
    assert "'no answer from 10.9.9.7: ping 0.2 s, TCP 22 9 timed out'" in hole_too
    assert "is_answering=None" in nowhere
    assert "10.1.1.1 cannot be asked: " in nowhere_too
    assert "TCP 22 9: network is unreachable" in nowhere_too


def test_a_host_is_asked_again_only_after_a_while() -> None:
    """However often somebody wants to know."""
    clock, asked = ManualClock(), []

    def ask(address: str) -> Reachability:
        asked.append(address)
        return Reachability(is_answering=True, lines=(f"{len(asked)}",))

    prober = HostProber(clock, ask=ask)
    for _ in range(5):
        prober.ask("h1", "10.0.0.7")
    wait_until(lambda: prober.answer("h1"), "an answer")
    clock.move(14)
    prober.ask("h1", "10.0.0.7")
    assert len(asked) == 1
    clock.move(1)
    prober.ask("h1", "10.0.0.7")
    wait_until(lambda: (one := prober.answer("h1")) and one.lines == ("2",), "the next answer")
    found = prober.answer("h1")
    assert found is not None
    assert found.at_ms == clock.ms
    prober.ask("h1", "10.0.0.8")
    wait_until(lambda: asked[-1] == "10.0.0.8", "the new address is asked")


def test_sixteen_are_asked_at_once_and_the_rest_wait() -> None:
    """A storm must not become a thousand threads; who fails costs nobody else an answer."""
    lock, gate = threading.Lock(), threading.Event()
    running: list[int] = []
    most = 0

    def ask(address: str) -> Reachability:
        nonlocal most
        with lock:
            running.append(1)
            most = max(most, len(running))
        gate.wait(DEADLINE)
        with lock:
            running.pop()
        if address == "7":
            raise RuntimeError("broken")
        return Reachability(is_answering=False, lines=())

    prober = HostProber(ManualClock(), ask=ask)
    for number in range(100):
        prober.ask(f"h{number}", str(number))
    wait_until(lambda: most == 16, "sixteen are asked")
    gate.set()
    wait_until(lambda: all(prober.answer(f"h{number}") for number in range(100)), "all answers")
    assert most == 16
    broken = prober.answer("h7")
    assert broken is not None
    assert (broken.is_answering, broken.lines) == (None, ("asking 7 failed: broken",))


def test_an_answer_that_comes_after_the_host_was_forgotten_is_dropped() -> None:
    """It belongs to a silence that is over."""
    began, gate, done = threading.Event(), threading.Event(), threading.Event()

    def ask(address: str) -> Reachability:
        if address == "first":
            began.set()
            gate.wait(DEADLINE)
        else:
            done.set()
        return Reachability(is_answering=False, lines=(address,))

    prober = HostProber(ManualClock(), ask=ask, at_once=1)
    prober.ask("h1", "first")
    assert began.wait(DEADLINE)
    prober.forget("h1")
    prober.ask("h2", "second")
    gate.set()
    assert done.wait(DEADLINE)
    wait_until(lambda: prober.answer("h2"), "an answer")
    assert prober.answer("h1") is None
