"""Why a host is silent, and what that rests on. Pure."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from hostpulse_server.formatting import clock_time, span

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import tzinfo

    from hostpulse_server.liveness.host_state import HostState
    from hostpulse_server.registry import Server
    from hostpulse_server.rules.model import Verdict

REFUSAL_MS: Final = 180_000
_BYTES: Final = {4: 3, 6: 8}


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


def find(  # noqa: PLR0913 - the facts of a verdict
    server: Server,
    known: HostState,
    begun_ms: int,
    now_ms: int,
    *,
    is_waiting: bool,
    is_network_open: bool,
    zone: tzinfo,
) -> Cause | None:
    """Return what is wrong with a host that is silent, or counts as such, since ``begun_ms``.

    ``None``: too little is known yet, and ``is_waiting`` is whether there is time to wait.
    ``is_network_open`` is whether answers on their way may still blame its whole network.
    """
    times = _Times(now_ms, zone)
    last = _last_sample(server, known, begun_ms, times)
    refusal = known.refusal
    if refusal and now_ms - refusal.at_ms < REFUSAL_MS:
        text = f"The samples of {server.name} reach hostpulse and are refused: {refusal.text}"
        return replace(_finding("path_broken", text, known, last, times), is_asked=False)
    if not server.address:
        text = f"{server.name} is silent; it has no address to ask whether it is down"
        return _finding("silent", text, known, last, times, "no address is registered for it")
    if is_waiting and _is_open(known, is_network_open=is_network_open):
        return None
    verdict, text, more = _of_answers(server, known)
    return _finding(verdict, text, known, last, times, *more)


def _is_open(known: HostState, *, is_network_open: bool) -> bool:
    """Return whether an answer that is on its way may still change the verdict."""
    if not known.steadiness.is_known:
        return True
    return is_network_open and not known.steadiness.is_answering and not known.stop


def _of_answers(server: Server, known: HostState) -> tuple[Verdict, str, tuple[str, ...]]:
    """Return verdict, text and further lines from what came of asking."""
    name, address, steady = server.name, server.address, known.steadiness
    if not steady.is_known:
        return "silent", f"{name} is silent; {address} could not be asked yet", ()
    if steady.is_answering is None:
        return "silent", f"{name} is silent; whether it is down cannot be told", ()
    if steady.is_answering:
        text = f"The agent on {name} has stopped, or cannot reach hostpulse: the host answers"
        return "agent_stopped", text, ()
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


class _Times(NamedTuple):
    """Times of day, as seen now and where the site's people are."""

    now_ms: int
    zone: tzinfo

    def of(self, at_ms: int) -> str:
        return clock_time(at_ms, self.now_ms, self.zone)


def _last_sample(server: Server, known: HostState, begun_ms: int, times: _Times) -> _Last:
    if known.last_seen_ms:
        text = f"last sample {times.of(known.last_seen_ms)}"
        return _Last(
            known.last_seen_ms, text, f"{text}, {span(times.now_ms - known.last_seen_ms)} ago"
        )
    if server.agent_version is not None:
        # it has reported, but before the engine ran, or it was disabled
        at = times.of(begun_ms)
        return _Last(begun_ms, f"no sample since {at}", f"no sample since it is watched, {at}")
    text = f"never reported since it was registered at {times.of(server.created_ms)}"
    return _Last(server.created_ms, text, text)


def _finding(
    verdict: Verdict, text: str, known: HostState, last: _Last, times: _Times, *more: str
) -> Cause:
    lines = [last.line]
    if known.stop:
        stopped = f"stopped cleanly at {times.of(known.stop.at_ms)}"
        text = f"{text}; it {stopped}"
        lines.append(f"{stopped} ({known.stop.text})" if known.stop.text else stopped)
    if known.refusal and times.now_ms - known.refusal.at_ms < REFUSAL_MS:
        at = times.of(known.refusal.at_ms)
        lines.append(f"its requests are refused: {known.refusal.text} (at {at})")
    lines.extend((*known.steadiness.lines, *more))
    return Cause(verdict, last.at_ms, f"{text}; {last.text}", tuple(lines))
