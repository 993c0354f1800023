"""Exchanges that Grafana's documentation describes, and how a server's answers differ from them.

    for exchange, found in run("http://127.0.0.1:3000", password):
        print(exchange.name, found or "as documented")

``grafana_exchanges.json`` has one object an exchange: ``name``; ``source``, the page, thread,
client or test of ours that says so; ``setup``, earlier requests; the request (``as``, ``method``,
``path``, ``body``); ``status``, one, or several where the sources leave open which; ``shape`` of
the answer; ``never``, texts that are nowhere in it; ``since``, by version, what newer releases
answer instead; ``note``, for the reader.

``as`` is ``admin``, ``viewer``, ``nobody``, ``wrong password``, a login with its password, or
``{"token": …}``. A request of the setup expects 2xx unless it has a ``status``; its ``learn`` gives
names to values of its answer, and ``{name}`` stands for such a value later. ``{password}`` is the
administrator's. Shapes: see ``differences``.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

FILE = Path(__file__).with_name("grafana_exchanges.json")
ADMIN = "admin"
VIEWER = ("x-viewer", "x-viewer-password")
TIMEOUT_SECONDS = 60
_OK = tuple(range(200, 300))
_VIEWER_IS_THERE = 412
_SHOWN = 200  # characters of an answer
_MOST = 20  # differences of one answer
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_WORD = re.compile(r"<(.+)>")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


@dataclass(frozen=True)
class Request:
    """One request: who sends it, and the statuses that it may be answered with."""

    method: str
    path: str
    body: Any = None
    who: Any = ADMIN
    status: tuple[int, ...] = _OK
    learn: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Request:
        """Return the request that an object of the file describes."""
        status = document.get("status", _OK)
        return cls(
            method=document["method"],
            path=document["path"],
            body=document.get("body"),
            who=document.get("as", ADMIN),
            status=(status,) if isinstance(status, int) else tuple(status),
            learn=document.get("learn", {}),
        )


@dataclass(frozen=True)
class Exchange:
    """A request with what is answered to it, and what has to be asked before."""

    name: str
    source: str
    setup: tuple[Request, ...]
    request: Request
    shape: Any
    never: tuple[str, ...]


def load(version: str = "", file: Path = FILE) -> list[Exchange]:
    """Return the exchanges as a version has them, by default the one they were noted from."""
    document = json.loads(file.read_text(encoding="utf-8"))
    exchanges = []
    for one in document["exchanges"]:
        newer = one.get("since", {})
        changed = dict(one)
        for since in sorted(newer, key=_numbers):
            if _numbers(since) <= _numbers(version or document["version"]):
                changed |= newer[since]
        exchanges.append(
            Exchange(
                name=changed["name"],
                source=changed["source"],
                setup=tuple(map(Request.of, changed.get("setup", ()))),
                request=Request.of(changed),
                shape=changed["shape"],
                never=tuple(changed.get("never", ())),
            )
        )
    return exchanges


def run(url: str, password: str, file: Path = FILE) -> Iterator[tuple[Exchange, list[str]]]:
    """Ask a server all exchanges in their order; yield each with the differences found."""
    server = _Server(url, password)
    _, health = server.send(Request("GET", "/api/health", who="nobody"), {})
    version = _parsed(health).get("version", "")
    login, secret = VIEWER
    viewer = Request("POST", "/api/admin/users", {"login": login, "password": secret})
    status, answer = server.send(viewer, {})
    if status not in (*_OK, _VIEWER_IS_THERE):
        raise ValueError(f"{url} makes no viewer: {status} {answer[:_SHOWN]}")
    for exchange in load(version, file):
        yield exchange, _asked(server, exchange, {"password": password})


def differences(shape: Any, answer: Any, path: str = "$") -> list[str]:
    """Return how a parsed answer differs from a shape, each difference behind its JSON path.

    An object has at least the keys of the shape, each with a value of the shape there. ``[]`` is an
    empty list; a list of one shape has at least one element, and each is of that shape; a list of
    several has just these. ``["<with>", a, b, "<without>", c]`` has elements of the shapes a and b
    and none of the shape c; behind ``"<first>"`` comes the shape of its first element. Words:
    ``<int>``, ``<str>``, ``<bool>``, ``<list>``, ``<object>``, ``<time>`` (RFC 3339), ``<any>``,
    ``<null or …>``, ``<str glsa_>`` (begins so), and, as a value of an object, ``<absent>`` (there
    is no such key, or it is null). All else is a literal.
    """
    if isinstance(shape, dict):
        return _object(shape, answer, path)
    if isinstance(shape, list):
        return _list(shape, answer, path)
    word = _WORD.fullmatch(shape) if isinstance(shape, str) else None
    fits = _is(word[1], answer) if word else (type(shape), shape) == (type(answer), answer)
    return [] if fits else [f"{path}: {_short(answer)}, not {_short(shape)}"]


def filled(value: Any, known: Mapping[str, Any]) -> Any:
    """Return a value in which ``{name}`` is what is known by that name.

    A text that is nothing else becomes the value itself, of whatever type. Raises KeyError for a
    name that is not known.
    """
    if isinstance(value, dict):
        return {filled(key, known): filled(one, known) for key, one in value.items()}
    if isinstance(value, list):
        return [filled(one, known) for one in value]
    if not isinstance(value, str):
        return value
    whole = _PLACEHOLDER.fullmatch(value)
    return known[whole[1]] if whole else _PLACEHOLDER.sub(lambda one: str(known[one[1]]), value)


class _Server:
    """A server of Grafana's interface, as somebody on the outside sees it."""

    def __init__(self, url: str, password: str) -> None:
        self._parts = urlsplit(url)
        self._password = password

    def send(self, request: Request, known: Mapping[str, Any]) -> tuple[int, str]:
        """Return status and body of the answer."""
        headers = {"Content-Type": "application/json", **self._login(filled(request.who, known))}
        body = None if request.body is None else json.dumps(filled(request.body, known)).encode()
        path = self._parts.path.rstrip("/") + filled(request.path, known)
        with closing(
            http.client.HTTPConnection(self._parts.netloc, timeout=TIMEOUT_SECONDS)
        ) as connection:
            connection.request(request.method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read().decode()

    def _login(self, who: Any) -> dict[str, str]:
        if who == "nobody":
            return {}
        if isinstance(who, dict):
            return {"Authorization": f"Bearer {who['token']}"}
        logins = {
            ADMIN: (ADMIN, self._password),
            "viewer": VIEWER,
            "wrong password": (ADMIN, f"not-{self._password}"),
        }
        name, password = logins[who] if isinstance(who, str) else who
        return {
            "Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()
        }


def _asked(server: _Server, exchange: Exchange, known: dict[str, Any]) -> list[str]:
    """Return how a server differs from an exchange."""
    try:
        for number, request in enumerate(exchange.setup, 1):
            status, text = server.send(request, known)
            step = f"setup {number}, {request.method} {request.path}: {status} {text[:_SHOWN]}"
            if status not in request.status:
                return [step]
            answer = _parsed(text)
            for name, key in request.learn.items():
                if key not in answer:
                    return [f"{step} has no {key}"]
                known[name] = answer[key]
        status, text = server.send(exchange.request, known)
    except (OSError, http.client.HTTPException) as error:
        return [f"no answer: {error!r}"]
    if status not in exchange.request.status:
        expected = " or ".join(map(str, exchange.request.status))
        return [f"status: {status}, not {expected}: {text[:_SHOWN]}"]
    try:
        answer = json.loads(text) if text.strip() else None
    except ValueError:
        return [f"$: {text[:_SHOWN]!r} is no JSON"]
    found = differences(filled(exchange.shape, known), answer)
    told = (one for one in filled(list(exchange.never), known) if one in text)
    rest = [f"… and {len(found) - _MOST} more"] if len(found) > _MOST else []
    return [*found[:_MOST], *rest, *(f"$: holds {one!r}" for one in told)]


def _parsed(text: str) -> Any:
    """Return the object that an answer of the setup is, an empty one for anything else."""
    try:
        answer = json.loads(text)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _numbers(version: str) -> tuple[int, ...]:
    """Return what versions are compared by: 10.3.1-5 as 10, 3, 1."""
    return tuple(int(one) for one in re.match(r"[\d.]*", version)[0].split(".") if one)  # type: ignore[index]


def _object(shape: Mapping[str, Any], answer: Any, path: str) -> list[str]:
    if not isinstance(answer, dict):
        return [f"{path}: {_short(answer)}, not an object"]
    found = []
    for key, expected in shape.items():
        place = f"{path}.{key}"
        if expected == "<absent>":
            there = answer.get(key) is not None
            found += [f"{place}: {_short(answer[key])}, not absent"] if there else []
        elif key not in answer:
            found.append(f"{place}: missing")
        else:
            found += differences(expected, answer[key], place)
    return found


def _list(shape: list[Any], answer: Any, path: str) -> list[str]:
    if not isinstance(answer, list):
        return [f"{path}: {_short(answer)}, not a list"]
    if shape and isinstance(shape[0], str) and shape[0] in _MODES:
        found, mode = [], ""
        for one in shape:
            if isinstance(one, str) and one in _MODES:
                mode = one
            else:
                found += _MODES[mode](one, answer, path)
        return found
    pairs = list(zip(shape * len(answer) if len(shape) == 1 else shape, answer, strict=False))
    found = [
        difference
        for number, (expected, one) in enumerate(pairs)
        for difference in differences(expected, one, f"{path}[{number}]")
    ]
    if len(shape) == 1 and not answer:
        found.append(f"{path}: empty")
    if len(shape) != 1 and len(shape) != len(answer):
        found.append(f"{path}: {len(answer)} elements, not {len(shape)}")
    return found


def _with(shape: Any, answer: list[Any], path: str) -> list[str]:
    tried = [differences(shape, one, f"{path}[{number}]") for number, one in enumerate(answer)]
    nearest = min(tried, key=len, default=["it is empty"])
    return [f"{path}: no element is {_short(shape)}: {'; '.join(nearest)}"] if nearest else []


def _without(shape: Any, answer: list[Any], path: str) -> list[str]:
    return [
        f"{path}[{number}]: {_short(one)}, which is not to be there"
        for number, one in enumerate(answer)
        if not differences(shape, one)
    ]


def _first(shape: Any, answer: list[Any], path: str) -> list[str]:
    return differences(shape, answer[0], f"{path}[0]") if answer else [f"{path}: empty"]


_MODES: dict[str, Callable[[Any, list[Any], str], list[str]]] = {
    "<with>": _with,
    "<without>": _without,
    "<first>": _first,
}
_KINDS: dict[str, Callable[[Any], bool]] = {
    "any": lambda _: True,
    "bool": lambda one: isinstance(one, bool),
    "int": lambda one: isinstance(one, int) and not isinstance(one, bool),
    "list": lambda one: isinstance(one, list),
    "object": lambda one: isinstance(one, dict),
    "str": lambda one: isinstance(one, str),
    "time": lambda one: isinstance(one, str) and bool(_TIME.fullmatch(one)),
}


def _is(word: str, answer: Any) -> bool:
    """Tell whether an answer is what a word says; raise ValueError for one that says nothing."""
    kind = word.removeprefix("null or ")
    if kind != word and answer is None:
        return True
    if kind.startswith("str "):
        return isinstance(answer, str) and answer.startswith(kind.removeprefix("str "))
    if kind not in _KINDS:
        raise ValueError(f"<{word}> is no word of a shape")
    return _KINDS[kind](answer)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
