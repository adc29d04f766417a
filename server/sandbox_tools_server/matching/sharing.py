"""How much two texts have in common at an end, found by comparing slices and not a byte at a time."""

from __future__ import annotations

from collections.abc import Callable

LONGEST_STEP = 64 * 1024
"""How many bytes are compared at once at most."""


def shared_ends(one: bytes, other: bytes) -> tuple[int, int]:
    """Count what both begin with, and what both end with besides."""
    most = min(len(one), len(other))
    head = shared_head(one, 0, other, 0, most)
    return head, shared_tail(one, len(one), other, len(other), most - head)


def shared_head(one: bytes, start: int, other: bytes, other_start: int, most: int) -> int:
    """Count how many bytes from two places on are the same, up to `most`."""
    return _count(lambda a, b: one[start + a : start + b] == other[other_start + a : other_start + b], most)


def shared_tail(one: bytes, stop: int, other: bytes, other_stop: int, most: int) -> int:
    """Count how many bytes down to two places are the same, up to `most`."""
    return _count(lambda a, b: one[stop - b : stop - a] == other[other_stop - b : other_stop - a], most)


def _count(same: Callable[[int, int], bool], most: int) -> int:
    """Go on in steps that grow while all is the same, and shrink where something is not."""
    count, step = 0, 1
    while step := min(step, most - count):
        if same(count, count + step):
            count += step
            step = min(2 * step, LONGEST_STEP)
        else:
            step //= 2
    return count
