"""The job of every example: a small project with a bug that one of its tests finds."""

from __future__ import annotations

from sandbox_tools import Sandbox

TASK = """\
A test of the project in the working directory fails. Run the tests with
`python3 -m unittest`, read the file that is wrong, mend it, run the tests
again, and say in one sentence what was wrong. Leave the tests as they are."""

MODULE = '''\
def median(numbers):
    """The number in the middle, or the mean of the two in the middle."""
    ordered = sorted(numbers)
    return ordered[len(ordered) // 2]
'''

TESTS = """\
import unittest

from median import median


class Test(unittest.TestCase):
    def test_an_odd_count_has_a_middle(self):
        self.assertEqual(median([5, 1, 3]), 3)

    def test_an_even_count_has_two(self):
        self.assertEqual(median([4, 1, 3, 2]), 2.5)
"""


def set_up(sandbox: Sandbox) -> None:
    """Put the project into the sandbox's working directory."""
    sandbox.files.write("median.py", MODULE.encode())
    sandbox.files.write("test_median.py", TESTS.encode())


def verdict(sandbox: Sandbox) -> int:
    """Run the tests as they were, whatever the model says; print what came of it and return the exit code."""
    sandbox.files.write("test_median.py", TESTS.encode())
    checked = sandbox.run("python3 -m unittest", timeout=60)
    if checked.exit_code != 0:
        print(checked.output.decode(errors="replace"), "Checked: the project's tests still fail.", sep="\n")
        return 1
    print("Checked: the project's tests pass.")
    return 0
