"""How the stand-in's handlers are called, and what they answer: values without any I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.servers.grafana_api.settings import Settings
    from tests.servers.grafana_api.state import State

# Whose requests a route takes, each with what the one before may.
NOBODY, VIEWER, EDITOR, ADMIN, SERVER_ADMIN = range(5)
RANKS = {"Viewer": VIEWER, "Editor": EDITOR, "Admin": ADMIN}
ORGANIZATION = 1


class ApiError(Exception):
    """A request is refused; ``body`` is what the answer says."""

    def __init__(self, status: int, message: str, /, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"message": message, **more}


@dataclass(frozen=True)
class Identity:
    """Who asks: a user, a service account (``token``), or nobody."""

    kind: str = "nobody"
    id: int = 0
    login: str = ""
    role: str = ""
    server_admin: bool = False

    @property
    def rank(self) -> int:
        """Return what it may, as the ranks of routes."""
        return SERVER_ADMIN if self.server_admin else RANKS.get(self.role, NOBODY)


@dataclass(frozen=True)
class Call:
    """One request, signed in."""

    state: State
    settings: Settings
    who: Identity
    query: Mapping[str, list[str]] = field(default_factory=dict)
    body: Any = None
    server: Any = None

    def given(self, name: str, default: str = "") -> str:
        """Return a parameter of the query."""
        return self.query.get(name, [default])[0]

    def most(self, name: str, default: int) -> int:
        """Return how many the query asks for, else the page of the settings or ``default``."""
        less = self.settings.number("stand_in", "page")
        return int(self.given(name, str(less or default)))

    def document(self) -> dict[str, Any]:
        """Return the body, which has to be an object."""
        if not isinstance(self.body, dict):
            raise ApiError(400, "bad request data")
        return self.body


class Route(NamedTuple):
    """A method, a path with ``{}`` where a part varies, who may, and what answers."""

    method: str
    path: str
    rank: int
    answer: Callable[..., Any]


class Answer(NamedTuple):
    """A status other than 200, and a body."""

    status: int
    body: Any


def refuse(permission: str) -> NoReturn:
    """Refuse what the one who asks may not."""
    raise ApiError(
        403,
        "You'll need additional permissions to perform this action. Permissions needed:"
        f" {permission}",
        title="Access denied",
    )


def now() -> str:
    """Return the time as the interface writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def said(message: str, **more: Any) -> dict[str, Any]:
    """Return the answer of a request that changed something."""
    return {"message": message, **more}
