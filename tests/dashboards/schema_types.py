"""Holds the JSON of a dashboard to the types of Grafana's foundation SDK (Apache-2.0).

The SDK's models are walked by their annotations. Of a panel, options and custom field config are
those of its type; the property of an override has the type that the field config gives it. The SDK
has no model of a Flux query: its fields are those of ``tools.dashboards.queries.FluxQuery``. It
takes a field's link for a dashboard's, which has more keys: ``DataLink`` is what a field may have.
What the SDK leaves open (options of transformations and matchers) is not checked.
"""

from __future__ import annotations

import enum
import types
import typing
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from grafana_foundation_sdk.cog import plugins, runtime
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import dashboard
from tools.dashboards.queries import FluxQuery

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

plugins.register_default_plugins()


class Field(NamedTuple):
    """The type of a key, and whether an object must have it."""

    annotation: Any
    required: bool


class DataLink:
    """A link of a field: https://grafana.com/docs/grafana/v10.0/panels-visualizations/configure-data-links/."""

    title: str
    url: str
    target_blank: bool

    def to_json(self) -> dict[str, object]:
        """Return its JSON, as models of the SDK do."""
        return {"title": self.title, "url": self.url, "targetBlank": self.target_blank}


@cache
def fields(model: type) -> Mapping[str, Field]:
    """Return JSON key → field of a model, by what its ``to_json`` makes of its attributes."""
    if model is Dataquery:
        return {
            key: Field(type(value), required=True)
            for key, value in FluxQuery("", "").to_json().items()
        }
    hints = typing.get_type_hints(model)
    if model is dashboard.FieldConfig:
        hints["links"] = list[DataLink]
    required = _json(model, dict.fromkeys(hints))
    marks = {name: object() for name in hints}
    names = {id(mark): name for name, mark in marks.items()}
    keys = {key: names[id(mark)] for key, mark in _json(model, marks).items()}
    return {key: Field(hints[name], key in required) for key, name in keys.items()}


def faults(document: Any) -> Iterator[str]:
    """Yield what is wrong in a dashboard, each with its JSON path."""
    found = list(check(document, dashboard.Dashboard, "$"))
    yield from found
    if not found:  # so it has the panels that are looked into
        for path, panel in _panels(document, "$"):
            yield from _of_type(panel, path)


def check(value: Any, annotation: Any, path: str) -> Iterator[str]:
    """Yield how a value differs from a type."""
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        yield from _union(value, typing.get_args(annotation), path)
    elif _is_model(annotation) and isinstance(value, dict):
        yield from _model(value, annotation, path)
    elif not _is_instance(value, annotation):
        yield f"{path}: {value!r} is no {_name(annotation)}"
    elif isinstance(value, list):
        (inner,) = typing.get_args(annotation) or (object,)
        for number, one in enumerate(value):
            yield from check(one, inner, f"{path}[{number}]")
    elif isinstance(value, dict):
        _, inner = typing.get_args(annotation) or (str, object)
        for key, one in value.items():
            yield from check(one, inner, f"{path}.{key}")


def _model(value: dict[str, Any], model: type, path: str) -> Iterator[str]:
    known = fields(model)
    for key, one in value.items():
        if key not in known:
            yield f"{path}.{key}: {model.__name__} has no such key"
        elif one is not None:
            yield from check(one, known[key].annotation, f"{path}.{key}")
        elif not known[key].required or type(None) not in typing.get_args(known[key].annotation):
            yield f"{path}.{key}: is null"
    for key, field in known.items():
        if field.required and key not in value:
            yield f"{path}.{key}: is missing"


