"""What became of a server's samples: stored, refused, dropped or missing, and what was evaluated.

For each stream, taken = stored + refused + dropped + missing.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from hostpulse_server.evaluation.accounting import StreamAccount, accounts_of, waiting_of
from hostpulse_server.journal.records import SAMPLES
from hostpulse_server.state.alert_models import AlertProgressRow

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from hostpulse_server.shipper.last_seen import LastSeenReader, StreamReport

# what agents call samples that they gave up because the server would not take them
_REFUSED: Final = "rejected"


def completeness(session: Session, seen: LastSeenReader, server_id: str) -> dict[str, Any]:
    """Return the ledger of a server and what evaluation made of it, the newest stream last."""
    document = session.scalar(
        sa.select(AlertProgressRow.document).where(
            AlertProgressRow.server_id == server_id, AlertProgressRow.origin == SAMPLES
        )
    )
    accounts = {one.stream: one for one in accounts_of(document or {})}
    current, waiting = waiting_of(document or {})
    ledger = seen.ledger(server_id)
    stored = {one.stream for one in ledger}
    known = seen.get([server_id]).get(server_id)
    quarantined = seen.quarantined(server_id)
    return {
        "server_id": server_id,
        "completeness": known.completeness_percent if known else None,
        "quarantined": {"points": sum(quarantined.values()), "reasons": quarantined},
        "streams": [
            {
                "stream": stream,
                **_stored(report),
                "evaluated": _evaluated(accounts.get(stream), waiting if stream == current else []),
            }
            for stream, report in [
                *((stream, None) for stream in accounts if stream not in stored),
                *((one.stream, one) for one in ledger),
            ]
        ],
    }


def _stored(report: StreamReport | None) -> dict[str, Any]:
    """Return what is stored of a stream, and what is not; agents say how many, but not which."""
    reasons = dict(report.dropped) if report else {}
    ranges = report.ranges if report else ()
    lost = report.missing if report else 0
    refused = min(reasons.get(_REFUSED, 0), lost)
    given_up = {reason: count for reason, count in reasons.items() if reason != _REFUSED}
    dropped = min(sum(given_up.values()), lost - refused)
    gaps = [[one.hi + 1, other.lo - 1] for one, other in pairwise(ranges)]
    return {
        "taken": (report.stored if report else 0) + lost,
        "stored": {
            "count": report.stored if report else 0,
            "ranges": [[one.lo, one.hi, one.first_ms, one.last_ms] for one in ranges],
        },
        "refused": {"count": refused},
        "dropped": {"count": dropped, "reasons": given_up},
        "missing": {"count": lost - refused - dropped, "ranges": gaps},
    }


def _evaluated(account: StreamAccount | None, waiting: list[int]) -> dict[str, Any]:
    found = account or StreamAccount("")
    left_out = {**found.left_out, **({"waiting": len(waiting)} if waiting else {})}
    return {
        "count": found.evaluated,
        "ranges": [list(one) for one in found.ranges()],
        "left_out": left_out,
        "passed_over": [list(one) for one in found.passed],
    }
