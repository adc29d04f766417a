"""One at a time, in the order they came."""

from __future__ import annotations

from sandbox_tools.tools.spec import Queue


def test_turns_are_given_in_order() -> None:
    """A call that waits must not be overtaken for ever."""
    queue = Queue()
    first, second, third = queue.enter(), queue.enter(), queue.enter()
    assert [turn.done() for turn in (first, second, third)] == [True, False, False]
    queue.leave(first)
    assert [turn.done() for turn in (second, third)] == [True, False]
    queue.leave(second)
    assert third.done()
    queue.leave(third)
    assert queue.enter().done()


def test_who_gives_up_waiting_holds_nobody_up() -> None:
    """Whether it leaves before or after its turn comes."""
    queue = Queue()
    first, second, third, fourth = (queue.enter() for _ in range(4))
    queue.leave(third)
    second.cancel()
    queue.leave(first)
    assert not fourth.done()
    queue.leave(second)
    assert fourth.done()
