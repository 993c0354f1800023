"""The rules in force: read when the engine starts, and again when their files change."""

from __future__ import annotations

import logging
from datetime import UTC
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hostpulse_server.errors import RulesError
from hostpulse_server.formatting import moment
from hostpulse_server.rules.loading import read_bundle, texts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import tzinfo

    from hostpulse_server.engine.kept_rules import KeptRules
    from hostpulse_server.rules import RuleSet
    from hostpulse_server.runtime.clock import Clock

LOOK_SECONDS = 2.0
SHOWN_FAULTS = 5
# how often people are notified of a fault that stays
AGAIN_MS = 86_400_000

_Files = tuple[tuple[str, int, int, int], ...]

log = logging.getLogger(__name__)


def _read(texts: Mapping[str, bytes], faults: Sequence[str]) -> RuleSet:
    return read_bundle(texts, faults).rules


class RulesReloader:
    """Keeps the last rules that were right; ``fault`` is what is wrong with the files now.

    At a start with wrong files those in ``kept`` are in force, if there are any; ``rules`` is
    ``None`` without them, while none were right.
    """

    def __init__(
        self,
        patterns: Sequence[str],
        clock: Clock,
        kept: KeptRules | None = None,
        read: Callable[[Mapping[str, bytes], Sequence[str]], RuleSet] = _read,
        *,
        zone: tzinfo = UTC,
    ) -> None:
        self._zone = zone
        self._patterns = tuple(patterns)
        self._clock = clock
        self._kept = kept
        self._kept_ms = 0
        self._read = read
        self._looked = float("-inf")
        self._files: _Files | None = None
        self._asked = False
        self.rules: RuleSet | None = None
        self.fault = ""

    def ask(self) -> None:
        """Read the files at the next turn, even if they seem unchanged; any thread may call."""
        self._asked = True

    def turn(self) -> RuleSet | None:
        """Look if it is time; return rules that are new, ``None`` if all is as before."""
        now = self._clock.monotonic()
        if not self._asked and now - self._looked < LOOK_SECONDS:
            return None
        self._looked = now
        files = _look(self._patterns)
        if files == self._files and not self._asked:
            return None
        self._files, self._asked = files, False
        return self._take_over()

    def report(self, document: dict[str, Any]) -> list[str]:
        """Write the state of the rules into ``document``; return the notices for people.

        A fault is notified at once and then daily until it is fixed, whether it changes meanwhile
        or the engine restarts. Its fix is notified once, too.
        """
        now_ms = self._clock.now_ms()
        reported = document.get("rules_fault")
        document["rules_fault"] = self.fault
        document["rules"] = len(self.rules.rules) if self.rules else 0
        if not self.fault:
            document.pop("rules_notified_ms", None)
            if reported:
                return [f"The rules files are right again. Rules in force: {document['rules']}"]
            return []
        if reported:
            # a clock that was set back must not put it off
            notified_ms = min(int(document.setdefault("rules_notified_ms", now_ms)), now_ms)
            document["rules_notified_ms"] = notified_ms
            if now_ms - notified_ms < AGAIN_MS:
                return []
        document["rules_notified_ms"] = now_ms
        return [self._notice(is_repeated=bool(reported))]

    def _notice(self, *, is_repeated: bool) -> str:
        faults = self.fault.splitlines()
        shown = "\n".join(faults[:SHOWN_FAULTS])
        if len(faults) > SHOWN_FAULTS:
            shown += f"\nand {len(faults) - SHOWN_FAULTS} more"
        still = "still wrong" if is_repeated else "wrong"
        return f"The rules files are {still}, {self._stay()} until they are mended:\n{shown}"

    def _stay(self) -> str:
        """Return what holds while the files are wrong."""
        if self.rules is None:
            return "nothing is evaluated"
        if self._kept_ms:
            return f"the last good ones, read at {moment(self._kept_ms, self._zone)}, stay in force"
        return "those read before stay in force"

    def _refuse_nothing(self, rules: RuleSet, before: RuleSet | None) -> None:
        """Raise RulesError if all rules went with their files: an accident, not a wish."""
        held = sum(size for _name, _mtime, size, _inode in self._files or ())
        if self._patterns and before and before.rules and not rules.rules and not held:
            where = ", ".join(self._patterns)
            todo = "put them back, or write an empty list of rules if none is wanted"
            raise RulesError([f"{where}: the files are gone or empty; {todo}"])

    def _take_over(self) -> RuleSet | None:
        texts, faults = texts_of(self._patterns)
        kept = self._kept.load() if self._kept and self.rules is None else None
        before = self.rules or (kept.rules if kept else None)
        try:
            rules = self._read(texts, faults)
            self._refuse_nothing(rules, before)
        except RulesError as error:
            is_start = self.rules is None and kept is not None
            if kept is not None:
                self.rules, self._kept_ms = kept.rules, kept.read_ms
            if self.fault != str(error):
                log.error("the rules files are wrong, %s: %s", self._stay(), error)  # noqa: TRY400 - the message is complete
            self.fault = str(error)
            return self.rules if is_start else None
        before, self.rules, self.fault, self._kept_ms = self.rules, rules, "", 0
        if self._kept:
            self._kept.save(texts, self._clock.now_ms())
        if before is not None and before.digest and before.digest == rules.digest:
            return None
        log.info("%d rules in force from %d files", len(rules.rules), len(self._files or ()))
        return rules


def _look(patterns: Sequence[str]) -> _Files:
    """Return what changes with the content of the files, without reading them."""
    found = []
    for pattern in patterns:
        # not Path.glob: a pattern may be absolute
        for name in sorted(glob(pattern)) or [pattern]:  # noqa: PTH207
            try:
                about = Path(name).stat()
            except OSError:
                continue  # a file that goes away meanwhile is another content, too
            found.append((name, about.st_mtime_ns, about.st_size, about.st_ino))
    return tuple(found)
