"""The garbage collector of a process that holds thousands of connections."""

import gc

YOUNG_OBJECTS = 10_000
"""Each connection leaves some objects that stay; looking at all of them often would cost more than relaying does."""


def freeze() -> None:
    """Called once, when everything is there that stays until the end: what exists is never looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)
