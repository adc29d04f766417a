"""Models that think nothing and say what was written down for them: the job of the examples, in five turns."""

from __future__ import annotations

from typing import Any

TESTS = {"command": "python3 -m unittest", "description": "Run the tests"}

CALLS: list[tuple[str, dict[str, Any]]] = [
    ("bash", TESTS),
    ("read", {"path": "median.py"}),
    (
        "edit",
        {
            "path": "median.py",
            "old_str": "    return ordered[len(ordered) // 2]",
            "new_str": "    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2",
        },
    ),
    ("bash", TESTS),
]
"""One call in each turn; `ANSWER` is the last."""

ANSWER = "median() took the upper of the two middle numbers instead of their mean; now it takes the mean."
