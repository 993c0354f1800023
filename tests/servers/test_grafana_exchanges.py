"""The stand-in answers as Grafana's documentation says, and so does a real Grafana."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from testbed.grafana.local import Grafana
from tests.servers import exchanges
from tests.servers.exchanges import FILE, Exchange, Request, differences, filled, load, run
from tests.servers.grafana_api.local import StandIn
from tests.support.http_server import QuietHandler, serving, url_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DOCUMENT = json.loads(FILE.read_text(encoding="utf-8"))
NAMES = [one["name"] for one in DOCUMENT["exchanges"]]
GET = Request("GET", "/api/health", who="nobody")
SOURCE = re.compile(
    r"https://grafana\.com/docs/\S+"
    r"|thread: [\w.-]+/[\w.-]+#\d+"
    r"|client: [\w.-]+/[\w.-]+: \S+"
    r"|observed: \S+ against 10\.0\.0"
)


def answered(server: Grafana | StandIn) -> dict[str, list[str]]:
    """Return the differences by the exchange's name: they are asked in order, and once."""
    return {exchange.name: found for exchange, found in run(server.url, server.password)}


@pytest.fixture(scope="session")
def of_the_stand_in(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Give how the stand-in differs."""
    with StandIn.start(tmp_path_factory.mktemp("stand-in-exchanges")) as server:
        return answered(server)


@pytest.fixture(scope="session")
def of_grafana(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Give how a real Grafana differs."""
    with Grafana.start(tmp_path_factory.mktemp("grafana-exchanges")) as server:
        return answered(server)


@pytest.mark.integration
@pytest.mark.parametrize("name", NAMES)
def test_the_stand_in_answers_as_documented(
    of_the_stand_in: dict[str, list[str]], name: str
) -> None:
    """One exchange; what is shown are the differences, each behind its JSON path."""
    assert of_the_stand_in[name] == []


@pytest.mark.grafana
@pytest.mark.parametrize("name", NAMES)
def test_a_real_grafana_answers_as_documented(of_grafana: dict[str, list[str]], name: str) -> None:
    """As above: what the stand-in is held to is true."""
    assert of_grafana[name] == []


@pytest.mark.parametrize(
    ("shape", "answer"),
    [
        ({"id": "<int>"}, {"id": 7, "more": True}),
        ({"name": "<str>", "on": "<bool>", "all": "<list>", "of": "<object>", "x": "<any>"},
         {"name": "", "on": False, "all": [], "of": {}, "x": None}),
        ({"at": "<time>"}, {"at": "2026-11-30T20:15:00Z"}),
        ({"at": "<time>"}, {"at": "2017-06-20T02:00:00.123456789+02:00"}),
        ("<null or list>", None),
        ("<null or list>", [1]),
        ({"key": "<str glsa_>"}, {"key": "glsa_abc"}),
        ({"secret": "<absent>"}, {}),
        ({"secret": "<absent>"}, {"secret": None}),
        ([], []),
        ([{"id": "<int>"}], [{"id": 1}, {"id": 2}]),
        (["a", "b"], ["a", "b"]),
        (["<with>", {"id": 2}, {"id": 1}], [{"id": 1}, {"id": 2}, {"id": 3}]),
        (["<without>", {"id": 2}], [{"id": 1}]),
        (["<without>", {"id": 2}], []),
        (["<first>", {"id": 2}, "<with>", {"id": 1}], [{"id": 2}, {"id": 1}]),
    ],
)  # fmt: skip
def test_an_answer_of_the_shape_does_not_differ(shape: Any, answer: Any) -> None:
    """Further keys are allowed, further elements where the shape says so."""
    assert differences(shape, answer) == []


@pytest.mark.parametrize(
    ("shape", "answer", "found"),
    [
        ({"id": "<int>"}, {"id": "7"}, '$.id: "7", not "<int>"'),
        ({"id": "<int>"}, {"id": True}, '$.id: true, not "<int>"'),
        ({"id": 1}, {"id": True}, "$.id: true, not 1"),
        ({"on": False}, {"on": 0}, "$.on: 0, not false"),
        ({"id": "<int>"}, {}, "$.id: missing"),
        ({"a": {"b": "<str>"}}, {"a": {"b": None}}, '$.a.b: null, not "<str>"'),
        ({"a": {"b": "<str>"}}, {"a": []}, "$.a: [], not an object"),
        ({"at": "<time>"}, {"at": "yesterday"}, '$.at: "yesterday", not "<time>"'),
        ({"at": "<time>"}, {"at": "2026-11-30"}, '$.at: "2026-11-30", not "<time>"'),
        ("<null or list>", {}, '$: {}, not "<null or list>"'),
        ({"key": "<str glsa_>"}, {"key": "abc"}, '$.key: "abc", not "<str glsa_>"'),
        ({"secret": "<absent>"}, {"secret": "s"}, '$.secret: "s", not absent'),
        ({"status": "ok"}, {"status": "ERROR"}, '$.status: "ERROR", not "ok"'),
        ([], [1], "$: 1 elements, not 0"),
        ([], None, "$: null, not a list"),
        ([{"id": "<int>"}], [], "$: empty"),
        ([{"id": "<int>"}], [{"id": 1}, {}], "$[1].id: missing"),
        (["a", "b"], ["a"], "$: 1 elements, not 2"),
        (["a", "b"], ["b", "a"], '$[0]: "b", not "a"'),
        (["<with>", {"id": 2}], [{"id": 1}], '$: no element is {"id": 2}: $[0].id: 1, not 2'),
        (["<with>", {"id": 2}], [], '$: no element is {"id": 2}: it is empty'),
        (["<without>", {"id": 2}], [{"id": 2}], '$[0]: {"id": 2}, which is not to be there'),
        (["<first>", {"id": 2}], [{"id": 1}, {"id": 2}], "$[0].id: 1, not 2"),
        (["<first>", {"id": 2}], [], "$: empty"),
    ],
)
def test_a_difference_is_found_behind_its_path(shape: Any, answer: Any, found: str) -> None:
    """A wrong type, a missing key, an empty list."""
    assert found in differences(shape, answer)


def test_a_word_that_says_nothing_is_an_error() -> None:
    """Not a shape that everything has."""
    with pytest.raises(ValueError, match="<integer> is no word"):
        differences({"id": "<integer>"}, {"id": 1})


def test_what_was_learnt_keeps_its_type() -> None:
    """A number in a body is a number, and text in a path."""
    known = {"team": 7}
    assert filled({"teamId": "{team}", "more": ["{team}"]}, known) == {"teamId": 7, "more": [7]}
    assert filled("/api/teams/{team}/members", known) == "/api/teams/7/members"
    with pytest.raises(KeyError, match="gone"):
        filled("/api/teams/{gone}", known)


@pytest.mark.parametrize(
    ("version", "expected"),
    [("", 1), ("10.2.9", 1), ("10.3.0", 2), ("11.6.1", 2), ("12.0.0-55", 3), ("13.1", 3)],
)
def test_an_exchange_is_as_the_version_has_it(tmp_path: Path, version: str, expected: int) -> None:
    """The newest of those that the server is not older than."""
    since = {"12": {"shape": 3}, "10.3": {"shape": 2, "status": [409, 412]}}
    request = {"as": "admin", "method": "GET", "path": "/", "status": 200}
    one = {"name": "n", "source": "s", **request, "shape": 1, "since": since}
    path = tmp_path / "exchanges.json"
    path.write_text(json.dumps({"version": "10.0.0", "exchanges": [one]}))
    (found,) = load(version, path)
    assert found.shape == expected
    assert found.request.status == ((200,) if expected == 1 else (409, 412))


class Empty(QuietHandler):
    """Answers whatever is asked with an empty object."""

    def respond(self) -> None:
        """Send it."""
        self.body()
        self.reply(200, b"{}")


@pytest.fixture
def empty() -> Iterator[str]:
    """Give the address of a server that has nothing to say."""
    with serving(Empty) as server:
        yield url_of(server)


def test_a_server_with_nothing_to_say_differs_in_every_exchange(empty: str) -> None:
    """None of them is one that everything passes."""
    found = list(run(empty, "any-password"))
    assert [one.name for one, _ in found] == NAMES
    assert [one.name for one, differing in found if not differing] == []


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (Exchange("", "", (), GET, {}, ()), []),
        (Exchange("", "", (), GET, {}, ("}", "secret")), ["$: holds '}'"]),
        (Exchange("", "", (), replace(GET, status=(404, 410)), {}, ()),
         ["status: 200, not 404 or 410: {}"]),
        (Exchange("", "", (GET, replace(GET, status=(401,))), GET, {}, ()),
         ["setup 2, GET /api/health: 200 {}"]),
        (Exchange("", "", (replace(GET, learn={"team": "teamId"}),), GET, {}, ()),
         ["setup 1, GET /api/health: 200 {} has no teamId"]),
    ],
)  # fmt: skip
def test_a_difference_outside_of_the_shape_is_found(
    empty: str, asked: Exchange, found: list[str]
) -> None:
    """A status, a text that is not to be there, a step before that fails."""
    assert exchanges._asked(exchanges._Server(empty, "any-password"), asked, {}) == found


