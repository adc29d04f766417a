"""What `import sandbox_tools` gives, though it imports next to nothing."""

from __future__ import annotations

import pytest

import sandbox_tools


def test_every_name_is_there_when_it_is_asked_for() -> None:
    """And tab completion knows them."""
    assert set(sandbox_tools.__all__) <= set(dir(sandbox_tools))
    assert all(hasattr(sandbox_tools, name) for name in sandbox_tools.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    """As of any module."""
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        sandbox_tools.nothing  # noqa: B018
