"""The pack as it ships on a day on which clocks, networks and the channel go wrong, too."""

from __future__ import annotations

import pytest
from tests.rules.day import live
from tests.rules.delivery import Disturbances, Span
from tests.rules.fleet import Incident

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("untraced")]

SIZE = 25
HOURS = 12.0
HOUR = 3600


def at(hour: float, minutes: float) -> tuple[int, int]:
    """Return start and end of something, in seconds of the day, on the grid of samples."""
    start = round(hour * HOUR / 10) * 10
    return start, start + round(minutes * 6) * 10


LOSS = {("network", "eth0"): {"packet_loss_percent": 4.0}}
INCIDENTS = (
    # while the server's clock is an hour ahead for 20 s
    Incident("cpu_usage", 3, *at(0.95, 30), {("cpu", "total"): {"usage_percent": 99.0}}),
    # a host that loses one sample in twenty for good
    Incident("memory_usage", 6, *at(3, 40), {("memory", ""): {"used_percent": 97.0}}),
    # a host that is cut off for 40 s in four minutes, and sends the newest first afterwards
    Incident("cpu_usage", 9, *at(4, 30), {("cpu", "total"): {"usage_percent": 97.0}}),
    # within eight minutes without a network
    Incident("oom_kill", 10, *at(5.05, 1 / 6), {("kernel", ""): {"oom_kills_total": 2.0}}),
    # on for seven minutes, off for six, for two hours
    *(Incident("packet_loss", 12, *at(8 + n * 13 / 60, 7), LOSS) for n in range(9)),
    # the channel is away from six to eight
    Incident("disk_usage", 13, *at(5.5, 60), {("disk", "/var"): {"used_percent": 93.0}}),
    Incident("disk_hung", 14, *at(6.3, 30), {("disk", "/srv"): {"hung": 1.0}}),
    Incident("raid_degraded", 17, *at(7, 120), {("system", ""): {"raid_degraded": 1.0}}),
    # planned work, silenced
    Incident("liveness", 18, *at(2.5, 50), answers=False),
    Incident("disk_usage", 20, *at(2.5, 50), {("disk", "/srv"): {"used_percent": 97.0}}),
    Incident("disk_readonly", 21, *at(9, 45), {("disk", "/"): {"readonly": 1.0}}),
)
# at the first try after eight, which is within five minutes
BACK = "8:0"
AWAY = "id not answer from 2027-01-15 14:19:10 UTC to 2027-01-15 16:0"
DISTURBANCES = Disturbances(
    cut={
        9: (Span(0, 12 * HOUR, every_s=240, for_s=40),),
        10: (Span(*at(5, 8)),),
    },
    losing={6: 0.05, 7: 0.03},
    clocks={4: (Span(*at(2, 60)), -50)},
    server_clock=Span(*at(1, 1 / 3)),
    server_clock_s=HOUR,
    away=Span(6 * HOUR, 8 * HOUR),
    silences={18: Span(*at(2.4, 66)), 20: Span(*at(2.4, 66))},
)


# when, and how each message begins; what else it has to say
EXPECTED = (
    ("1:00:00", "🟠 hostpulse · NOTICE · The clock of this server was set forward by 1 h", ()),
    ("1:00:20", "🟠 hostpulse · NOTICE · The clock of this server was set back by 1 h", ()),
    ("1:02:50", "🔴 hostpulse · CRITICAL · CPU 99 % busy on host-03", ("core total", "above 95 %")),
    ("1:27:00", "🟠 hostpulse · WARNING, WAS CRITICAL · CPU 87.", ("on host-03", "worst 99 %")),
    ("1:27:20", "✅ hostpulse · RESOLVED after 29 min 40 s · CPU 99 % busy on host-03", ()),
    ("3:05:40", "🔴 hostpulse · CRITICAL · Memory 97 % used on host-06", ("above 95 %",)),
    ("3:40:00", "✅ hostpulse · RESOLVED after 40 min · Memory", ("at the end, worst 97 %",)),
    ("4:05:50", "🔴 hostpulse · CRITICAL · CPU 97 % busy on host-09", ()),
    ("4:30:00", "🟠 hostpulse · WARNING, WAS CRITICAL · CPU 83.", ("on host-09", "worst 97 %")),
    ("4:30:10", "✅ hostpulse · RESOLVED after 29 min 30 s · CPU 97 % busy on host-09", ()),
    (
        "5:08:10",
        "🟠 hostpulse · WARNING · The kernel killed 2 processes",
        ("on host-10", "5 min 10 s"),
    ),
    (
        "5:18:00",
        "✅ hostpulse · RESOLVED after 15 min · The kernel killed 2 processes",
        ("host-10",),
    ),
    ("5:35:10", "🔴 hostpulse · CRITICAL · /var 93 % full on host-13", ("mount /var",)),
    # the channel is back, and hears what is so now, at once; in the order of their texts
    (BACK, "✅ hostpulse · RESOLVED after 1 h · /var 93 % full on host-13", (AWAY,)),
    (
        BACK,
        "🔴 hostpulse · CRITICAL · 1 software RAID array lacks a member on host-17",
        ("Fired ", " ago; this channel d", AWAY),
    ),
    (
        BACK,
        "🟠 hostpulse · NOTICE · While this channel was away: 1 alert fired and was over.",
        (AWAY, "critical disk_hung on host-14: fired 2027-01-15 14:19:00 UTC, over after 30 min"),
    ),
    ("8:05:10", "🟠 hostpulse · WARNING · 4 % of the packets of eth0 are lost on host-12", ()),
    ("8:07:00", "✅ hostpulse · RESOLVED after 7 min · 4 % of the packets", ("host-12",)),
    ("8:18:10", "🟠 hostpulse · WARNING · 4 % of the packets of eth0 are lost on host-12", ()),
    ("8:20:00", "✅ hostpulse · RESOLVED after 7 min · 4 % of the packets", ("host-12",)),
    ("8:31:10", "🟠 hostpulse · WARNING · 4 % of the packets of eth0 are lost on host-12", ()),
    (
        "8:33:00",
        "🟠 hostpulse · WARNING, FLAPPING · 4 % of the packets of eth0 are lost on host-12: ch",
        ("only if it becomes more severe, and once it is steady",),
    ),
    ("9:00:00", "✅ hostpulse · RESOLVED after 2 h · 1 software RAID array", ("host-17",)),
    ("9:01:10", "🔴 hostpulse · CRITICAL · / has become read-only on host-21", ()),
    ("9:45:00", "✅ hostpulse · RESOLVED after 45 min · / has become read-only on host-21", ()),
    (
        "10:11:00",
        "✅ hostpulse · RESOLVED · 4 % of the packets of eth0 are lost on host-12",
        ("It flapped and is steady again: over without a change for 20 min.",),
    ),
)


def test_what_is_told_is_what_there_is_in_true_words() -> None:
    """Each incident once, late where the channel was away, nothing of planned work, no other."""
    told = live(SIZE, INCIDENTS, HOURS, DISTURBANCES)
    # which of those that waited has its next try first is drawn
    told.sort(key=lambda one: (one.time_s, one.text))
    found = [(_time(one.time_s), one.text.split("\n", 1)[0]) for one in told]
    assert len(found) == len(EXPECTED), found
    for one, (at, title), (time, begin, words) in zip(told, found, EXPECTED, strict=True):
        assert at.startswith(time), found
        assert title.startswith(begin), found
        assert [word for word in words if word not in one.text] == [], one.text
    assert len({at for at, _ in found if at.startswith(BACK) and at <= "8:05:00"}) == 1, found


def _time(seconds: int) -> str:
    return f"{seconds // HOUR}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
