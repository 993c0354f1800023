"""The envelope around samples, as a marshmallow schema: the contract and its documentation."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from hostpulse_server.wire.samples import SampleVerdict, check_samples

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

SCHEMA = 1
MAX_SAMPLES = 100
MAX_EVENTS = 100
MAX_FACTS_BYTES = 65_536
MAX_EXT_BYTES = 16_384
MAX_EXT_DEPTH = 8
# `$` alone also matches before a final line end; `\Z` is not in the dialect of OpenAPI
SERVER_ID = r"^[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?$(?!\n)"
NAME = r"^[a-z][a-z0-9_]{0,63}$(?!\n)"
UUID = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$(?!\n)"
LATEST_MS = 2**53
EPOCH_MS = validate.Range(min=0, max=LATEST_MS)

_POINT = {
    "type": "object",
    "required": ["measurement", "fields"],
    "additionalProperties": False,
    "properties": {
        "measurement": {"type": "string", "pattern": NAME},
        "tags": {
            "type": "object",
            "maxProperties": 8,
            "additionalProperties": {"type": "string", "minLength": 1, "maxLength": 255},
        },
        "fields": {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 64,
            "additionalProperties": {"type": "number"},
        },
    },
}
_SAMPLE = {
    "type": "object",
    "required": ["seq", "time", "interval_ms", "points"],
    "additionalProperties": False,
    "properties": {
        "seq": {"type": "integer", "minimum": 0},
        "time": {"type": "integer", "minimum": 0, "description": "Epoch ms, UTC."},
        "mono_ms": {"type": "integer", "minimum": 0},
        "interval_ms": {"type": "integer", "minimum": 1},
        "dropped": {
            "type": "object",
            "additionalProperties": {"type": "integer", "minimum": 0},
            "description": "Samples lost since the stream began, by reason.",
        },
        "processes": {"type": "array", "items": {"type": "object"}},
        "points": {"type": "array", "maxItems": 2000, "items": _POINT},
    },
}


class Points(fields.Field[SampleVerdict]):
    """All points of all samples, judged in one pass: nested schemas cost 17 times as much.

    Loads to a Verdict: a bad point or sample costs itself and never the request.
    """

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> SampleVerdict:
        del attr, data, kwargs
        if not isinstance(value, list):
            raise ValidationError("Not a list.")
        if len(value) > MAX_SAMPLES:
            raise ValidationError(f"More than {MAX_SAMPLES} samples.")
        return check_samples(value)


class _Whole(fields.Integer):
    """A JSON integer; true, false, 1.0 and "1" are none."""

    def _validated(self, value: Any) -> int:
        if type(value) is not int:
            raise self.make_error("invalid", input=value)
        return value


class AgentSchema(Schema):
    """Who sends: version, the spool's stream, the machine behind the server id."""

    class Meta:
        """Strict."""

        unknown = RAISE

    version = fields.String(required=True, validate=validate.Length(1, 64))
    stream = fields.String(required=True, validate=validate.Regexp(UUID, error="Not a UUID."))
    boot_id = fields.String(validate=validate.Length(1, 64))
    machine = fields.String(
        validate=validate.Regexp(r"^[0-9a-f]{64}$(?!\n)", error="Not a SHA-256 in hex."),
        metadata={"description": "Salted SHA-256 of the machine-id, in hex."},
    )


class EventSchema(Schema):
    """Something that happened on the host, e.g. the agent stops."""

    class Meta:
        """Strict."""

        unknown = RAISE

    kind = fields.String(required=True, validate=validate.Regexp(NAME))
    reason = fields.String(validate=validate.Regexp(NAME))
    time = _Whole(validate=EPOCH_MS)


class EnvelopeSchema(Schema):
    """The body of POST /api/v1/metrics."""

    class Meta:
        """Strict."""

        unknown = RAISE

    schema = _Whole(required=True, validate=validate.Equal(SCHEMA))
    server_id = fields.String(
        required=True, validate=validate.Regexp(SERVER_ID, error="Not a server id.")
    )
    sent_at = _Whole(validate=EPOCH_MS, metadata={"description": "Epoch ms, UTC."})
    agent = fields.Nested(AgentSchema, required=True)
    facts = fields.Dict(keys=fields.String())
    events = fields.List(fields.Nested(EventSchema), validate=validate.Length(max=MAX_EVENTS))
    ext = fields.Dict(
        metadata={
            "description": "Additions, of at most 16 KiB and 8 levels; what is not known in it is "
            "ignored. `names`: of failed `units`, ailing `mounts` and `interfaces`, degraded "
            "`arrays`, a list each, of the newest sample."
        }
    )
    samples = Points(
        required=True,
        metadata={"type": "array", "maxItems": MAX_SAMPLES, "items": _SAMPLE},
    )


