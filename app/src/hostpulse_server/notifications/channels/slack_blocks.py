"""A notification as Slack blocks: texts as literal elements, never as markup.

``rich_text`` elements and ``plain_text`` are not parsed, so a name can neither mention nor mark up.
Slack's limits hold by construction: a message has at most ``MAX_BLOCKS`` blocks, and texts are cut
before they are put in. https://docs.slack.dev/reference/block-kit/blocks
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hostpulse_server.notifications.channels.escaping import literal
from hostpulse_server.notifications.channels.sanitize import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MAX_HEADER: Final = 150
MAX_TEXT: Final = 3000
MAX_BLOCKS: Final = 50
MAX_FIELD: Final = 400
_MAX_CHARACTERS: Final = 9000  # of all blocks; Slack refuses a message somewhere above 13,000

Element = dict[str, Any]


def blocks(story: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the blocks of a message."""
    alerts = story["alerts"]
    groups: list[list[Element]] = []
    if story["note_lines"]:
        groups.append([_section(_lines([[_text(line)] for line in story["note_lines"]]))])
    groups += _one(alerts[0]) if len(alerts) == 1 else _many(story)
    groups.append(_sections([[_text(story["more"])] if story["more"] else [], _links(story)]))
    made = [{"type": "rich_text", "elements": group} for group in groups if group]
    foot = f"{story['site']} · hostpulse · {story['created']}"
    return [_header(f"{story['icon']} {story['headline']}"), *made, _context(foot)]


def _one(alert: Mapping[str, Any]) -> list[list[Element]]:
    facts = [
        [_text(f"{fact['label']}: ", bold=True), _text(fact["text"], MAX_FIELD)]
        for fact in alert["facts"]
    ]
    if alert["sparkline"]:
        trend = [_text(alert["sparkline"], code=True), _text(f"  {alert['trend_text']}")]
        facts.append([_text("Trend: ", bold=True), *trend])
    return [
        [_section(_lines(facts))],
        _titled("What it rests on", alert["evidence"]),
        _titled(f"Also wrong on {alert['server']}", alert["others"]),
        _titled("Heaviest processes", [_process(process) for process in alert["processes"]]),
    ]


def _process(process: Mapping[str, str]) -> str:
    pid = f" ({process['pid']})" if process["pid"] else ""
    figures = [f"CPU {process['cpu']}" if process["cpu"] else "", process["memory"]]
    shown = ", ".join(figure for figure in figures if figure)
    return f"{process['name']}{pid}: {shown}" if shown else f"{process['name']}{pid}"


def _many(story: Mapping[str, Any]) -> list[list[Element]]:
    """Return a list by server, as long as there is room; what is left out is counted."""
    items: list[list[Element]] = []
    room = _MAX_CHARACTERS
    alerts = [alert for server in story["servers"] for alert in server["alerts"]]
    for alert in alerts:
        room -= len(alert["sentence"]) + len(alert["brief"]) + len(alert["dashboard"]) + 50
        if room < 0:
            break
        items.append(_item(alert))
    if not items:
        return []
    left = len(alerts) - len(items)
    more = [_text(f"{left} more are not shown for want of room")] if left else []
    return [[_list(items), *_sections([more])]]


def _item(alert: Mapping[str, Any]) -> list[Element]:
    sentence = one_line(alert["sentence"], MAX_FIELD)
    url = alert["dashboard"]
    what = _link(url, sentence) if url else _text(sentence)
    return [_text(f"{alert['icon']} "), what, _text(f"  ({alert['brief']})", MAX_FIELD)]


def _links(story: Mapping[str, Any]) -> list[Element]:
    alerts = story["alerts"]
    parts: list[Element] = []
    if story["act_url"] and story["status"] == "firing":
        parts.append(_link(story["act_url"], "Acknowledge or silence", bold=True))
    if len(alerts) == 1 and alerts[0]["dashboard"]:
        parts.append(_link(alerts[0]["dashboard"], "Dashboard"))
    runbook_url = alerts[0]["runbook_url"] if alerts and story["runbook"] else ""
    if runbook_url:
        parts.append(_link(runbook_url, "Runbook"))
    elif story["runbook"]:
        parts.append(_text(f"Runbook: {story['runbook']}", MAX_FIELD))
    if story["how"]:
        parts.append(_text(f"Acknowledge: {story['how']}"))
    joined: list[Element] = []
    for part in parts:
        joined += [_text("  ·  "), part] if joined else [part]
    return joined


def _titled(title: str, lines: Sequence[str]) -> list[Element]:
    if not lines:
        return []
    return [_section([_text(title, bold=True)]), _list([[_text(line)] for line in lines])]


def _header(text: str) -> dict[str, Any]:
    cut = one_line(literal(text), MAX_HEADER)
    return {"type": "header", "text": {"type": "plain_text", "text": cut, "emoji": False}}


def _context(text: str) -> dict[str, Any]:
    cut = one_line(literal(text), MAX_FIELD)
    element = {"type": "plain_text", "text": cut, "emoji": False}
    return {"type": "context", "elements": [element]}


def _section(elements: list[Element]) -> Element:
    return {"type": "rich_text_section", "elements": elements}


def _sections(rows: Sequence[list[Element]]) -> list[Element]:
    return [_section(row) for row in rows if row]


def _list(items: Iterable[list[Element]]) -> Element:
    sections = [_section(item) for item in items]
    return {"type": "rich_text_list", "style": "bullet", "elements": sections}


def _lines(rows: Sequence[list[Element]]) -> list[Element]:
    """Return rows of elements as one section with a line a row."""
    joined: list[Element] = []
    for row in rows:
        joined += [{"type": "text", "text": "\n"}, *row] if joined else row
    return joined


def _text(text: str, limit: int = 600, **style: bool) -> Element:
    cut = literal(text) if len(text) <= limit else f"{literal(text[: limit - 1])}…"
    return {"type": "text", "text": cut} | ({"style": style} if style else {})


def _link(url: str, text: str, **style: bool) -> Element:
    return {"type": "link", "url": url, "text": literal(text)} | ({"style": style} if style else {})
