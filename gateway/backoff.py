"""backoff: how long to wait after a failure, doubled each time, with full jitter.

Full jitter: any moment up to the doubled wait is as likely, so that many boxes whose archive came
back do not call it at once.
"""

import random


def backoff_s(failures: int, first_s: float, most_s: float) -> float:
    """Return a wait after `failures` failures in a row (1 is the first), in seconds."""
    longest_s = min(most_s, first_s * 2.0 ** min(max(failures - 1, 0), 30))
    # At least a tenth: a wait of nothing is no wait. No secret depends on this.
    return random.uniform(longest_s / 10, longest_s)  # noqa: S311
