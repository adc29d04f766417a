"""What is published: the sdist, the wheel that is built from it, and that wheel alone in an empty environment."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import pytest
import uv

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "sandbox_tools": "sandbox_tools",
    "sandbox_tools_adapters": "adapters/sandbox_tools_adapters",
    "sandbox_tools_server": "server/sandbox_tools_server",
}

pytestmark = pytest.mark.timeout(300)


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


def run_uv(*arguments: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    return run(uv.find_uv_bin(), "--no-python-downloads", *arguments, cwd=cwd, env=env)


def in_tree(*folders: str) -> set[str]:
    """The files below these folders that git has or would take, whether or not they are committed yet."""
    listed = run(
        *("git", "ls-files", "-z", "--cached", "--others", "--exclude-per-directory=.gitignore", "--", *folders),
        cwd=ROOT,
    )
    return {name for name in listed.split("\0") if name and (ROOT / name).is_file()}


@dataclass(frozen=True)
class Built:
    sdist: Path
    wheel: Path

    def in_sdist(self) -> set[str]:
        with tarfile.open(self.sdist) as archive:
            names = [member.name for member in archive.getmembers() if member.isfile()]
        assert {name.partition("/")[0] for name in names} == {self.sdist.name.removesuffix(".tar.gz")}
        return {name.partition("/")[2] for name in names}

    def in_wheel(self) -> set[str]:
        with ZipFile(self.wheel) as archive:
            return {name for name in archive.namelist() if not name.endswith("/")}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The wheel comes from the sdist, as at whoever repackages us; the locked hatchling builds both."""
    out = tmp_path_factory.mktemp("dist")
    options = ("--no-build-isolation", "--python", sys.executable, "--out-dir", out)
    run_uv("build", "--sdist", *options, cwd=ROOT)
    (sdist,) = out.glob("*.tar.gz")
    run_uv("build", "--wheel", *options, sdist, cwd=out)
    (wheel,) = out.glob("*.whl")
    return Built(sdist, wheel)


def test_the_wheel_holds_the_three_packages_and_nothing_else(built: Built) -> None:
    """A `tests` or `server` in site-packages would collide with somebody's own."""
    name, version, *_ = built.wheel.name.split("-")
    assert {path.partition("/")[0] for path in built.in_wheel()} == {*PACKAGES, f"{name}-{version}.dist-info"}


@pytest.mark.parametrize("package", PACKAGES)
def test_the_wheel_holds_every_file_of_a_package_as_it_is_in_the_tree(built: Built, package: str) -> None:
    """A module that is left out is missed only by those who install; the server's source is sent from there."""
    folder = PACKAGES[package]
    expected = {package + path.removeprefix(folder): (ROOT / path).read_bytes() for path in in_tree(folder)}
    with ZipFile(built.wheel) as archive:
        actual = {path: archive.read(path) for path in built.in_wheel() if path.startswith(f"{package}/")}
    assert actual.keys() == expected.keys()
    assert actual == expected


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_that_it_is_typed(built: Built, package: str) -> None:
    """Without py.typed, type checkers of our users ignore all our annotations."""
    assert f"{package}/py.typed" in built.in_wheel()


def test_the_wheel_carries_the_license(built: Built) -> None:
    """The license asks that every copy comes with it."""
    with ZipFile(built.wheel) as archive:
        (carried,) = [archive.read(path) for path in archive.namelist() if path.endswith(".dist-info/licenses/LICENSE")]
    assert carried == (ROOT / "LICENSE").read_bytes()


def test_the_sdist_is_the_tree_with_its_tests(built: Built) -> None:
    """Whoever repackages us builds and tests from the sdist alone."""
    pages = {"LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "pyproject.toml", "uv.lock"}
    expected = pages | in_tree("sandbox_tools", "adapters", "server", "tests", "examples")
    assert built.in_sdist() - {"PKG-INFO", ".gitignore"} == expected


def test_the_wheel_alone_is_enough_to_import_all_three_packages(built: Built, tmp_path: Path) -> None:
    """The tree's own environment has every framework and tool in it, which hides a dependency nobody declared."""
    venv, elsewhere = tmp_path / "venv", tmp_path / "elsewhere"
    elsewhere.mkdir()
    run_uv("venv", "--python", sys.executable, venv, cwd=elsewhere)
    python = venv / "bin" / "python"
    # The locked versions of what the wheel asks for, without extras: in the cache already, so that no index is needed.
    locked = ("sync", "--frozen", "--no-default-groups", "--no-install-project")
    run_uv(*locked, cwd=ROOT, env={"UV_PROJECT_ENVIRONMENT": str(venv)})
    run_uv("pip", "install", "--offline", "--no-deps", "--python", python, built.wheel, cwd=elsewhere)
    run_uv("pip", "check", "--python", python, cwd=elsewhere)  # the lock has all that the wheel's metadata asks for

    program = "import sandbox_tools, sandbox_tools_server.wire, sandbox_tools_adapters; print(sandbox_tools.__file__)"
    imported = run(python, "-I", "-W", "error", "-c", program, cwd=elsewhere)
    assert Path(imported.strip()).is_relative_to(venv)
