"""Seeds made of several numbers."""

import numpy as np


def seed_of(*numbers: int) -> int:
    """A 63-bit seed from several numbers; neighbours get unrelated ones."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
