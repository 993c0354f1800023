"""Merges one part of a rules file into another, key by key."""

from __future__ import annotations

from hostpulse_server.rules.yaml_nodes import Node


def merge(base: Node, changes: Node) -> Node:
    """Return ``base`` with ``changes`` laid over it.

    Mappings are joined key by key to any depth; everything else, lists included, is replaced. A
    null in ``changes`` stays one: readers take it for a key that is not there.
    """
    below, above = base.table, changes.table
    if below is None or above is None:
        return changes
    joined = dict(below)
    for key, node in above.items():
        joined[key] = merge(joined[key], node) if key in joined else node
    return Node(changes.at, joined, size=1 + sum(node.size for node in joined.values()))
