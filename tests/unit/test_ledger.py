"""What a session remembers of the files it read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_tools import ReadLedger

RANGES = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), max_size=8)


def test_windows_add_up_to_the_whole_file() -> None:
    """A long file is read in parts; that counts as much as one reading."""
    ledger = ReadLedger()
    ledger.record("/f", "v1", 10, [(1, 4)])
    assert not ledger.find("/f").whole  # type: ignore[union-attr]
    ledger.record("/f", "v1", 10, [(8, 10)])
    ledger.record("/f", "v1", 10, [(4, 7)])
    assert ledger.find("/f").whole  # type: ignore[union-attr]


def test_what_was_seen_of_another_version_does_not_count() -> None:
    """The lines that were read may be gone."""
    ledger = ReadLedger()
    ledger.record("/f", "v1", 10, [(1, 9)])
    ledger.record("/f", "v2", 10, [(10, 10)])
    assert ledger.find("/f").seen == ((10, 10),)  # type: ignore[union-attr]


def test_an_empty_file_is_seen_whole() -> None:
    """It has no line that could have been missed."""
    ledger = ReadLedger()
    ledger.record("/f", "v1", 0, [(1, 0)])
    assert ledger.find("/f").whole  # type: ignore[union-attr]


def test_an_edit_keeps_what_stands_before_it() -> None:
    """Line numbers after the change are others now."""
    ledger = ReadLedger()
    ledger.record("/f", "v1", 10, [(1, 3), (5, 8)])
    ledger.record_edit("/f", "v2", 11, 6)
    entry = ledger.find("/f")
    assert entry is not None
    assert (entry.version, entry.total, entry.seen) == ("v2", 11, ((1, 3), (5, 5)))


def test_an_edit_of_a_file_that_was_seen_whole_leaves_it_so() -> None:
    """The session made the change itself, so it knows what is there."""
    ledger = ReadLedger()
    ledger.record("/f", "v1", 10, [(1, 10)])
    ledger.record_edit("/f", "v2", 12, 6)
    assert ledger.find("/f").whole  # type: ignore[union-attr]


def test_what_is_forgotten_is_unread() -> None:
    """After a broken line nobody knows what is in the file."""
    ledger = ReadLedger()
    ledger.record("/f", "v1", 1, [(1, 1)])
    ledger.forget("/f")
    ledger.forget("/f")
    assert ledger.find("/f") is None


@given(RANGES)
def test_a_ledger_survives_being_saved(ranges: list[tuple[int, int]]) -> None:
    """A session goes on in another process with exactly what it had."""
    ledger = ReadLedger()
    ledger.record("/ü", "v", 30, ranges)
    restored = ReadLedger.from_json(ledger.to_json())
    assert restored.find("/ü") == ledger.find("/ü")
    assert restored.to_json() == ledger.to_json()


@given(RANGES)
def test_the_ranges_hold_exactly_the_lines_that_were_seen(ranges: list[tuple[int, int]]) -> None:
    """One line too many unlocks an overwrite of what nobody read."""
    ledger = ReadLedger()
    ledger.record("/f", "v", 30, ranges)
    entry = ledger.find("/f")
    assert entry is not None
    seen = {line for first, last in entry.seen for line in range(first, last + 1)}
    assert seen == {line for first, last in ranges for line in range(first, last + 1)}
    assert all(one[1] + 1 < two[0] for one, two in zip(entry.seen, entry.seen[1:], strict=False))


@pytest.mark.parametrize("text", ["", "[]", "3", '{"/f": 3}', '{"/f": ["v", "many", []]}', '{"/f": ["v", 1, [1]]}'])
def test_what_is_no_ledger_is_refused(text: str) -> None:
    """A broken file must not turn into an empty memory."""
    with pytest.raises(ValueError, match="no saved ledger"):
        ReadLedger.from_json(text)
