"""Escapes values for Slack messages and JSON, in our templates and in operators'."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from jinja2 import Undefined
from markupsafe import Markup

from hostpulse_server.notifications.channels.sanitize import link

_LOUD: Final = re.compile(r"@(?=(?:channel|here|everyone|all|group)\b)", re.IGNORECASE)
# the bound keeps the work linear; names of pictures are shorter
_EMOJI: Final = re.compile(r":(?=[0-9_+'-]{0,100}[a-z][a-z0-9_+'-]{0,100}:)", re.IGNORECASE)
_EDGE: Final = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
# asterisk operator, modifier letter grave, tilde operator, full-width brackets
_LOOKALIKES: Final = str.maketrans(
    {"*": "\u2217", "`": "\u02cb", "~": "\u223c", "[": "\uff3b", "]": "\uff3d"}
)
_ENTITIES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def as_json(value: Any) -> Any:
    """Return a text ready to stand between quotes, and anything else as JSON.

    So no value gets out of its quotes.
    """
    if isinstance(value, Markup | Undefined):  # what tojson made; what raises by itself
        return value
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return text[1:-1] if isinstance(value, str) else text


class Escaped(str):
    """A text that ``as_slack`` has been over, or our own template for Slack."""

    __slots__ = ()


def as_slack_json(value: Any) -> Any:
    """Return a text ready to stand between quotes in a Slack message that an operator writes.

    So a name can be put into ``mrkdwn``, too. What is no text goes as it is.
    """
    return as_json(_escaped(value))


def dumps_for_slack(value: Any, **options: Any) -> str:
    """Do the same for the filter ``tojson``."""
    return json.dumps(_escaped(value), **options)


def _escaped(value: Any) -> Any:
    return value if isinstance(value, Escaped | Markup) else as_slack(value)


def as_slack(value: Any) -> Any:
    """Return a text that no receiver of Slack messages reads as markup or mention.

    The three characters that Slack asks to escape are escaped. Nothing escapes its other marks, so
    characters that look like them take their place; an underscore within a word is no mark.
    """
    if not isinstance(value, str):
        return value
    if not link(value):
        value = _EDGE.sub("\u02cd", quiet(value).translate(_LOOKALIKES))
    return value.translate(_ENTITIES)


def quiet(text: str) -> str:
    """Return a text that mentions no one and shows no picture, also where no markup is read."""
    return _EMOJI.sub("\u2236", _LOUD.sub("\uff20", text))


def literal(text: str) -> str:
    """Return a text for parts of a Slack message that read no markup, harmless also if they did.

    Escaping would show there; single guillemets look like angle brackets and are none.
    """
    return quiet(text).replace("<", "\u2039").replace(">", "\u203a")
