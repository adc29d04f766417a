"""What a session knows of jobs outlives the process."""

from __future__ import annotations

import pytest

from sandbox_tools.tools import KnownJob, KnownJobs


def test_what_is_known_is_the_same_after_it_was_saved() -> None:
    """An agent that is resumed must not be shown again what it has read."""
    jobs = KnownJobs()
    jobs.note("a", KnownJob("make", 1, 2, ended=False))
    jobs.note("b", KnownJob("ls"))
    jobs.note("a", KnownJob("make", 5, 2, ended=True))
    again = KnownJobs.from_json(jobs.to_json())
    assert again.all() == {"a": KnownJob("make", 5, 2, ended=True), "b": KnownJob("ls")}
    assert again.find("a") == KnownJob("make", 5, 2, ended=True)
    assert again.find("c") is None


@pytest.mark.parametrize("text", ["", "[]", "3", '{"a": 1}', '{"a": ["make", 1]}', '{"a": ["make", "x", 0, false]}'])
def test_what_was_not_saved_by_us_is_refused(text: str) -> None:
    """With one error, whatever is wrong with it."""
    with pytest.raises(ValueError, match="no saved jobs"):
        KnownJobs.from_json(text)
