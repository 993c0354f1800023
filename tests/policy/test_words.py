"""One vocabulary: words that were replaced stay out of identifiers, log messages and documents.

``docs/glossary.md`` has the words that are used instead.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Final

import pytest
from tests.policy.repository import ROOT, tracked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

PACKAGES: Final = ("app/src", "agent/src", "backup/src")
LOG_METHODS: Final = frozenset({"debug", "info", "warning", "error", "exception", "critical"})

# Old word → what it is called now. A key of several words matches them in a row.
REPLACED: Final = {
    "told": "notified (people), reported (state)",
    "untold": "forget_notified",
    "untell": "forget_notified",
    "telling": "notification log entry",
    "tellings": "notification log",
    "gravest": "most severe",
    "graver": "more severe",
    "errand": "background task",
    "errands": "background tasks",
    "roster": "server directory",
    "enrol": "register",
    "shelf": "spool buffer",
    "farewell": "stopping",
    "lend": "install",
    "lent": "installed",
    "take back": "unacknowledge",
    "lay over": "merge",
    "crosscheck": "psutil comparison",
    "stumbles": "fails alone",
    "stumbled": "fails alone",
    "worry": "overdue",
}
# As above, in the server's identifiers alone: elsewhere they are ordinary words.
REPLACED_NAMES: Final = {
    "feed": "add",
    "settle": "collect changes, finish",
    "unsettled": "uncollected",
    "heard": "seen",
    "watch": "compiled rule, observe",
    "watches": "compiled rules",
    "lane": "stream (shipper), buffer (trend)",
    "lanes": "streams, buffers",
    "suspects": "failing windows",
    "tell": "collect changes, notify",
    "ourselves": "fleet outage",
}
# Class names that say nothing, or something else in this field.
CLASS_NAMES: Final = frozenset(
    """
    Bell Book Books Drain Ear Errand Hands Known Ledger Machine Members Mutes News Ourselves Place
    Plan Quiet Roll Roster Said SetAside Shelf Spell Standing Surroundings Tally Telling Ticket Told
    Troubles Verdict Watch
    """.split()  # noqa: SIM905 -- thirty quoted words would hide the list
)

# Where an old word stays, and why.
ALLOWED_NAMES: Final = {
    ("app/src/hostpulse_server/api/alert_schemas.py", "told"): "field of the HTTP API",
}
ALLOWED_LINES: Final = {
    ("docs/performance.md", "Waiting to be told (timeseries)"): "a panel's title, measured so",
    ("docs/server-metrics.md", "told or not"): "generated from the catalogue, shown by /metrics",
}

CODE: Final = re.compile(r"^```.*?^```|^ {4}.*?$|`[^`\n]+`|\]\([^)\n]*\)", re.DOTALL | re.MULTILINE)


def any_of(words: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern for any of the words."""
    alternatives = "|".join(re.escape(word).replace(r"\ ", r"[\s_-]") for word in words)
    return re.compile(rf"\b({alternatives})\b", re.IGNORECASE)


WORDS: Final = any_of(REPLACED)
SERVER_NAMES: Final = any_of(REPLACED | REPLACED_NAMES)
DOCUMENTS: Final = [
    path
    for path in tracked(".md")
    if path.relative_to(ROOT).parts[0] in ("docs", "README.md", "CONTRIBUTING.md")
    or path.relative_to(ROOT).as_posix() == "grafana/README.md"
]


def parts(name: str) -> str:
    """Return the words of an identifier, split at underscores and case, with blanks between."""
    return " ".join(re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)).lower()


def identifiers(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield names that a module gives: functions, classes, arguments, attributes, variables."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.keyword):
            yield node.lineno, node.arg or ""
        elif isinstance(node, ast.Attribute):
            yield node.lineno, node.attr
        elif isinstance(node, ast.Name):
            yield node.lineno, node.id
        elif isinstance(node, ast.alias) and node.asname:
            yield 0, node.asname


def log_texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the constant texts within calls of a logger's methods."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in LOG_METHODS
            and re.search(r"log\w*$", ast.unparse(node.func.value))
        ):
            for inner in (part for argument in node.args for part in ast.walk(argument)):
                if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                    yield inner.lineno, inner.value


def faults_of_source(name: str, text: str) -> list[str]:
    """Return what is wrong with a module's identifiers and log messages."""
    tree = ast.parse(text)
    words = SERVER_NAMES if name.startswith("app/src/") else WORDS
    replaced = REPLACED | REPLACED_NAMES
    found = [
        f"{name}:{line}: {identifier}: {replaced[old.group().lower()]} is the word"
        for line, identifier in sorted(set(identifiers(tree)))
        if (name, identifier) not in ALLOWED_NAMES
        for old in [words.search(parts(identifier))]
        if old
    ]
    found += [
        f"{name}:{node.lineno}: class {node.name} is no name"
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and node.name in CLASS_NAMES
    ]
    found += [
        f"{name}:{line}: logs {text!r}: {REPLACED[old.group().lower()]} is the word"
        for line, text in log_texts(tree)
        for old in [WORDS.search(text)]
        if old
    ]
    return found


def faults_of_document(name: str, text: str) -> list[str]:
    """Return what is wrong with a document's prose; code and addresses of links are left out."""
    for file, allowed in ALLOWED_LINES:
        if file == name:
            text = text.replace(allowed, "")
    prose = CODE.sub(lambda code: "\n" * code.group().count("\n"), text)
    return [
        f"{name}:{prose.count(chr(10), 0, old.start()) + 1}: {old.group()}"
        for old in WORDS.finditer(prose)
    ]


def modules() -> list[Path]:
    """Return the modules of the three programs."""
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def test_sources_use_the_words_of_the_glossary() -> None:
    """No identifier and no log message of a program has a word that was replaced."""
    found = [
        fault
        for path in modules()
        for fault in faults_of_source(
            path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        )
    ]
    assert len(modules()) > 100
    assert found == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_use_the_words_of_the_glossary(path: Path) -> None:
    """No document has a word that was replaced, outside code."""
    name = path.relative_to(ROOT).as_posix()
    assert faults_of_document(name, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        "def who_is_told(): ...",
        "class Roster: ...",
        "def note(*, graver_first): ...",
        "self._told_ms = 0",
        "alerts.take_back(7)",
        "layOver = 1",
        "log.warning('%s was told', name)",
        "self._log.error(f'an errand of {name} failed')",
    ],
)
def test_a_planted_word_is_found_in_a_source(text: str) -> None:
    """The check sees names of every kind, and texts of log messages."""
    assert len(faults_of_source("planted.py", text)) >= 1


def test_a_planted_name_is_found_in_the_server_only() -> None:
    """Where a word is an ordinary one elsewhere."""
    text = "def settle(lanes, *, watch): self._suspects.tell(heard)"
    assert len(faults_of_source("app/src/planted.py", text)) == 6
    assert faults_of_source("agent/src/planted.py", text) == []


def test_a_planted_word_is_found_in_prose_only() -> None:
    """An API field in code may keep its name; a sentence may not."""
    text = "# Alerts\n\n    {'told': []}\n\n`told` is a field.\nThe gravest is told [x](told.md).\n"
    assert faults_of_document("planted.md", text) == ["planted.md:6: gravest", "planted.md:6: told"]


def test_exceptions_are_still_needed() -> None:
    """An allowance that nothing uses any more goes."""
    for name, identifier in ALLOWED_NAMES:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert identifier in {found for _, found in identifiers(ast.parse(text))}, identifier
    for name, words in ALLOWED_LINES:
        assert words in (ROOT / name).read_text(encoding="utf-8"), words
