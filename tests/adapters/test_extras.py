"""The package with and without each framework."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import sandbox_tools_adapters
from sandbox_tools import MissingExtra


@pytest.mark.parametrize(("extra", "imported"), [("smolagents", "smolagents"), ("langchain", "langchain_core.tools")])
def test_a_missing_framework_is_told_with_the_way_to_install_it(
    extra: str, imported: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of the extra is what one needs to know, and an ImportError is what one expects."""
    monkeypatch.setitem(sys.modules, imported, None)
    monkeypatch.delitem(sys.modules, f"sandbox_tools_adapters.{extra}", raising=False)
    with pytest.raises(MissingExtra, match=rf"pip install 'sandbox-tools\[{extra}\]'") as caught:
        importlib.import_module(f"sandbox_tools_adapters.{extra}")
    assert isinstance(caught.value, ImportError)
    with pytest.raises(MissingExtra):
        getattr(sandbox_tools_adapters, f"{extra}_tools")


def test_every_name_is_the_one_of_its_module() -> None:
    """`from sandbox_tools_adapters import langchain_tools` is what people try first."""
    listed = dir(sandbox_tools_adapters)
    for name in sandbox_tools_adapters.__all__:
        value = getattr(sandbox_tools_adapters, name)
        assert value.__name__ == name
        assert value.__module__.startswith("sandbox_tools_adapters.")
        assert name in listed
    assert sorted(sandbox_tools_adapters.__all__) == sandbox_tools_adapters.__all__


def test_an_unknown_name_is_an_attribute_error() -> None:
    """`hasattr` and `getattr` with a default depend on it."""
    assert not hasattr(sandbox_tools_adapters, "autogen_tools")


def test_the_package_and_the_openai_tools_import_no_framework() -> None:
    """A framework takes seconds to import, and the one that is not used may not be there."""
    code = (
        "import sys; from sandbox_tools_adapters import openai_tools; openai_tools();"
        "print([name for name in ('smolagents', 'langchain_core', 'openai') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
