"""A framework that is there and broken is not a framework that is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import COVERAGE


@pytest.mark.parametrize(("adapter", "framework"), [("smolagents", "smolagents"), ("langchain", "langchain_core")])
def test_what_a_framework_misses_itself_is_told_as_it_is(tmp_path: Path, adapter: str, framework: str) -> None:
    """ "Install smolagents" would send its user the wrong way."""
    (tmp_path / framework).mkdir()
    (tmp_path / framework / "__init__.py").write_text("import something_else_that_is_missing\n")
    program = f"""
try:
    import sandbox_tools_adapters.{adapter}
except ModuleNotFoundError as error:
    print(type(error).__name__, error.name)
"""
    environment = {**os.environ, **COVERAGE, "PYTHONPATH": str(tmp_path)}
    output = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, cwd=tmp_path
    ).stdout
    assert output == "ModuleNotFoundError something_else_that_is_missing\n"
