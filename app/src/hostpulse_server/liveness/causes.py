"""Why a host is silent, and what that rests on. Pure."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from hostpulse_server.formatting import clock_time, span

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hostpulse_server.liveness.host_state import HostState
    from hostpulse_server.registry import Server
    from hostpulse_server.rules.model import Verdict

REFUSAL_MS: Final = 180_000
# one host that does not answer is a host; with so many neighbours it is what lies before them
NEIGHBOURS: Final = 2
# and within this time of each other
TOGETHER_MS: Final = 600_000
_BYTES: Final = {4: 3, 6: 8}

Network = Literal["fine", "silent", "unknown"]


@dataclass(frozen=True, slots=True)
class SubnetState:
    """A network: its name, how it is, and how many hosts of it a host has beside itself there.

    Hosts that had fallen silent before ``since_ms`` are not counted.
    """

    name: str
    state: Network
    others: int
    since_ms: int


@dataclass(frozen=True, slots=True)
class Cause:
    """A verdict with the texts for people.

    ``since_ms`` is when the silence began; ``is_asked`` is whether the verdict rests on an answer
    of the prober.
    """

    verdict: Verdict
    since_ms: int
    text: str
    lines: tuple[str, ...]
    is_asked: bool = True


def subnets(servers: Iterable[Server]) -> dict[bytes, list[str]]:
    """Return server ids by the first bytes of their /24 or /64, of registered literal addresses."""
    found: defaultdict[bytes, list[str]] = defaultdict(list)
    for server in servers:
        try:
            address = ipaddress.ip_address(server.address or "")
        except ValueError:
            continue
        found[address.packed[: _BYTES[address.version]]].append(server.id)
    return dict(found)


def subnet_name(first: bytes) -> str:
    """Return ``10.0.0.0/24`` for its first bytes."""
    address = first.ljust(4 if len(first) == _BYTES[4] else 16, b"\0")
    return f"{ipaddress.ip_address(address)}/{8 * len(first)}"


def surroundings(name: str, silent: Iterable[HostState | None]) -> SubnetState:
    """Judge a network by its hosts, each ``None`` unless it is silent."""
    hosts = list(silent)
    newest_ms = max((known.from_ms for known in hosts if known), default=0)
    since_ms = newest_ms - TOGETHER_MS
    # a host that was switched off, or died long ago, is no evidence about its network now
    unexplained = [
        known for known in hosts if not known or (not known.stop and known.from_ms >= since_ms)
    ]
    others = len(unexplained) - 1
    state: Network = "silent"
    if others < NEIGHBOURS or None in unexplained:
        state = "fine"
    else:
        steady = [known.steadiness for known in unexplained if known]
        if any(one.is_known and one.is_answering is not False for one in steady):
            state = "fine"
        elif not all(one.is_known for one in steady):
            state = "unknown"
    return SubnetState(name, state, others, since_ms)


def find(
    server: Server,
    known: HostState,
    around: SubnetState | None,
    begun_ms: int,
    now_ms: int,
    *,
    is_waiting: bool,
) -> Cause | None:
    """Return what is wrong with a host that is silent, or counts as such, since ``begun_ms``.

    ``None``: too little is known yet, and ``is_waiting`` is whether there is time to wait.
    """
    last = _last_sample(server, known, begun_ms, now_ms)
    refusal = known.refusal
    if refusal and now_ms - refusal.at_ms < REFUSAL_MS:
        text = f"The samples of {server.name} reach hostpulse and are refused: {refusal.text}"
        return replace(_finding("path_broken", text, known, last, now_ms), is_asked=False)
    if not server.address:
        text = f"{server.name} is silent; it has no address to ask whether it is down"
        return _finding("silent", text, known, last, now_ms, "no address is registered for it")
    if is_waiting and _is_open(known, around):
        return None
    verdict, text, more = _of_answers(server, known, around)
    return _finding(verdict, text, known, last, now_ms, *more)


def _is_open(known: HostState, around: SubnetState | None) -> bool:
    """Return whether an answer that is on its way may still change the verdict."""
    if not known.steadiness.is_known:
        return True
    is_down = known.steadiness.is_answering is False and not known.stop
    return is_down and around is not None and around.state == "unknown"


def _of_answers(
    server: Server, known: HostState, around: SubnetState | None
) -> tuple[Verdict, str, tuple[str, ...]]:
    """Return verdict, text and further lines from what came of asking."""
    name, address, steady = server.name, server.address, known.steadiness
    if not steady.is_known:
        return "silent", f"{name} is silent; {address} could not be asked yet", ()
    if steady.is_answering is None:
        return "silent", f"{name} is silent; whether it is down cannot be told", ()
    if steady.is_answering:
        text = f"The agent on {name} has stopped, or cannot reach hostpulse: the host answers"
        return "agent_stopped", text, ()
    if around and around.state == "silent" and not known.stop:
        others = f"{around.others} other hosts of {around.name}"
        text = f"The network of {name} does not answer: neither it nor the {others}"
        return "path_broken", text, (f"none of the {others} answers or reports",)
    if known.answers_while_up:
        return "host_down", f"{name} is down: {address} does not answer", ()
    return "silent", f"{name} is silent; {address} does not answer", (_unproven(known),)


def _unproven(known: HostState) -> str:
    """Return why a host that does not answer need not be down."""
    if known.answers_while_up is None:
        return "whether it answers to probes at all was not learnt: it may be up"
    return "it did not answer to probes while it reported, either (a firewall?): it may be up"


@dataclass(frozen=True, slots=True)
class _Last:
    """When a host reported last: as a time, as part of a sentence, and as a line."""

    at_ms: int
    text: str
    line: str


def _last_sample(server: Server, known: HostState, begun_ms: int, now_ms: int) -> _Last:
    if known.last_seen_ms:
        text = f"last sample {clock_time(known.last_seen_ms, now_ms)}"
        return _Last(known.last_seen_ms, text, f"{text}, {span(now_ms - known.last_seen_ms)} ago")
    if server.agent_version is not None:
        # it has reported, but before the engine ran, or it was disabled
        at = clock_time(begun_ms, now_ms)
        return _Last(begun_ms, f"no sample since {at}", f"no sample since it is watched, {at}")
    text = f"never reported since it was registered at {clock_time(server.created_ms, now_ms)}"
    return _Last(server.created_ms, text, text)


def _finding(
    verdict: Verdict, text: str, known: HostState, last: _Last, now_ms: int, *more: str
) -> Cause:
    lines = [last.line]
    if known.stop:
        stopped = f"stopped cleanly at {clock_time(known.stop.at_ms, now_ms)}"
        text = f"{text}; it {stopped}"
        lines.append(f"{stopped} ({known.stop.text})" if known.stop.text else stopped)
    if known.refusal and now_ms - known.refusal.at_ms < REFUSAL_MS:
        at = clock_time(known.refusal.at_ms, now_ms)
        lines.append(f"its requests are refused: {known.refusal.text} (at {at})")
    lines.extend((*known.steadiness.lines, *more))
    return Cause(verdict, last.at_ms, f"{text}; {last.text}", tuple(lines))