def test_a_server_that_does_not_answer_differs() -> None:
    """It is said, and the next exchange can be asked."""
    server = exchanges._Server("http://127.0.0.1:1", "any-password")
    (said,) = exchanges._asked(server, load()[0], {})
    assert said.startswith("no answer: ")


def placeholders(value: Any) -> set[str]:
    """Return the names that a value of the file refers to."""
    return set(re.findall(r"\{(\w+)\}", json.dumps(value)))


def test_names_are_sentences_and_used_once() -> None:
    """They are what a failing test is found by."""
    assert len(set(NAMES)) == len(NAMES)
    assert [name for name in NAMES if not re.fullmatch(r"[A-Z].*[^.]", name)] == []


@pytest.mark.parametrize("one", DOCUMENT["exchanges"], ids=NAMES)
def test_an_exchange_says_where_it_is_from_and_stands_alone(one: dict[str, Any]) -> None:
    """It has names of its own, and uses no value but those that it has learnt."""
    assert SOURCE.fullmatch(one["source"])
    text = json.dumps(one)
    own = set(re.findall(r"x-(\d+)-", text))
    assert len(own) <= 1
    others = json.dumps([other for other in DOCUMENT["exchanges"] if other is not one])
    assert not any(f"x-{number}-" in others for number in own)
    known = {"password"}
    for step in one.get("setup", ()):
        assert placeholders([step["path"], step.get("body"), step["as"]]) <= known
        known |= set(step.get("learn", {}))
    assert placeholders({key: one[key] for key in one if key != "setup"}) <= known


def test_every_exchange_is_read() -> None:
    """The file as a whole is one that the runner takes, for the version that it was noted from."""
    found = load(DOCUMENT["version"])
    assert [one.name for one in found] == NAMES
    assert [one.name for one in found if not one.request.path.startswith("/api/")] == []
