"""Signals, taken by a thread of their own.

A handler runs in the main thread between two of its steps. Where those are two steps of
``Event.wait`` it finds the lock taken that ``Event.set`` wants, or sets what the wait has just
looked at: the process never ends. A thread that waits for signals has no such moment.
"""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def listen(handlers: Mapping[signal.Signals, Callable[[], None]]) -> None:
    """Call a handler, in a thread, for each of its signals from now on.

    To be called by the main thread before it starts others: they take over from it which signals
    they leave alone.
    """
    for number in handlers:
        # a signal that was ignored from the start would not be waited for
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, handlers)

    def serve() -> None:
        while True:
            handlers[signal.Signals(signal.sigwait(handlers))]()

    threading.Thread(target=serve, name="signals", daemon=True).start()
