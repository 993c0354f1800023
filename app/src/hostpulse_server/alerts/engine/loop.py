"""The loop that carries entries from the journal through the rules into the state database."""

from __future__ import annotations


class Engine:
    """Consumes one journal. ``turn`` does a bounded piece of work; ``run`` repeats it."""

    def run(self) -> None:
        """Evaluate until the stop event is set."""
        raise NotImplementedError

    def turn(self) -> None:
        """Read, evaluate, write down what has changed; wait if there was nothing."""
        raise NotImplementedError
