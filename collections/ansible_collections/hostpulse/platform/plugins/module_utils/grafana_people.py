"""Users, teams and permissions of a Grafana server: what is there, and what is to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible_collections.hostpulse.platform.plugins.module_utils.grafana import (
    LEVELS,
    PERMISSIONS,
    named,
)
from ansible_collections.hostpulse.platform.plugins.module_utils.http_service import (
    ServiceError,
)

if TYPE_CHECKING:
    from ansible_collections.hostpulse.platform.plugins.module_utils.grafana import Client

Change = tuple  # of what was there and what is to be, each a mapping or None
ROLES = ("viewer", "editor", "admin")
ORGANIZATION = 1


class Access:
    """Compares one thing after the other with what is wanted and makes it so, unless it is dry."""

    def __init__(self, client: Client, *, dry: bool) -> None:
        self._client = client
        self._dry = dry
        self._users = {one["login"]: one for one in client.call("GET", "/org/users")}

    def check(self, users: list[dict[str, Any]]) -> None:
        """Refuse users that cannot be made, before anything is."""
        for one in users:
            login = str(one["login"])
            wants = one.get("state", "present") != "absent" and login not in self._users
            if (
                wants
                and self._client.by_password
                and not one.get("password")
                and not self._client.find(f"/users/lookup?loginOrEmail={named(login)}")
            ):
                raise ServiceError(
                    f"user {login} is not there yet: a new user needs a password; give it one in"
                    " hostpulse_grafana_users"
                )

    def user(self, wanted: dict[str, Any]) -> Change:
        """Bring one user into the wanted state; return what was and what is."""
        login, role = str(wanted["login"]), str(wanted.get("role", "viewer")).lower()
        if role not in ROLES:
            raise ServiceError(f"user {login}: role {role!r} is none of {', '.join(ROLES)}")
        found = self._users.get(login)
        if wanted.get("state", "present") == "absent":
            if found and not self._dry:
                self._client.call("DELETE", f"/org/users/{found['userId']}")
            return found and {"role": found["role"].lower()}, None
        before = found and {
            "role": found["role"].lower(),
            **{key: found.get(key, "") for key in ("name", "email") if key in wanted},
        }
        after = {"role": role, **{k: wanted[k] for k in ("name", "email") if k in wanted}}
        password = str(wanted.get("password") or "")
        sets = bool(found and password) and not self._client.signs_in(login, password)
        if found and sets:
            before = {**(before or {}), "signs in": False}
            after["signs in"] = True
        if before != after and not self._dry:
            self._write_user(login, after, password if sets or not found else "")
        return before, after

    def _write_user(self, login: str, after: dict[str, Any], password: str) -> None:
        found = self._users.get(login) or self._new_user(login, after, password)
        if found["role"].lower() != after["role"]:
            role = {"role": after["role"].title()}
            self._client.call("PATCH", f"/org/users/{found['userId']}", role)
        details = {key: after[key] for key in ("name", "email") if key in after}
        if any(found.get(key, "") != value for key, value in details.items()):
            kept = {key: found.get(key, "") for key in ("name", "email")}
            self._client.call(
                "PUT", f"/users/{found['userId']}", {"login": login, **kept, **details}
            )
        if password and login in self._users:
            secret = {"password": password}
            self._client.call("PUT", f"/admin/users/{found['userId']}/password", secret)
        self._users[login] = {**found, **after}

    def _new_user(self, login: str, after: dict[str, Any], password: str) -> dict[str, Any]:
        """Make a user, or take one that the server has into the organization."""
        role = after["role"].title()
        if not self._client.by_password:
            try:
                self._client.call("POST", "/org/users", {"loginOrEmail": login, "role": role})
            except ServiceError as fault:
                raise ServiceError(
                    f"user {login} is not there, and a token makes none ({fault}); make the user"
                    " in Grafana first"
                ) from fault
        elif self._client.find(f"/users/lookup?loginOrEmail={named(login)}"):
            self._client.call("POST", "/org/users", {"loginOrEmail": login, "role": role})
        else:
            document = {"login": login, "password": password, "OrgId": ORGANIZATION}
            self._client.call("POST", "/admin/users", {**after, **document})
        return {one["login"]: one for one in self._client.call("GET", "/org/users")}[login]

    def team(self, wanted: dict[str, Any]) -> Change:
        """Bring one team into the wanted state; return what was and what is."""
        found = self._team(str(wanted["name"]))
        if wanted.get("state", "present") == "absent":
            if found and not self._dry:
                self._client.call("DELETE", f"/teams/{found['id']}")
            return found and {"email": found.get("email", "")}, None
        after: dict[str, Any] = {"email": wanted.get("email", (found or {}).get("email", ""))}
        members = {}
        if found:
            members = {
                one["login"]: one["userId"]
                for one in self._client.call("GET", f"/teams/{found['id']}/members")
            }
        before: dict[str, Any] | None = found and {"email": found.get("email", "")}
        if "members" in wanted:
            after["members"] = sorted(map(str, wanted["members"]))
            before = before and {**before, "members": sorted(members)}
        if before != after and not self._dry:
            self._write_team(str(wanted["name"]), found, after, members)
        return before, after

    def _write_team(
        self, name: str, found: Any, after: dict[str, Any], members: dict[str, int]
    ) -> None:
        document = {"name": name, "email": after["email"]}
        if found is None:
            found = {"id": self._client.call("POST", "/teams", document)["teamId"]}
        else:
            self._client.call("PUT", f"/teams/{found['id']}", document)
        # Whoever makes a team is in it, with some of the servers.
        for login in after.get("members", ()):
            if login not in members:
                member = {"userId": self._user_id(login)}
                self._client.call("POST", f"/teams/{found['id']}/members", member)
        if "members" in after:
            for one in self._client.call("GET", f"/teams/{found['id']}/members"):
                if one["login"] not in after["members"]:
                    self._client.call("DELETE", f"/teams/{found['id']}/members/{one['userId']}")

    def permissions(self, folder: str, wanted: list[dict[str, Any]]) -> Change:
        """Give a folder exactly the wanted permissions; return what was and what is."""
        path = f"/folders/{named(folder)}/permissions"
        names = {one["userId"]: login for login, one in self._users.items()}
        before = {}
        for one in self._client.find(path) or []:
            if one.get("inherited") or one.get("role") == "Admin":
                continue
            who = (
                f"role {one['role'].lower()}"
                if one.get("role")
                else f"team {one.get('team')}"
                if one.get("teamId")
                else f"user {names.get(one.get('userId'), one.get('userLogin'))}"
            )
            before[who] = LEVELS.get(one["permission"], str(one["permission"]))
        after, items = {}, []
        for one in wanted:
            kind = next((key for key in ("role", "team", "user") if one.get(key)), "")
            level = str(one.get("permission", "")).lower()
            if not kind or level not in PERMISSIONS:
                raise ServiceError(
                    f"permissions: {one} needs a role, team or user, and as permission one of"
                    f" {', '.join(PERMISSIONS)}"
                )
            name = str(one[kind]).lower() if kind == "role" else str(one[kind])
            after[f"{kind} {name}"] = level
            items.append((kind, name, level))
        if before != after and not self._dry:
            whole = {"items": [self._item(*one) for one in items]}
            self._client.call("POST", path, whole)
        return before, after

    def _item(self, kind: str, name: str, level: str) -> dict[str, Any]:
        number = {"permission": PERMISSIONS[level]}
        if kind == "role":
            return {"role": name.title(), **number}
        if kind == "user":
            return {"userId": self._user_id(name), **number}
        team = self._team(name)
        if team is None:
            raise ServiceError(f"permissions: there is no team {name!r}; name it among the teams")
        return {"teamId": team["id"], **number}

    def _user_id(self, login: str) -> int:
        if login not in self._users:
            raise ServiceError(f"there is no user {login!r}; name it among the users")
        return int(self._users[login]["userId"])

    def _team(self, name: str) -> dict[str, Any] | None:
        found = self._client.call("GET", "/teams/search", name=name, perpage=1000)["teams"]
        return next((team for team in found if team["name"] == name), None)
