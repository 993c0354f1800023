"""Chooses the conversation of each new alert where ``group_by`` is "auto"; pure.

A conversation is a group whose key is a JSON object: of a host ``{"server_id": …}``, of a rule over
many hosts ``{"rule": …}``, or of one alert that belongs to no host. The keys that a list in
``group_by`` makes are JSON arrays, so that the two never meet.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from hostpulse_server.values.alert import NO_SERVER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from hostpulse_server.notifications.planner.state import PlannedAlert

MANY: Final = 3  # hosts on which a rule has to fire to be a conversation of its own
LONGEST_KEY: Final = 1024
_HOST: Final = '{"server_id": '


def of_host(server_id: str) -> str:
    """Return the key of a host's conversation."""
    return _key({"server_id": server_id})


def of_rule(rule: str) -> str:
    """Return the key of a rule's conversation."""
    return _key({"rule": rule})


def is_of_host(key: str) -> bool:
    """Return whether a key is that of a host's conversation."""
    return key.startswith(_HOST)


def values(key: str) -> Mapping[str, str] | None:
    """Return what the alerts of a conversation have in common, ``None`` for other groups."""
    if not key.startswith("{"):
        return None
    found: dict[str, str] = json.loads(key)
    return found


def choose(
    alerts: Sequence[PlannedAlert], open_keys: Collection[str], lately: Mapping[str, Iterable[str]]
) -> dict[int, str]:
    """Return the key for each new alert of a channel, by its id.

    ``open_keys`` are those of conversations that were notified; ``lately`` has, by rule, the
    servers of which the channel was notified a short while ago. An alert of a rule with an open
    conversation belongs to that. The others are covered by as few conversations as it takes,
    those with the most alerts first; a rule counts once it fires on ``MANY`` hosts. What a host's
    and a rule's conversation could have is the rule's.
    """
    found: dict[int, str] = {}
    rest: list[PlannedAlert] = []
    for alert in alerts:
        if alert.server_id == NO_SERVER:
            found[alert.id] = _of_one(alert)
        elif of_rule(alert.rule) in open_keys:
            found[alert.id] = of_rule(alert.rule)
        else:
            rest.append(alert)
    wide = _cover(rest, _on_many(rest, lately))
    for alert in rest:
        is_wide = alert.rule in wide
        found[alert.id] = of_rule(alert.rule) if is_wide else of_host(alert.server_id)
    return found


def _on_many(
    alerts: Iterable[PlannedAlert], lately: Mapping[str, Iterable[str]]
) -> AbstractSet[str]:
    """Return the rules that fire on many hosts."""
    hosts: defaultdict[str, set[str]] = defaultdict(set)
    for alert in alerts:
        hosts[alert.rule].add(alert.server_id)
    return {rule for rule, found in hosts.items() if len(found.union(lately.get(rule, ()))) >= MANY}


def _cover(alerts: Iterable[PlannedAlert], on_many: AbstractSet[str]) -> AbstractSet[str]:
    """Return the rules that are conversations: the largest of rules and hosts first, greedily.

    Of two that are as large the rule is taken, then the first by name.
    """
    left: defaultdict[tuple[int, str], dict[int, PlannedAlert]] = defaultdict(dict)
    for alert in alerts:
        for vertex in _vertices(alert, on_many):
            left[vertex][alert.id] = alert
    queue = [(-len(of), vertex) for vertex, of in left.items()]
    heapq.heapify(queue)
    chosen = set()
    while queue:
        size, vertex = heapq.heappop(queue)
        of = left[vertex]
        if not of:
            continue
        if -size != len(of):  # some were taken since
            heapq.heappush(queue, (-len(of), vertex))
            continue
        chosen.add(vertex)
        for alert in list(of.values()):
            for other in _vertices(alert, on_many):
                del left[other][alert.id]
    return {name for kind, name in chosen if kind == 0}


def _vertices(alert: PlannedAlert, on_many: AbstractSet[str]) -> Iterable[tuple[int, str]]:
    yield 1, alert.server_id
    if alert.rule in on_many:
        yield 0, alert.rule


def _of_one(alert: PlannedAlert) -> str:
    """Return the key of an alert that belongs to no host."""
    return _key({"rule": alert.rule, "server_id": alert.server_id, **alert.tags})


def _key(names: Mapping[str, str]) -> str:
    text = json.dumps(dict(names), ensure_ascii=False)
    if len(text) <= LONGEST_KEY:
        return text
    return json.dumps({"of": hashlib.sha256(text.encode()).hexdigest()})
