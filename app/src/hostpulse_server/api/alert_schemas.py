"""What the alerts API takes and gives back; ``openapi.json`` is made from it."""

from __future__ import annotations

import re
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, pre_load, validate

from hostpulse_server.api.query_parameters import MAX_TIME_MS, ahead_ms, time_ms
from hostpulse_server.api.services import services
from hostpulse_server.operator.actions import MAX_COMMENT
from hostpulse_server.values.alert import SEVERITIES

MAX_PAGE = 1000
LABEL_PATTERN = re.compile(r"label\.[a-z][a-z0-9_]{0,63}")
NUMBER_PATTERN = r"^[0-9]{1,9}$(?!\n)"
PLACE_PATTERN = r"^[0-9]{1,15}-[0-9]{1,9}$(?!\n)"


def _printable(text: str) -> None:
    if not text.isprintable():
        raise ValidationError("must not hold control characters")


class MomentField(fields.Field[int]):
    """A time: epoch milliseconds, RFC 3339, ``now``, or a duration from now."""

    default_error_messages = {"invalid": "must be a time"}  # noqa: RUF012 - as marshmallow has it

    def __init__(self, *, is_ahead: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self._read = ahead_ms if is_ahead else time_ms

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        del attr, data, kwargs
        if isinstance(value, int) and not isinstance(value, bool):
            if not 0 <= value <= MAX_TIME_MS:
                raise ValidationError("is not between 1970 and 9999")
            return value
        if not isinstance(value, str):
            raise self.make_error("invalid")
        try:
            return self._read(value, services().clock.now_ms())
        except ValueError as error:
            raise ValidationError(str(error)) from None


class Globs(fields.Dict):
    """Name → glob; a fault of a glob is reported under its name."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        try:
            return super()._deserialize(value, attr, data, **kwargs)  # type: ignore[no-untyped-call]
        except ValidationError as error:
            if not isinstance(error.messages, dict):
                raise
            messages = {
                name: [text for texts in found.values() for text in texts]
                for name, found in error.messages.items()
            }
            raise ValidationError(messages) from None


class _Page(Schema):
    """Paging and the filters that both lists have."""

    error_messages: dict[str, str] = {"unknown": "is not known here"}  # noqa: RUF012 - as above

    limit = fields.Integer(load_default=100, validate=validate.Range(1, MAX_PAGE))

    @pre_load
    def _refuse_lists(self, data: Any, **_: Any) -> Any:
        """Of a parameter given twice only the first would count, unsaid."""
        given = getattr(data, "data", data)
        many = [name for name in given if len(given.getlist(name)) > 1]
        if many:
            raise ValidationError({name: ["is there more than once"] for name in many})
        return self._gather(dict(data.items()))

    def _gather(self, given: dict[str, Any]) -> dict[str, Any]:
        return given


class _AlertFilters(_Page):
    """Exact values; ``label.NAME`` parameters become ``labels``."""

    server_id = fields.String(load_default="", validate=[validate.Length(1, 253), _printable])
    rule = fields.String(load_default="", validate=[validate.Length(1, 64), _printable])
    severity = fields.String(load_default="", validate=validate.OneOf(SEVERITIES))
    labels = fields.Dict(
        data_key="label.NAME",
        load_default=dict,
        metadata={"type": "string", "description": "only alerts whose label NAME has this value"},
    )

    def _gather(self, given: dict[str, Any]) -> dict[str, Any]:
        labels = {name: given.pop(name) for name in list(given) if LABEL_PATTERN.fullmatch(name)}
        if "label.NAME" in given:
            raise ValidationError({"label.NAME": ["is not the name of a label"]})
        if labels:
            given["label.NAME"] = {name.removeprefix("label."): v for name, v in labels.items()}
        return given


class AlertsQuery(_AlertFilters):
    """Which alerts that are not over."""

    state = fields.String(load_default="", validate=validate.OneOf(("pending", "firing")))
    cursor = fields.String(
        load_default="0",
        validate=validate.Regexp(NUMBER_PATTERN, error="is not a cursor of this list"),
        metadata={"description": "`next` of the page before"},
    )


class HistoryQuery(_AlertFilters):
    """Which alerts that fired."""

    start = MomentField(
        metadata={"type": "string", "description": "those that fired then or later on"}
    )
    end = MomentField(metadata={"type": "string", "description": "those that had fired by then"})
    cursor = fields.String(
        validate=validate.Regexp(PLACE_PATTERN, error="is not a cursor of this list"),
        metadata={"description": "`next` of the page before"},
    )


class SilencesQuery(_Page):
    """Which silences."""

    expired = fields.Boolean(
        load_default=False, metadata={"description": "true: also those that are over"}
    )
    cursor = fields.String(
        load_default="0",
        validate=validate.Regexp(NUMBER_PATTERN, error="is not a cursor of this list"),
        metadata={"description": "`next` of the page before"},
    )


class _Body(Schema):
    """Names every unknown key instead of dropping it."""

    class Meta:
        """Marshmallow's options."""

        unknown = RAISE

    error_messages: dict[str, str] = {  # noqa: RUF012 - as above
        "type": "must be an object",
        "unknown": "is not known here",
    }


_UNTIL = "epoch ms, RFC 3339 or a duration from now such as `4h`"


class AckBody(_Body):
    """An acknowledgement."""

    comment = fields.String(load_default="", validate=validate.Length(max=MAX_COMMENT))
    until = MomentField(
        is_ahead=True,
        load_default=None,
        allow_none=True,
        metadata={
            "oneOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}],
            "description": f"{_UNTIL}; by default a day, at most 30 d ahead",
        },
    )


class SilenceBody(_Body):
    """A silence."""

    matchers = Globs(
        keys=fields.String(),
        values=fields.String(),
        required=True,
        metadata={
            "description": "rule, severity, server_id, a tag's or label's name or `label.NAME` "
            "→ glob; all must match. With `!` behind the name: what the glob does not match"
        },
    )
    start = MomentField(
        is_ahead=True,
        metadata={
            "oneOf": [{"type": "integer"}, {"type": "string"}],
            "description": f"{_UNTIL}; by default now",
        },
    )
    end = MomentField(
        is_ahead=True,
        required=True,
        metadata={
            "oneOf": [{"type": "integer"}, {"type": "string"}],
            "description": f"{_UNTIL}; at most a year after start",
        },
    )
    comment = fields.String(load_default="", validate=validate.Length(max=MAX_COMMENT))


class AcknowledgementView(Schema):
    """Who has taken an alert on; times are epoch milliseconds."""

    by = fields.String()
    at = fields.Integer()
    until = fields.Integer()
    comment = fields.String()


class NotifiedView(Schema):
    """A message that the channel confirmed."""

    channel = fields.String()
    at = fields.Integer()


class EvidenceView(Schema):
    """What goes with an alert."""

    lines = fields.List(fields.String())
    trend = fields.List(fields.Float(), metadata={"description": "values before, oldest first"})
    processes = fields.List(fields.Dict(), metadata={"description": "the heaviest at that moment"})
    worst = fields.Float(
        allow_none=True,
        metadata={"description": "the worst value since it began; `value` is the last"},
    )
    comparison = fields.String(
        metadata={"description": "`above` or `below`: where the threshold's other side is"}
    )
    clears_at = fields.Float(
        allow_none=True, metadata={"description": "the value that it resolves at"}
    )
    facts = fields.Dict(keys=fields.String(), values=fields.String())
    names = fields.List(
        fields.String(),
        metadata={"description": "of what the value counts or measures, at most 20, if known"},
    )
    worst_names = fields.List(
        fields.String(), metadata={"description": "the same when the value was the worst"}
    )


class AlertSchema(Schema):
    """An alert; times are epoch milliseconds, null is not yet or not at all."""

    id = fields.Integer()
    rule = fields.String()
    server_id = fields.String(metadata={"description": "empty: it belongs to no host"})
    tags = fields.Dict(keys=fields.String(), values=fields.String())
    severity = fields.String(validate=validate.OneOf(SEVERITIES))
    state = fields.String(validate=validate.OneOf(("pending", "firing", "resolved")))
    value = fields.Float(allow_none=True)
    threshold = fields.Float(allow_none=True)
    measurement = fields.String()
    field = fields.String()
    summary = fields.String()
    labels = fields.Dict(keys=fields.String(), values=fields.String())
    runbook = fields.String()
    evidence = fields.Nested(EvidenceView)
    started = fields.Integer(metadata={"description": "when the condition began to hold"})
    fired = fields.Integer(allow_none=True)
    resolved = fields.Integer(allow_none=True)
    reason = fields.String(allow_none=True, metadata={"description": "why it ended"})
    duration_ms = fields.Integer(
        allow_none=True, metadata={"description": "from fired to resolved, or to now"}
    )
    acknowledged = fields.Nested(AcknowledgementView, allow_none=True)
    told = fields.List(fields.Nested(NotifiedView))
    silenced_by = fields.List(
        fields.Integer(), metadata={"description": "silences that match it now"}
    )


class AlertPage(Schema):
    """One page of alerts."""

    alerts = fields.List(fields.Nested(AlertSchema))
    next = fields.String(allow_none=True, metadata={"description": "cursor of the next page"})


class EventView(Schema):
    """An event of an alert."""

    at = fields.Integer()
    kind = fields.String()
    details = fields.Dict()


class TimelineEntryView(Schema):
    """Something that happened; times are epoch milliseconds."""

    at = fields.Integer()
    kind = fields.String(
        metadata={
            "description": "of the alert: `fired`, `level`, `resolved`, `acknowledged`, "
            "`unacknowledged`; of a channel: `suppressed`, `notified`, `failed`, `waiting`"
        }
    )
    text = fields.String(metadata={"description": "the particulars, such as by what"})
    until = fields.Integer(metadata={"description": "where it has an end"})


class ChannelTimelineView(Schema):
    """What became of an alert on one channel, the oldest first."""

    channel = fields.String()
    state = fields.String(
        validate=validate.OneOf(
            ("notified", "waiting", "suppressed", "failed", "not_routed", "unknown")
        ),
        metadata={"description": "`not_routed`: by the routes of now"},
    )
    entries = fields.List(fields.Nested(TimelineEntryView))


class TimelineView(Schema):
    """What an alert did, and who was notified of it when, or why not."""

    alert = fields.List(fields.Nested(TimelineEntryView))
    channels = fields.List(fields.Nested(ChannelTimelineView))


class AlertDetail(AlertSchema):
    """An alert with its events, the oldest first, and its timeline."""

    events = fields.List(fields.Nested(EventView))
    timeline = fields.Nested(TimelineView)


class SilenceView(Schema):
    """A silence; times are epoch milliseconds."""

    id = fields.Integer()
    matchers = fields.Dict(keys=fields.String(), values=fields.String())
    start = fields.Integer()
    end = fields.Integer()
    comment = fields.String()
    by = fields.String()
    created = fields.Integer()
    state = fields.String(validate=validate.OneOf(("active", "future", "expired")))


class SilenceMade(SilenceView):
    """A silence that was just made, with what it reaches."""

    firing = fields.Integer(metadata={"description": "how many alerts that fire now it matches"})
    notes = fields.List(
        fields.String(), metadata={"description": "on names and values that nothing known now has"}
    )


class SilencePage(Schema):
    """One page, in the order of ids."""

    silences = fields.List(fields.Nested(SilenceView))
    next = fields.String(allow_none=True, metadata={"description": "cursor of the next page"})
