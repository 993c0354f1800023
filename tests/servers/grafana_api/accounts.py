"""Users, teams and service accounts of the stand-in, and how a request is signed in."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from typing import TYPE_CHECKING, Any

from tests.servers.grafana_api.api import (
    ADMIN,
    ORGANIZATION,
    SERVER_ADMIN,
    VIEWER,
    Answer,
    ApiError,
    Call,
    Identity,
    Route,
    now,
    said,
)

if TYPE_CHECKING:
    from tests.servers.grafana_api.state import Document, State

# Documented: five wrong passwords lock a login for five minutes.
ATTEMPTS, LOCKED_SECONDS = 5, 300
SHORTEST_PASSWORD = 4
WRONG = "Invalid username or password"


def _hashed(password: str, salt: str) -> str:
    return hashlib.sha256(f"{salt}{password}".encode()).hexdigest()


def set_password(state: State, user: Document, password: str) -> None:
    """Set a user's password; only its salted hash is kept."""
    salt = secrets.token_hex(8)
    state.update("user", user["login"], {**user, "salt": salt, "hash": _hashed(password, salt)})


def make_user(state: State, login: str, password: str, **more: Any) -> Document:
    """Add a user of the organization."""
    body = {
        "login": login, "email": "", "name": "", "role": "Viewer", "admin": False,
        "salt": "", "hash": "", "created": now(), **more,
    }  # fmt: skip
    user = state.insert("user", login, body)
    set_password(state, user, password)
    return user


def identify(state: State, authorization: str, *, anonymous: bool) -> Identity:
    """Return who sent a header ``Authorization``; raise 401 for credentials that are not right."""
    kind, _, rest = authorization.partition(" ")
    if kind == "Basic":
        name, _, password = base64.b64decode(rest).decode().partition(":")
        return _by_password(state, name, password)
    if kind == "Bearer":
        digest = hashlib.sha256(rest.encode()).hexdigest()
        for one in state.all("service_account"):
            if digest in one["tokens"]:
                return Identity("token", one["id"], one["login"], one["role"])
        raise ApiError(401, "Invalid API key")
    if anonymous:
        return Identity("nobody", role="Viewer")
    return Identity()


def _by_password(state: State, name: str, password: str) -> Identity:
    with state.lock:
        since = time.time() - LOCKED_SECONDS
        attempts = state.find("login_attempt", name) or {"times": []}
        recent = [one for one in attempts["times"] if one > since]
        user = state.find("user", name)
        right = user is not None and secrets.compare_digest(
            _hashed(password, user["salt"]), user["hash"]
        )
        if user is None or not right or len(recent) >= ATTEMPTS:
            if not right:
                state.put("login_attempt", name, {"times": [*recent, time.time()]})
            raise ApiError(401, WRONG)
        state.delete("login_attempt", name)
    return Identity("user", user["id"], name, user["role"], user["admin"])


def _user(call: Call, number: str) -> Document:
    user = call.state.by_id("user", int(number))
    if user is None:
        raise ApiError(404, "user not found")
    return user


def _profile(user: Document) -> dict[str, Any]:
    return {
        "id": user["id"], "login": user["login"], "email": user["email"] or user["login"],
        "name": user["name"], "orgId": ORGANIZATION, "isGrafanaAdmin": user["admin"],
        "isDisabled": False, "isExternal": False, "authLabels": [], "theme": "",
        "createdAt": user["created"], "updatedAt": user["created"],
    }  # fmt: skip


def current(call: Call) -> dict[str, Any]:
    """Answer who is signed in."""
    if call.who.kind != "user":
        raise ApiError(404, "user not found")
    return _profile(_user(call, str(call.who.id)))


def lookup(call: Call) -> dict[str, Any]:
    """Answer the user of a login or an address."""
    wanted = call.given("loginOrEmail")
    for user in call.state.all("user"):
        if wanted in (user["login"], user["email"]):
            return _profile(user)
    raise ApiError(404, "user not found")


def members(call: Call) -> list[dict[str, Any]]:
    """Answer the users of the organization."""
    return [
        {
            "orgId": ORGANIZATION, "userId": one["id"], "login": one["login"],
            "email": one["email"] or one["login"], "name": one["name"], "role": one["role"],
            "lastSeenAt": one["created"], "lastSeenAtAge": "10 years", "isDisabled": False,
        }
        for one in call.state.all("user")
        if one["role"]
    ]  # fmt: skip


def _role(given: Any) -> str:
    if given not in ("Viewer", "Editor", "Admin"):
        raise ApiError(400, "Invalid role specified")
    return str(given)


def add_member(call: Call) -> dict[str, Any]:
    """Take a user of the server into the organization."""
    given = call.document()
    for user in call.state.all("user"):
        if given.get("loginOrEmail") in (user["login"], user["email"]):
            if user["role"]:
                raise ApiError(409, "User is already member of this organization")
            call.state.update("user", user["login"], {**user, "role": _role(given.get("role"))})
            return said("User added to organization", userId=user["id"])
    raise ApiError(404, "User not found")