def _union(value: Any, members: tuple[Any, ...], path: str) -> Iterator[str]:
    models = [one for one in members if _is_model(one)]
    if isinstance(value, dict) and models:
        model = models[0] if len(models) == 1 else _by_type(value, models)
        if model is None:
            yield f"{path}.type: {value.get('type')!r} is that of none of {_names(models)}"
        else:
            yield from _model(value, model, path)
        return
    found = [list(check(value, one, path)) for one in members if one is not type(None)]
    if all(found):
        yield from (
            found[0] if len(found) == 1 else [f"{path}: {value!r} is none of {_names(members)}"]
        )


def _by_type(value: dict[str, Any], models: list[type]) -> type | None:
    """Return the model whose ``type`` a value has, or the one that takes any."""
    by_type = {model().to_json().get("type"): model for model in models}
    return by_type.get(value.get("type"), by_type.get(""))


def _panels(document: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, one in enumerate(document.get("panels", [])):
        here = f"{path}.panels[{number}]"
        if one["type"] == "row":
            yield from _panels(one, here)
        else:
            yield here, one


def _of_type(panel: dict[str, Any], path: str) -> Iterator[str]:
    """Yield what is wrong with a panel's options and field config, given its type."""
    config = runtime.panelcfg_config(panel["type"])
    if config is None:
        yield f"{path}.type: {panel['type']!r} is no type of panel"
        return
    options = _hooked(config.options_from_json_hook)
    custom = fields(_hooked(config.field_config_from_json_hook))
    yield from _model(panel.get("options", {}), options, f"{path}.options")
    field_config, path = panel.get("fieldConfig", {}), f"{path}.fieldConfig"
    for key, one in field_config.get("defaults", {}).get("custom", {}).items():
        yield from _property(one, custom.get(key), f"{path}.defaults.custom.{key}")
    known = {
        **fields(dashboard.FieldConfig),
        **{f"custom.{key}": field for key, field in custom.items()},
    }
    for number, override in enumerate(field_config.get("overrides", [])):
        for place, one in enumerate(override["properties"]):
            here = f"{path}.overrides[{number}].properties[{place}]"
            yield from _property(one.get("value"), known.get(one["id"]), f"{here}({one['id']})")


def _property(value: Any, field: Field | None, path: str) -> Iterator[str]:
    if field is None:
        yield f"{path}: no such property"
    else:
        yield from check(value, field.annotation, path)


def _hooked(hook: Any) -> type:
    """Return the model that a hook of the SDK reads; a type of panel without has no keys."""
    model: type = hook.__self__ if hook else _Nothing
    return model


class _Nothing:
    """A model without keys."""

    def to_json(self) -> dict[str, object]:
        return {}


def _json(model: Any, attributes: Mapping[str, object]) -> dict[str, object]:
    one: Any = model.__new__(model)
    vars(one).update(attributes)
    found: dict[str, object] = one.to_json()
    return found


def _is_model(annotation: Any) -> bool:
    return annotation is Dataquery or hasattr(annotation, "to_json")


def _is_instance(value: Any, annotation: Any) -> bool:
    """Return whether a value is of a type, whatever is inside a list or an object."""
    if annotation is object:
        return True
    allowed = _allowed(annotation)
    if allowed is not None:
        return any(type(value) is type(one) and value == one for one in allowed)
    kinds = {float: (int, float)}.get(annotation, (typing.get_origin(annotation) or annotation,))
    return type(value) in kinds  # so that a boolean is no number


def _allowed(annotation: Any) -> list[Any] | None:
    """Return the values of an enum or a literal."""
    if typing.get_origin(annotation) is typing.Literal:
        return list(typing.get_args(annotation))
    if isinstance(annotation, enum.EnumType):
        members: Mapping[str, Any] = annotation.__members__
        return [one.value for one in members.values()]
    return None


def _name(annotation: Any) -> str:
    if typing.get_origin(annotation) is typing.Literal:
        return " or ".join(map(repr, typing.get_args(annotation)))
    return getattr(annotation, "__name__", str(annotation))


def _names(annotations: typing.Iterable[Any]) -> str:
    return ", ".join(_name(one) for one in annotations if one is not type(None))
