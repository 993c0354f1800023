"""Signals end a process at whatever moment they come."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.integration

CODE = """
import os, signal, threading
from hostpulse_server.runtime import signals
stop, is_heard = threading.Event(), threading.Event()
def stopping():
    is_heard.set()
    stop.set()
signals.listen({signal.SIGTERM: stopping})
with stop._cond:  # the moment in which ``wait`` has looked at the event and does not sleep yet
    os.kill(os.getpid(), signal.SIGTERM)
    assert is_heard.wait(60)
assert stop.wait(60)
print("ended")
"""


def test_a_signal_while_the_main_thread_holds_the_event_ends_it() -> None:
    """A handler in the main thread would wait there for itself."""
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.stdout, done.stderr, done.returncode) == ("ended\n", "", 0)
