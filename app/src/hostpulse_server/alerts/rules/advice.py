"""What is right as far as it goes and yet hardly meant: warnings of ``rules check``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hostpulse_server.alerts.rules.loading import Book
    from hostpulse_server.alerts.rules.model import Rule

# the tags of what agents and the server write; of other measurements they are not known here
TAGS: Final[Mapping[str, tuple[str, ...]]] = {
    "agent": (),
    "alert": ("rule", "severity", "state"),
    "backup": ("kind",),
    "certificate": ("name",),
    "connections": (),
    "cpu": ("core",),
    "disk": ("mount",),
    "diskio": ("device",),
    "kernel": (),
    "memory": (),
    "network": ("interface",),
    "pipeline": (),
    "pressure": ("resource",),
    "probe": ("target",),
    "server": ("env", "group", "agent_version"),
    "swap": (),
    "system": (),
}


def untested(book: Book) -> list[str]:
    """Return the names of rules that are on and have no test."""
    tested = {case.rule.name for case in book.cases}
    return [name for name, rule in book.rules.rules.items() if rule.enabled and name not in tested]


def warnings(book: Book) -> list[str]:
    """Return a line for all that deserves a second look."""
    found = [f"rule {name} has no test" for name in untested(book)]
    for rule in book.rules.rules.values():
        found += [f"rule {rule.name}: {text}" for text in _unmatched(rule)]
    return found


def _unmatched(rule: Rule) -> Iterator[str]:
    """Yield what names a tag that the rule's measurement does not have: it never matches."""
    tags = () if rule.kind == "liveness" else TAGS.get(rule.measurement)
    if tags is None:
        return
    what = "silence" if rule.kind == "liveness" else rule.measurement
    for name in rule.where:
        if name not in tags:
            yield f"where.{name}: {what} has no tag {name}, so nothing matches"
    for number, override in enumerate(rule.overrides, 1):
        for name in override.match:
            if name not in ("server_id", *tags) and not name.startswith("label."):
                yield (
                    f"overrides[{number}].match.{name}: {what} has no tag {name}, so nothing "
                    f"matches; a label is label.{name}"
                )
