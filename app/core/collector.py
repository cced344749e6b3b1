"""How Python's garbage collector works here."""

from __future__ import annotations

import gc

YOUNG = 10_000  # objects made and not yet freed; Python's own is 700


def settle() -> None:
    """To be called once, when all is loaded and open. What is here stays: 160,000 objects, which a full collection looked
    through for a tenth of a second in which no request went on. What comes is looked through less often: that took a
    twentieth of a delivery's processor time."""
    gc.freeze()
    gc.set_threshold(YOUNG)
