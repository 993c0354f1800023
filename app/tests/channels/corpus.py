"""Texts that somebody who owns a host, a mount or a process might put into a message."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

from app.tests.channels.conftest import ALERT, FIRING, OVER, RESOLVED

if TYPE_CHECKING:
    from hostpulse_server.notifications.channels import AlertDetails, Notification

EVIL: Final = "evil.example"
CORPUS: Final[dict[str, str]] = {
    "a header": f"web\r\nBcc: victim@{EVIL}",
    "a header by LF": f"web\nX-Evil: 1\nBcc: victim@{EVIL}",
    "a header by CR": f"web\rBcc: victim@{EVIL}",
    "a body": "web\r\n\r\n<html>another body</html>",
    "folded": f"web\r\n Bcc: victim@{EVIL}",
    "other line ends": f"web\x0bBcc:\x0c\x1c\x1d\x1e\x85\u2028Bcc: victim@{EVIL}\u2029",
    "end of data": f"\r\n.\r\nMAIL FROM:<x@{EVIL}>\r\nRCPT TO:<y@{EVIL}>\r\nDATA\r\n",
    "a boundary": "--===============0==\r\nContent-Type: text/html\r\n\r\n<b>x</b>",
    "an encoded word": "=?utf-8?q?Subject=0D=0ABcc:_x@evil.example?=",
    "an encoded word in base 64": "=?utf-8?b?DQpCY2M6IHhAZXZpbC5leGFtcGxl?=",
    "quoted printable": "=0D=0ABcc: x@evil.example=\r\n",
    "all of a channel": "<!channel> <!here> <!everyone> @channel @here @everyone",
    "escaped twice": "&lt;!channel&gt; &amp;lt;!channel&amp;gt;",
    "people": "<@U123ABC> <@W1|bob> <!subteam^S123|@admins> <#C123|general>",
    "a link of Slack": f"<http://{EVIL}|click here> <https://{EVIL}> <mailto:x@{EVIL}|mail>",
    "a link of Markdown": f"[click here](http://{EVIL}) ![x](http://{EVIL}/x.png)",
    "a date of Slack": f"<!date^1392734382^{{date_num}}^https://{EVIL}|x>",
    "marks": "*bold* _italic_ ~struck~ `code` ```block``` > quote :fire: :skull_and_crossbones:",
    "a list": "* one\n- two\n1. three\n# head",
    "a script": f"<script src=//{EVIL}/x.js></script><img src=x onerror=alert(1)>",
    "out of an attribute": "\"'><svg/onload=alert(1)>",
    "a style": f"</style><style>@import 'http://{EVIL}'</style>",
    "a link of HTML": f'<a href="javascript:alert(1)">x</a><a href="http://{EVIL}">y</a>',
    "a comment of HTML": "<!-- --><!--[if mso]><b>x</b><![endif]--> --> ]]>",
    "entities": "&#60;b&#62; &lt;b&gt; &amp;amp; &#x0a;",
    "a template": "{{ 7 * 191 }} {% raw %} {# x #} {{ self.__init__ }} ${7*191} %(x)s {x}",
    "a template's end": "{% endraw %}{{ ''.__class__ }} {% include '/etc/passwd' %}",
    "out of JSON": '", "severity": "none", "x": ["\\',
    "escapes of JSON": "\\u0022 \\n \\ \u2028 \u2029 </script>",
    "from right to left": "\u202egnp.exe\u202c \u2066x\u2069 \u200f \u061c",
    "of no width": "we\u200bb\u200d\u2060\ufeff\u00ad\u180e",
    "nothing to see": "\u200b\u2060\ufeff\u3164\u2800",
    "control characters": "\x00\x01\x07\x08\x1b[31mred\x1b]0;title\x07\x7f\x9b31m",
    "tags": "flag\U000e0067\U000e007f \U000e0001",
    "marks upon marks": "Z" + "\u0301\u0316\u0488" * 200,
    "emoji": "👩\u200d👩\u200d👧\u200d👦 🏴 🇩🇪 ☠\ufe0f",
    "surrogates": "\ud800 \udfff \udcff\ud83d",
    "what is no character": "\ufffe \uffff \U0010ffff \ufdd0",
    "very long": "x" * 100_000,
    "very long in lines": "y\n" * 50_000,
    "very long and wide": "\U0001f525" * 20_000,
    "very long with entities": "<&>\"'" * 5_000,
    "a path": "../../../../etc/passwd\x00.txt",
    "spaces": " \t \u00a0\u2003\u3000 x \t ",
}
ALLOWED: Final = {FIRING.act_url, ALERT.dashboard, ALERT.runbook}


def hostile(text: str, *, is_over: bool = False) -> Notification:
    """Return a message that has a text wherever somebody else than hostpulse chooses it."""
    names = {text: text, "env": text}
    process = {"name": text, "pid": 1, "cpu_percent": 1.0, "rss_bytes": 1}
    alert = dataclasses.replace(
        OVER if is_over else ALERT,
        rule=text,
        server_id=text,
        server_name=text,
        summary=text,
        tags=names,
        labels=names,
        processes=(process,),
        evidence=(text,),
        others=(text,),
        acknowledged_by=text,
        measurement=text,
        field=text,
        reason=text if is_over else "",
    )
    return _told(alert, text, RESOLVED if is_over else FIRING)


def _told(alert: AlertDetails, text: str, like: Notification) -> Notification:
    values: dict[str, Any] = {"environment": text, "note": text, "group": {"rule": text}}
    return dataclasses.replace(like, alerts=(alert,), site=text, **values)


def with_links(url: str) -> Notification:
    """Return a message whose every address is this."""
    alert = dataclasses.replace(ALERT, runbook=url, dashboard=url)
    return dataclasses.replace(FIRING, alerts=(alert,), act_url=url)
