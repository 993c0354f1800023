"""Names in the server's package: a class has its name to itself."""

from __future__ import annotations

import ast
from collections import defaultdict

from tests.policy.repository import ROOT

PACKAGE = ROOT / "app" / "src" / "hostpulse_server"
NOT_OURS = {"Meta"}  # marshmallow's, inside a schema


def test_a_class_name_is_used_once_in_the_server() -> None:
    """Who looks for a name in a log or a traceback finds one place."""
    places: defaultdict[str, list[str]] = defaultdict(list)
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(str(path.relative_to(PACKAGE)))
    assert places
    assert {
        name: found for name, found in places.items() if len(found) > 1 and name not in NOT_OURS
    } == {}
