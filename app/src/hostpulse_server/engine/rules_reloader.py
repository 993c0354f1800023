"""The rules in force: read when the engine starts, and again when their files change."""

from __future__ import annotations

import logging
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hostpulse_server.errors import RulesError
from hostpulse_server.rules import RuleSet, load

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hostpulse_server.runtime.clock import Clock

LOOK_SECONDS = 2.0
SHOWN_FAULTS = 5

_Files = tuple[tuple[str, int, int, int], ...]

log = logging.getLogger(__name__)


class RulesReloader:
    """Keeps the last rules that were right; ``fault`` is what is wrong with the files now.

    ``rules`` is ``None`` while none were right since the start.
    """

    def __init__(
        self,
        patterns: Sequence[str],
        clock: Clock,
        read: Callable[[Sequence[str]], RuleSet] = load,
    ) -> None:
        self._patterns = tuple(patterns)
        self._clock = clock
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

        A fault is notified once until it is fixed, even if it changes or the engine restarts. Its
        fix is notified once, too.
        """
        reported = document.get("rules_fault")
        document["rules_fault"] = self.fault
        document["rules"] = len(self.rules.rules) if self.rules else 0
        if reported and not self.fault:
            return [f"The rules files are right again. Rules in force: {document['rules']}"]
        if not self.fault or reported:
            return []
        faults = self.fault.splitlines()
        shown = "\n".join(faults[:SHOWN_FAULTS])
        if len(faults) > SHOWN_FAULTS:
            shown += f"\nand {len(faults) - SHOWN_FAULTS} more"
        stay = "those read before stay in force" if self.rules else "nothing is evaluated"
        return [f"The rules files are wrong, {stay} until they are mended:\n{shown}"]

    def _refuse_nothing(self, rules: RuleSet) -> None:
        """Raise RulesError if all rules went with their files: an accident, not a wish."""
        held = sum(size for _name, _mtime, size, _inode in self._files or ())
        if self.rules and self.rules.rules and not rules.rules and not held:
            where = ", ".join(self._patterns)
            todo = "put them back, or write an empty list of rules if none is wanted"
            raise RulesError([f"{where}: the files are gone or empty; {todo}"])

    def _take_over(self) -> RuleSet | None:
        try:
            rules = self._read(self._patterns)
            self._refuse_nothing(rules)
        except RulesError as error:
            if self.fault != str(error):
                stay = "those read before stay in force" if self.rules else "there are no others"
                log.error("the rules files are wrong, %s: %s", stay, error)  # noqa: TRY400 - the message is complete
            self.fault = str(error)
            return None
        before, self.rules, self.fault = self.rules, rules, ""
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
