"""Templates of messages: ours, or an operator's of the same name, in a sandbox.

If an operator's template cannot be used, ours is, and the message says so: an alert is
never lost to a template.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jinja2 import StrictUndefined, TemplateError

from hostpulse_server.notifications.channels.escaping import (
    as_json,
    as_slack,
    as_slack_json,
    dumps_for_slack,
)
from hostpulse_server.notifications.channels.sanitize import one_line
from hostpulse_server.sandbox import Sandbox, TemplateLimitError, TemplateLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OURS: Final = Path(__file__).with_name("templates")
MAX_SOURCE: Final = 256 * 1024
LIMITS: Final = TemplateLimits(seconds=2.0, steps=50_000, size=256 * 1024)

log = logging.getLogger(__name__)


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
            raise TemplateLimitError("it is larger than 256 KiB")
        environment = self._environments[_language(path.name)]
        template = environment.from_string(source)
        return environment.fill(template, values)


def _language(name: str) -> str:
    if name.startswith("slack"):
        return "slack.json" if name.endswith(".json") else "slack"
    return {".html": "html", ".json": "json"}.get(Path(name).suffix, "text")


def _environment(*, autoescape: bool, finalize: Callable[[Any], Any] | None) -> Sandbox:
    return Sandbox(
        LIMITS,
        autoescape=autoescape,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _said(error: Exception) -> str:
    """Return what is wrong with a template; values of a message are not in it."""
    line = getattr(error, "lineno", None)
    known = isinstance(error, TemplateError | OSError | ValueError)
    said = one_line(str(error), 200) if known else type(error).__name__
    return f"line {line}: {said}" if line else said
