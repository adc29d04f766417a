"""What an import costs, and what a package says that it offers."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = {"sandbox_tools": ROOT, "sandbox_tools_adapters": ROOT / "adapters", "sandbox_tools_server": ROOT / "server"}
IMPORTED_WHERE_NEEDED = {
    *("smolagents", "langchain_core", "openai"),
    *("huggingface_hub", "fastapi", "starlette", "uvicorn", "jsonschema", "rich"),
}


def public_modules() -> list[str]:
    """Every module by its dotted name, found as files so that nothing is imported to list them."""
    found: list[str] = []
    for package, source in SOURCES.items():
        for path in sorted((source / package).rglob("*.py")):
            parts = path.relative_to(source).with_suffix("").parts
            if parts[-1] == "__init__":
                parts = parts[:-1]
            if not any(part.startswith("_") for part in parts):
                found.append(".".join(parts))
    return found


def import_if_installed(name: str) -> ModuleType:
    """An adapter's framework may be missing; a module of ours never is."""
    if name.startswith("sandbox_tools_adapters."):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as missing:
            if (missing.name or "").partition(".")[0] in SOURCES:
                raise
            pytest.skip(f"{missing.name} is not installed")
    return importlib.import_module(name)


def isort_style(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest: the order that the linter gives to `__all__`."""
    if name.isupper() and len(name) > 1:
        return 0, name
    return (1, name) if name[:1].isupper() else (2, name)


def test_importing_the_core_imports_no_framework_and_no_server() -> None:
    """Installed is not imported: a program pays for what it uses, and starts when a framework is broken."""
    # httpx brings its own command line, and rich with it, wherever rich is installed; that is not ours to choose.
    program = "import json, sys, httpx; theirs = set(sys.modules); import sandbox_tools"
    report = "print(json.dumps([name for name in sys.modules if name not in theirs]))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", f"{program}; {report}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    imported = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert "sandbox_tools" in imported
    assert imported & IMPORTED_WHERE_NEEDED == set()


def test_the_core_lists_what_it_offers() -> None:
    """The package is a table of contents: whatever an author of agents needs is named there."""
    assert importlib.import_module("sandbox_tools").__all__


@pytest.mark.parametrize("name", public_modules())
def test_what_a_module_lists_is_sorted_and_is_there(name: str) -> None:
    """A listed name that does not exist breaks `import *` and the documentation, and nothing else would say so."""
    module = import_if_installed(name)
    listed: list[str] = list(getattr(module, "__all__", []))
    assert listed == sorted(set(listed), key=isort_style)
    assert [one for one in listed if not hasattr(module, one)] == []
