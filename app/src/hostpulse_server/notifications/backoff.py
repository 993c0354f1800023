"""How long a message waits after a channel did not take it, pure but for chance."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_SECONDS: Final = 1.0
MOST_SECONDS: Final = 300.0
_MOST_DOUBLINGS: Final = 16


def wait_seconds(failures: int, spread: Callable[[float, float], float] = random.uniform) -> float:
    """Return how long to wait after so many failures before this one.

    Full jitter: any time up to a bound that doubles, so that what failed together does not come
    back together. https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    return spread(0, min(MOST_SECONDS, FIRST_SECONDS * 2 ** min(failures, _MOST_DOUBLINGS)))