def change_member(call: Call, number: str) -> dict[str, Any]:
    """Give a user another role."""
    user = _user(call, number)
    call.state.update("user", user["login"], {**user, "role": _role(call.document().get("role"))})
    return said("Organization user updated")


def remove_member(call: Call, number: str) -> dict[str, Any]:
    """Take a user out of the organization, and so off the server: there is no other one."""
    user = _user(call, number)
    call.state.delete("user", user["login"])
    for team in call.state.all("team"):
        kept = [one for one in team["members"] if one != user["id"]]
        call.state.update("team", team["key"], {**team, "members": kept})
    return said("User deleted")


def create_user(call: Call) -> dict[str, Any]:
    """Add a user with a password."""
    given = call.document()
    login, password = given.get("login") or given.get("email"), str(given.get("password") or "")
    if not login:
        raise ApiError(400, "Validation error, need specify either username or email")
    if len(password) < SHORTEST_PASSWORD:
        raise ApiError(400, "Password is missing or too short")
    email = given.get("email", "")
    taken = {one for user in call.state.all("user") for one in (user["login"], user["email"])}
    if login in taken or (email and email in taken):
        raise ApiError(412, f"User with email '{email}' or username '{login}' already exists")
    ours = given.get("OrgId", ORGANIZATION) == ORGANIZATION
    role = call.settings.text("users", "auto_assign_org_role") if ours else ""
    more = {"name": given.get("name", ""), "email": email, "role": role}
    return said("User created", id=make_user(call.state, login, password, **more)["id"])


def change_user(call: Call, number: str) -> dict[str, Any]:
    """Give a user another name or address.

    The documented example has all three; what becomes of one that is left out is not documented.
    """
    user, given = _user(call, number), call.document()
    if not all(isinstance(given.get(key), str) for key in ("login", "name", "email")):
        raise ApiError(400, "the stand-in wants login, name and email of a user that is changed")
    if given["login"] != user["login"]:
        raise ApiError(400, "the stand-in does not rename users")
    changed = {"name": given["name"], "email": given["email"]}
    call.state.update("user", user["login"], {**user, **changed})
    return said("User updated")


def change_password(call: Call, number: str) -> dict[str, Any]:
    """Give a user another password."""
    password = str(call.document().get("password") or "")
    if len(password) < SHORTEST_PASSWORD:
        raise ApiError(400, "New password too short")
    set_password(call.state, _user(call, number), password)
    return said("User password updated")


def create_organization(call: Call) -> dict[str, Any]:
    """Add an organization; who is put into it is a user of the server and no member of ours."""
    name = str(call.document().get("name") or "")
    made = call.state.insert("organization", name, {"name": name})
    return said("Organization created", orgId=ORGANIZATION + made["id"])


def create_service_account(call: Call) -> Answer:
    """Add a service account, which has no token yet."""
    given = call.document()
    login = f"sa-{given['name']}"
    body = {
        "name": given["name"], "login": login, "orgId": ORGANIZATION, "isDisabled": False,
        "role": _role(given.get("role")),
    }  # fmt: skip
    if call.state.find("service_account", login):
        raise ApiError(400, "service account already exists")
    made = call.state.insert("service_account", login, {**body, "tokens": {}})
    return Answer(201, {**body, "id": made["id"], "tokens": 0})


def create_token(call: Call, number: str) -> dict[str, Any]:
    """Give a service account a token, which is shown this once."""
    account = call.state.by_id("service_account", int(number))
    if account is None:
        raise ApiError(404, "service account not found")
    key = f"glsa_{secrets.token_urlsafe(24)}"
    name = str(call.document().get("name") or "")
    if name in account["tokens"].values():
        raise ApiError(400, "service account token name already exists")
    tokens = {**account["tokens"], hashlib.sha256(key.encode()).hexdigest(): name}
    call.state.update("service_account", account["key"], {**account, "tokens": tokens})
    return {"id": len(tokens), "name": name, "key": key}


ROUTES = (
    Route("GET", "/api/user", VIEWER, current),
    Route("GET", "/api/users/lookup", SERVER_ADMIN, lookup),
    Route("PUT", "/api/users/{}", SERVER_ADMIN, change_user),
    Route("GET", "/api/org/users", ADMIN, members),
    Route("POST", "/api/org/users", ADMIN, add_member),
    Route("PATCH", "/api/org/users/{}", ADMIN, change_member),
    Route("DELETE", "/api/org/users/{}", ADMIN, remove_member),
    Route("POST", "/api/admin/users", SERVER_ADMIN, create_user),
    Route("PUT", "/api/admin/users/{}/password", SERVER_ADMIN, change_password),
    Route("POST", "/api/orgs", SERVER_ADMIN, create_organization),
    Route("POST", "/api/serviceaccounts", ADMIN, create_service_account),
    Route("POST", "/api/serviceaccounts/{}/tokens", ADMIN, create_token),
)
