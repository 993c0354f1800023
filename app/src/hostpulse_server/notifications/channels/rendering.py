"""Templates of messages: ours, or an operator's of the same name, in a sandbox.

If an operator's template cannot be used, ours is, and the message says so: an alert is
never lost to a template.
"""

from __future__ import annotations

import logging
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from hostpulse_server.notifications.channels.escaping import (
    as_json,
    as_slack,
    as_slack_json,
    dumps_for_slack,
)
from hostpulse_server.notifications.channels.sanitize import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

OURS: Final = Path(__file__).with_name("templates")
MAX_OUTPUT: Final = 256 * 1024
MAX_SOURCE: Final = 256 * 1024
MAX_SECONDS: Final = 2.0
MAX_STEPS: Final = 10_000

log = logging.getLogger(__name__)


class _LimitError(Exception):
    """A template takes too long or makes too much."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A text and, where an operator's template could not be used, why."""

    text: str
    fault: str = ""
    is_ours: bool = True


class Templates:
    """Renders templates by name; ``folder`` holds those that replace ours.

    Files are read each time: a changed one counts with the next message.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._environments = {
            "html": _environment(autoescape=True, finalize=None),
            "json": _environment(autoescape=False, finalize=as_json),
            "slack": _environment(autoescape=False, finalize=as_slack),
            "slack.json": _environment(autoescape=False, finalize=as_slack_json),
            "text": _environment(autoescape=False, finalize=None),
        }
        self._environments["slack.json"].policies["json.dumps_function"] = dumps_for_slack

    def render(
        self,
        name: str,
        values: Mapping[str, Any],
        check: Callable[[str], object] = lambda _text: None,
        *,
        only_ours: bool = False,
    ) -> Rendered:
        """Return the text of a template; ``check`` raises ValueError for one that cannot be used.

        Only of a fault of our own template does it raise: ValueError or jinja2's TemplateError.
        """
        fault = ""
        theirs = None if self._folder is None or only_ours else self._folder / name
        if theirs is not None and theirs.exists():
            try:
                text = self._render(theirs, values)
                check(text)
            except Exception as error:  # noqa: BLE001 - whatever a template does, the alert is sent
                fault = f"template {theirs}: {_said(error)}"
                log.warning("%s; the one that ships is used", fault)
            else:
                return Rendered(text, is_ours=False)
        text = self._render(OURS / name, values)
        check(text)
        return Rendered(text, fault)

    def _render(self, path: Path, values: Mapping[str, Any]) -> str:
        with path.open(encoding="utf-8") as file:
            source = file.read(MAX_SOURCE + 1)
        if len(source) > MAX_SOURCE:
            raise _LimitError("it is larger than 256 KiB")
        template = self._environments[_language(path.name)].from_string(source)
        return "".join(_bounded(template, values))


def _language(name: str) -> str:
    if name.startswith("slack"):
        return "slack.json" if name.endswith(".json") else "slack"
    return {".html": "html", ".json": "json"}.get(Path(name).suffix, "text")


def _environment(*, autoescape: bool, finalize: Callable[[Any], Any] | None) -> _Sandbox:
    return _Sandbox(
        autoescape=autoescape,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


class _Sandbox(ImmutableSandboxedEnvironment):
    """A sandbox in which also honest mistakes end: sums of steps, time and sizes are bounded."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name in ("range", "lipsum", "cycler", "joiner"):
            self.globals.pop(name, None)
        for name in ("center", "indent", "wordwrap", "pprint"):  # make any size of anything
            self.filters.pop(name, None)
        self.filters["format"] = _format

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Refuse what makes much of little."""
        if not all(isinstance(one, int | float) for one in (left, right)):
            raise _LimitError(f"{operator} goes with numbers only")
        if operator == "**" and not abs(right) <= 64:  # noqa: PLR2004 - what a figure may need
            raise _LimitError("the exponent is too large")
        return super().call_binop(context, operator, left, right)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Refuse methods of texts that make much of little, too."""
        if isinstance(obj, str) and attr in _SWELLING:
            return False
        return super().is_safe_attribute(obj, attr, value)


def _format(text: str, *values: Any) -> str:
    """Fill in a text as ``%`` does, into widths that a line has room for."""
    if _WIDE.search(text):
        raise _LimitError("a width is too large")
    return str(text) % values


_WIDE: Final = re.compile(r"[0-9]{3}|\*")
_SWELLING: Final = frozenset(
    {"center", "ljust", "rjust", "zfill", "expandtabs", "format", "format_map", "replace", "join"}
)


def _bounded(template: Template, values: Mapping[str, Any]) -> Iterator[str]:
    """Yield a template's output until it is too much, or takes too long."""
    deadline = time.monotonic() + MAX_SECONDS
    steps = length = 0

    def numbers(*bounds: int) -> Iterator[int]:
        nonlocal steps
        for number in range(*bounds):
            steps += 1
            if steps > MAX_STEPS or time.monotonic() > deadline:
                raise _LimitError("it loops for too long")
            yield number

    for part in template.generate({**values, "range": numbers}):
        length += len(part)
        if length > MAX_OUTPUT:
            raise _LimitError("it makes more than 256 KiB")
        if time.monotonic() > deadline:
            raise _LimitError("it takes too long")
        yield part


def _said(error: Exception) -> str:
    """Return what is wrong with a template; values of a message are not in it."""
    line = getattr(error, "lineno", None)
    known = isinstance(error, TemplateError | _LimitError | OSError | ValueError)
    said = one_line(str(error), 200) if known else type(error).__name__
    return f"line {line}: {said}" if line else said
