"""From files, or texts, to rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hostpulse_server.alerts.rules.model import RuleSet


def load(patterns: Sequence[str]) -> RuleSet:
    """Read the files that ``patterns`` (paths or globs) name, in order; raise RulesError.

    Files of one glob come in the order of their names; a rule in a later file is laid over the one
    of the same name key by key.
    """
    raise NotImplementedError


def load_texts(texts: Mapping[str, str]) -> RuleSet:
    """Read rules from texts by file name, as ``load`` reads files; raise RulesError."""
    raise NotImplementedError
