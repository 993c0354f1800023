"""Validation of samples: what is kept, and what is rejected with its reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hostpulse_server.wire.points import NAME, check_points

MAX_POINTS = 2000
MAX_PROCESSES = 100
MAX_REASONS = 32
FUTURE_MS = 5 * 60 * 1000

_REQUIRED = frozenset({"seq", "time", "interval_ms", "points"})
_KEYS = _REQUIRED | {"mono_ms", "dropped", "processes"}
_BIGGEST = 2**63 - 1
_LONGEST_INTERVAL_MS = 24 * 3600 * 1000


@dataclass(frozen=True)
class Rejection:
    """A sample (``point`` is None) or a point that is not kept.

    ``seq`` is None when the sample has no usable one; then ``sample`` is its index in the request.
    """

    seq: int | None
    reason: str
    point: int | None = None
    field: str | None = None
    sample: int | None = None

    def document(self) -> dict[str, Any]:
        """Return it as it is in the response."""
        entry: dict[str, Any] = {"seq": self.seq}
        for name in ("sample", "point", "field"):
            value = getattr(self, name)
            if value is not None:
                entry[name] = value
        entry["reason"] = self.reason
        return entry


@dataclass
class SampleVerdict:
    """``kept`` samples, some perhaps with fewer points than sent, and what was rejected."""

    kept: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)


def check_samples(samples: list[Any]) -> SampleVerdict:
    """Judge every sample and point by itself; times are not compared with any clock here."""
    verdict = SampleVerdict()
    for index, sample in enumerate(samples):
        reason = _fault_of(sample)
        if reason is not None:
            seq = sample.get("seq") if isinstance(sample, dict) else None
            usable = _whole(seq)
            verdict.rejected.append(
                Rejection(seq if usable else None, reason, sample=None if usable else index)
            )
            continue
        points, faults = check_points(sample["points"])
        if faults:
            sample = {**sample, "points": points}  # noqa: PLW2901  # what was sent stays as it is
            verdict.rejected.extend(
                Rejection(sample["seq"], fault.reason, number, fault.field)
                for number, fault in faults
            )
        verdict.kept.append(sample)
    return verdict


def reject_by_clock(verdict: SampleVerdict, now_ms: int, raw_retention_ms: int) -> SampleVerdict:
    """Take out samples over 5 min in the future or older than raw values are kept."""
    oldest, newest = now_ms - raw_retention_ms, now_ms + FUTURE_MS
    wrong = {s["seq"] for s in verdict.kept if not oldest <= s["time"] <= newest}
    if not wrong:
        return verdict
    return SampleVerdict(
        [sample for sample in verdict.kept if oldest <= sample["time"] <= newest],
        # the sample's own entry stands for those of its points
        [entry for entry in verdict.rejected if entry.seq not in wrong]
        + [Rejection(seq, "clock") for seq in sorted(wrong)],
    )


def _whole(value: Any, low: int = 0, high: int = _BIGGEST) -> bool:
    return type(value) is int and low <= value <= high


def _fault_of(sample: Any) -> str | None:
    if not isinstance(sample, dict):
        return "not an object"
    if not _KEYS.issuperset(sample):
        return f"unknown key {min(sample.keys() - _KEYS)[:64]!r}"
    if not sample.keys() >= _REQUIRED:
        return f"{min(_REQUIRED - sample.keys())} is missing"
    return _fault_of_required(sample) or _fault_of_optional(sample)


def _fault_of_required(sample: dict[str, Any]) -> str | None:
    for name in ("seq", "time"):
        if not _whole(sample[name]):
            return f"{name} is not a whole number"
    if not _whole(sample["interval_ms"], 1, _LONGEST_INTERVAL_MS):
        return f"interval_ms is not a whole number from 1 to {_LONGEST_INTERVAL_MS}"
    if not isinstance(sample["points"], list):
        return "points is not a list"
    if len(sample["points"]) > MAX_POINTS:
        return f"more than {MAX_POINTS} points"
    return None


def _fault_of_optional(sample: dict[str, Any]) -> str | None:
    if not _whole(sample.get("mono_ms", 0)):
        return "mono_ms is not a whole number"
    dropped = sample.get("dropped", {})
    if not isinstance(dropped, dict) or not all(map(_whole, dropped.values())):
        return "dropped is not an object of whole numbers"
    if len(dropped) > MAX_REASONS or not all(map(NAME.fullmatch, dropped)):
        return f"dropped has more than {MAX_REASONS} reasons, or one that is not a name"
    processes = sample.get("processes", [])
    if not isinstance(processes, list) or not all(isinstance(row, dict) for row in processes):
        return "processes is not a list of objects"
    if len(processes) > MAX_PROCESSES:
        return f"more than {MAX_PROCESSES} processes"
    return None
