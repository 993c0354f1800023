"""The form of a server as operators give it: one set of rules for commands and HTTP."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from hostpulse_server.errors import InvalidItemError
from hostpulse_server.registry.keys import KEY_ID_PATTERN, SHA256_PATTERN
from hostpulse_server.values import json_pointer
from hostpulse_server.wire.points import check_tag_value

# $(?!\n) is the very end in Python and in the dialect of OpenAPI; \Z is not known there.
SERVER_ID_PATTERN = r"^[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?$(?!\n)"
LABEL_NAME_PATTERN = r"^[a-z][a-z0-9_]{0,63}$(?!\n)"
MAX_LABELS = 64
MAX_LABEL_VALUE = 255
MAX_NETWORKS = 64
MAX_LIVE_KEYS = 2
# Routes match these beside labels, so a label of such a name could never be meant.
RESERVED_LABELS = frozenset({"rule", "server_id", "severity"})

_server_id = validate.Regexp(
    SERVER_ID_PATTERN,
    error="must be 1-253 of a-z 0-9 . _ - and start and end with a letter or digit",
)
_label_name = re.compile(LABEL_NAME_PATTERN)


def _plain(text: str) -> None:
    """Refuse control characters, which would forge lines in logs and tables."""
    if not text.isprintable():
        raise ValidationError("must not hold control characters")


def _address(text: str) -> None:
    if any(character.isspace() for character in text):
        raise ValidationError("must be one host name or IP address, without spaces")


class LabelsField(fields.Dict):
    """Label name → value; faults are reported for each label."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        labels = super()._deserialize(value, attr, data, **kwargs)  # type: ignore[no-untyped-call]
        faults = {
            str(name): [fault] for name, text in labels.items() if (fault := _fault(name, text))
        }
        if faults:
            raise ValidationError(dict(faults))
        if len(labels) > MAX_LABELS:
            raise ValidationError(f"a server has at most {MAX_LABELS} labels")
        return labels


def _fault(name: Any, value: Any) -> str | None:
    """Return what is wrong with a label, ``None`` if nothing is."""
    if not isinstance(name, str) or not _label_name.match(name):
        return "a label's name must be a-z, then up to 63 of a-z 0-9 _"
    if name in RESERVED_LABELS:
        return "this name is reserved; routes use it for something else"
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_LABEL_VALUE:
        return f"a label's value must be a text of 1-{MAX_LABEL_VALUE} characters"
    if not value.isprintable():
        return "a label's value must not hold control characters"
    # some labels become tags of the measurement `server`
    fault = check_tag_value(value)
    return None if fault is None else fault.replace("tag value", "a label's value")


class Network(fields.String):
    """A source network in CIDR form, or one address; loads to the canonical text."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if text is None:
            raise ValidationError("must be a network")
        try:
            return str(ipaddress.ip_network(text))
        except ValueError as error:
            raise ValidationError(
                f"is not a network like 10.0.0.0/8 or 2001:db8::/32 ({error})"
            ) from None


class _Strict(Schema):
    """Names every unknown key instead of dropping it."""

    error_messages: dict[str, str] = {  # noqa: RUF012 - as marshmallow declares it
        "type": "must be an object",
        "unknown": "is not known here",
    }

    class Meta:
        """Marshmallow's options."""

        unknown = RAISE


class KeyItem(_Strict):
    """A key that the host made itself: its public id and SHA-256 of its whole text."""

    id = fields.String(
        required=True,
        validate=validate.Regexp(KEY_ID_PATTERN, error="must be 12 of a-z 0-9"),
        metadata={"description": "public id, the middle part of the key"},
    )
    sha256 = fields.String(
        required=True,
        validate=validate.Regexp(SHA256_PATTERN, error="must be 64 lower-case hex digits"),
        load_only=True,
        metadata={"description": "SHA-256 of the whole key text"},
    )


class ServerSettings(_Strict):
    """What may change about a server; a field left out stays as it is."""

    name = fields.String(
        validate=[validate.Length(1, 255), _plain],
        metadata={"description": "shown to people; by default the id"},
    )
    address = fields.String(
        allow_none=True,
        validate=[validate.Length(1, 253), _plain, _address],
        metadata={"description": "where people reach the host; information only"},
    )
    labels = LabelsField(
        metadata={"description": "name → value; replaces all labels"},
    )
    allow_from = fields.List(
        Network(),
        validate=validate.Length(max=MAX_NETWORKS),
        metadata={"description": "networks this server's agent may send from; [] is any"},
    )


class ServerPatch(ServerSettings):
    """What PATCH takes."""

    disabled = fields.Boolean(
        truthy={True},
        falsy={False},
        metadata={"description": "true: samples of this server are refused"},
    )


class ServerItem(ServerSettings):
    """A server as ``servers apply`` and ``POST /servers`` take it."""

    id = fields.String(
        required=True,
        validate=_server_id,
        metadata={"description": "never changes afterwards"},
    )
    keys = fields.List(
        fields.Nested(KeyItem),
        validate=validate.Length(max=MAX_LIVE_KEYS, error="a server has at most two live keys"),
    )


def load_patch(data: Any) -> dict[str, Any]:
    """Check what a PATCH gives; raises InvalidItemError."""
    return _load(ServerPatch(), data)


def load_item(data: Any) -> dict[str, Any]:
    """Check one server; raises InvalidItemError."""
    return _load(ServerItem(), data)


def load_items(data: Any) -> list[dict[str, Any]]:
    """Check the list that ``servers apply`` reads; raises InvalidItemError listing every fault.

    Ids, key ids and hashes must each be listed once only.
    """
    if not isinstance(data, list):
        raise InvalidItemError({"": ['must be a list of servers: [{"id": …}, …]']})
    items: list[dict[str, Any]] = []
    faults: dict[str, list[str]] = {}
    for index, given in enumerate(data):
        try:
            items.append(_load(ServerItem(), given, f"/{index}"))
        except InvalidItemError as error:
            faults |= error.errors
    faults = faults or _repeated(items)
    if faults:
        raise InvalidItemError(faults)
    return items


def _load(schema: Schema, data: Any, pointer: str = "") -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = schema.load(data)
    except ValidationError as error:
        name = data.get("id") if isinstance(data, dict) else None
        faults = json_pointer.flattened(error.messages, pointer)
        if pointer and isinstance(name, str):
            faults = {
                at: [f"{name!r:.80}: {text}" for text in texts] for at, texts in faults.items()
            }
        raise InvalidItemError(faults) from None
    return loaded


def _repeated(items: list[dict[str, Any]]) -> dict[str, list[str]]:
    faults: dict[str, list[str]] = {}
    first: dict[tuple[str, str], str] = {}

    def see(kind: str, value: str, at: str) -> None:
        earlier = first.setdefault((kind, value), at)
        if earlier != at:
            shown = "" if kind == "hash" else f" {value!r}"
            faults[at] = [f"{kind}{shown} is listed already at {earlier}"]

    for index, item in enumerate(items):
        see("id", item["id"], f"/{index}/id")
        for number, key in enumerate(item.get("keys", ())):
            see("key", key["id"], f"/{index}/keys/{number}/id")
            see("hash", key["sha256"], f"/{index}/keys/{number}/sha256")
    return faults