@dataclass(frozen=True)
class Envelope:
    """A request that may be kept: header values and the verdict on its samples."""

    server_id: str
    sent_at: int | None
    agent: dict[str, Any]
    facts: dict[str, Any] | None
    events: list[dict[str, Any]]
    verdict: SampleVerdict
    ext: dict[str, Any] | None = None


_schema = EnvelopeSchema()
_points = Points()


class _KnownHeaders:
    """Headers that were found right before: an agent repeats its own in every request.

    Checking one again would cost as much as judging all points. Bounded.
    """

    ORDINARY = frozenset({"schema", "server_id", "sent_at", "agent", "samples", "ext"})
    LIMIT = 10_000

    def __init__(self) -> None:
        self._known: set[Hashable] = set()

    def find(self, document: Any) -> Hashable | None:
        """Return what identifies the header, ``None`` if the schema has to look at it."""
        try:
            if not document.keys() <= self.ORDINARY or type(document["schema"]) is not int:
                return None
            if type(document["server_id"]) is not str:
                return None
            sent_at = document.get("sent_at", 0)
            if type(sent_at) is not int or not 0 <= sent_at <= LATEST_MS:
                return None
            agent = frozenset(document["agent"].items())
            if type(document.get("ext", {})) is not dict:
                return None
            return (document["schema"], document["server_id"], agent)
        except (AttributeError, KeyError, TypeError):
            return None

    def has(self, header: Hashable) -> bool:
        """Return whether this header was right before."""
        return header in self._known

    def add(self, header: Hashable) -> None:
        """Remember a right one."""
        if len(self._known) >= self.LIMIT:
            self._known = set()
        self._known.add(header)


_headers = _KnownHeaders()


def read_envelope(document: Any) -> Envelope:
    """Check a parsed body; raise marshmallow.ValidationError when the envelope is wrong."""
    header = _headers.find(document)
    if header is not None and _headers.has(header) and document.get("samples"):
        try:
            samples = _points.deserialize(document["samples"])
        except ValidationError as error:
            raise ValidationError({"samples": error.messages}) from None
        ext = document.get("ext")
        if ext:
            _check_ext(ext)
        return Envelope(
            *(document["server_id"], document.get("sent_at"), document["agent"], None, []),
            verdict=samples,
            ext=ext,
        )
    envelope = _read_all(document)
    if header is not None:
        _headers.add(header)
    return envelope


def _read_all(document: Any) -> Envelope:
    loaded: dict[str, Any] = _schema.load(document)
    envelope = Envelope(
        server_id=loaded["server_id"],
        sent_at=loaded.get("sent_at"),
        agent=loaded["agent"],
        facts=loaded.get("facts"),
        events=loaded.get("events", []),
        verdict=loaded["samples"],
        ext=loaded.get("ext"),
    )
    if not document["samples"] and not envelope.events and envelope.facts is None:
        raise ValidationError({"samples": ["Empty, and there are no events or facts either."]})
    if envelope.facts is not None:
        _check_facts(envelope.facts)
    if envelope.ext:
        _check_ext(envelope.ext)
    return envelope


def _check_facts(facts: dict[str, Any]) -> None:
    try:
        size = len(json.dumps(facts, allow_nan=False))
    except ValueError:
        raise ValidationError({"facts": ["Has a number that is not finite."]}) from None
    if size > MAX_FACTS_BYTES:
        raise ValidationError({"facts": [f"More than {MAX_FACTS_BYTES} bytes."]})


def _check_ext(ext: dict[str, Any]) -> None:
    level: list[Any] = [ext]
    for _ in range(MAX_EXT_DEPTH):
        level = [
            one
            for outer in level
            for one in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(one, dict | list)
        ]
        if not level:
            break
    else:
        raise ValidationError({"ext": [f"More than {MAX_EXT_DEPTH} levels deep."]})
    try:
        size = len(json.dumps(ext, separators=(",", ":"), allow_nan=False))
    except ValueError:
        raise ValidationError({"ext": ["Has a number that is not finite."]}) from None
    if size > MAX_EXT_BYTES:
        raise ValidationError({"ext": [f"More than {MAX_EXT_BYTES} bytes."]})
