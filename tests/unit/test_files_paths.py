"""Which file a path means, what is there, and how it is refused."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
from pathlib import Path

import pytest

from sandbox_tools_server.errors import Refused
from sandbox_tools_server.files import exists, list_directory, open_content, read_window, resolve


def refusal(path: str, cwd: str | None = None, work_dir: str = "/") -> Refused:
    with pytest.raises(Refused) as caught:
        resolve(path, cwd, work_dir)
    return caught.value


def test_every_way_to_name_a_file_has_one_canonical_path(tmp_path: Path) -> None:
    """The ledger knows a file by that path, so two spellings must not be two files."""
    file = tmp_path / "src" / "a.py"
    file.parent.mkdir()
    file.touch()
    (tmp_path / "link.py").symlink_to(file)
    names = [("src/a.py", None), ("a.py", "src"), ("./../src//a.py", "src"), (str(file), "/"), ("link.py", None)]
    assert {resolve(name, cwd, str(tmp_path)) for name, cwd in names} == {str(file.resolve())}


def test_a_tilde_is_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No shell stands between the model and the tool, so nobody else expands it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve("~/a", None, "/") == str(tmp_path.resolve() / "a")
    assert resolve("a", "~", "/") == str(tmp_path.resolve() / "a")


def test_a_dangling_link_leads_to_what_it_names(tmp_path: Path) -> None:
    """Writing through it creates its target."""
    (tmp_path / "link").symlink_to(tmp_path / "target")
    assert resolve("link", None, str(tmp_path)) == str(tmp_path.resolve() / "target")


@pytest.mark.parametrize("path", ["", "a\0b", "\ud800", "x" * 300, "d/" * 3000])
def test_what_can_be_no_path_is_refused(path: str) -> None:
    """Such a path must never become an error of the server."""
    assert refusal(path).code == "invalid_path"


def test_a_working_directory_is_checked_as_the_path_is() -> None:
    """It comes from the same caller."""
    assert refusal("a", cwd="\0").code == "invalid_path"


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    """It leads nowhere."""
    (tmp_path / "one").symlink_to(tmp_path / "two")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    assert refusal("one", work_dir=str(tmp_path)).code == "invalid_path"


def test_a_link_to_a_name_that_is_not_unicode_is_refused(tmp_path: Path) -> None:
    """Its canonical path could not be sent back."""
    os.symlink(os.fsencode(tmp_path) + b"/\xff", tmp_path / "link")
    assert refusal("link", work_dir=str(tmp_path)).code == "invalid_path"


def test_a_relative_path_in_a_directory_that_is_gone_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system cannot say where the server stands then."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert refusal("a", work_dir=".").code == "file_not_found"


def test_a_missing_file_names_near_ones(tmp_path: Path) -> None:
    """Most missing files are mistyped ones."""
    for name in ("setup.py", "setup.cfg", "other.txt"):
        (tmp_path / name).touch()
    with pytest.raises(Refused) as caught:
        read_window(str(tmp_path / "setpu.py"), None, None)
    assert caught.value.code == "file_not_found"
    assert str(tmp_path / "setup.py") in caught.value.hint
    assert "other.txt" not in caught.value.hint


def test_a_missing_file_without_near_names_says_where_to_look(tmp_path: Path) -> None:
    """The next step differs with whether the directory exists."""
    with pytest.raises(Refused) as caught:
        read_window(str(tmp_path / "zzz"), None, None)
    assert caught.value.hint == f"List {tmp_path} to see what is there."
    with pytest.raises(Refused) as caught:
        read_window(str(tmp_path / "no" / "zzz"), None, None)
    assert f"{tmp_path / 'no'} does not exist" in caught.value.hint


def test_a_directory_that_is_read_shows_its_names(tmp_path: Path) -> None:
    """The listing is what the reader will ask for next."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.txt").touch()
    with pytest.raises(Refused) as caught:
        read_window(str(tmp_path), None, None)
    assert caught.value.code == "is_a_directory"
    assert caught.value.hint == "It contains a.txt, sub/."


def test_a_large_directory_shows_some_names_and_how_many_more(tmp_path: Path) -> None:
    """A refusal stays short."""
    for number in range(60):
        (tmp_path / f"{number:02}").touch()
    with pytest.raises(Refused) as caught:
        open_content(str(tmp_path))
    assert "49 and 10 more" in caught.value.hint
    assert "50," not in caught.value.hint


def test_an_empty_directory_shows_no_names(tmp_path: Path) -> None:
    """That too is said."""
    with pytest.raises(Refused) as caught:
        read_window(str(tmp_path), None, None)
    assert caught.value.hint == "It shows no names."


def test_special_files_are_refused_without_being_opened(tmp_path: Path) -> None:
    """Opening a FIFO waits for a writer, which never comes; a device may do anything."""
    os.mkfifo(tmp_path / "fifo")
    folder = tempfile.mkdtemp()  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(f"{folder}/s")
        for path in (str(tmp_path / "fifo"), f"{folder}/s", "/dev/null"):
            with pytest.raises(Refused) as caught:
                read_window(path, None, None)
            assert caught.value.code == "not_a_regular_file"
    os.unlink(f"{folder}/s")
    os.rmdir(folder)


def test_a_part_of_the_path_that_is_a_file_is_said_to_be(tmp_path: Path) -> None:
    """The hint tells that the path, not the file, is wrong."""
    (tmp_path / "file").touch()
    with pytest.raises(Refused) as caught:
        read_window(str(tmp_path / "file" / "x"), None, None)
    assert caught.value.code == "not_a_directory"
    assert caught.value.hint


def test_what_the_system_says_otherwise_is_a_file_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No error of the operating system is ever a traceback."""
    (tmp_path / "file").write_bytes(b"x")

    def broken(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with open_content(str(tmp_path / "file")) as content:
        monkeypatch.setattr(os, "pread", broken)
        with pytest.raises(Refused) as caught:
            content.read(0, 1)
    assert caught.value.code == "file_error"
    assert caught.value.hint == ""


def test_exists_tells_files_directories_and_others_apart(tmp_path: Path) -> None:
    """It answers for everything, also for what cannot be read."""
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "fifo")
    assert exists(str(tmp_path)).kind == "directory"
    assert exists(str(tmp_path / "file")).kind == "file"
    assert exists(str(tmp_path / "fifo")).kind == "other"
    assert not exists(str(tmp_path / "none")).exists
    assert not exists(str(tmp_path / "file" / "none")).exists


def test_a_directory_is_listed_by_name(tmp_path: Path) -> None:
    """The order does not depend on the file system."""
    (tmp_path / "b").write_bytes(b"123")
    (tmp_path / "a").mkdir()
    (tmp_path / "c").symlink_to("nowhere")
    (tmp_path / "d").symlink_to("b")
    listing = list_directory(str(tmp_path))
    assert [(entry.name, entry.kind, entry.size) for entry in listing.entries if entry.kind != "directory"] == [
        ("b", "file", 3),
        ("c", "other", 0),
        ("d", "file", 3),
    ]
    assert (listing.entries[0].name, listing.entries[0].kind) == ("a", "directory")
    assert listing.entries[1].mtime == pytest.approx((tmp_path / "b").stat().st_mtime)
    assert listing.total == 4


def test_a_listing_that_is_cut_says_how_many_there_are(tmp_path: Path) -> None:
    """A reader must know that there is more."""
    for name in "edcba":
        (tmp_path / name).touch()
    listing = list_directory(str(tmp_path), 2)
    assert [entry.name for entry in listing.entries] == ["a", "b"]
    assert listing.total == 5


def test_names_that_are_not_unicode_can_be_listed(tmp_path: Path) -> None:
    """JSON could not carry them otherwise."""
    os.close(os.open(os.fsencode(tmp_path) + b"/\xff", os.O_CREAT | os.O_WRONLY))
    listing = list_directory(str(tmp_path))
    assert listing.entries[0].name == "\ufffd"
    assert listing.model_dump_json()


def test_what_is_no_directory_is_not_listed(tmp_path: Path) -> None:
    """An empty answer would be a lie."""
    (tmp_path / "file").touch()
    for name, code in (("file", "not_a_directory"), ("none", "file_not_found")):
        with pytest.raises(Refused) as caught:
            list_directory(str(tmp_path / name))
        assert caught.value.code == code


def test_raw_content_is_read_from_anywhere(tmp_path: Path) -> None:
    """A download goes on where it stopped, and knows the version that it belongs to."""
    (tmp_path / "file").write_bytes(b"0123456789")
    with open_content(str(tmp_path / "file")) as content:
        assert (content.size, content.read(4, 3), content.read(8, 100), content.read(10, 1)) == (10, b"456", b"89", b"")
        assert content.version == read_window(content.path, None, None).version
        content.close()


def test_content_that_cannot_be_examined_leaves_nothing_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that refuses many files must not run out of descriptors."""
    (tmp_path / "file").write_bytes(b"x")
    before = len(os.listdir("/proc/self/fd"))

    def broken(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "pread", broken)
    with pytest.raises(Refused):
        open_content(str(tmp_path / "file"))
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_chain_of_links_without_end_is_no_path(tmp_path: Path) -> None:
    """Python gives up on it in a way of its own."""
    (tmp_path / "l0").touch()
    for number in range(1500):
        (tmp_path / f"l{number + 1}").symlink_to(f"l{number}")
    with pytest.raises(Refused) as caught:
        resolve("l1500", None, str(tmp_path))
    assert caught.value.code == "invalid_path"


def test_a_slash_at_the_end_means_a_directory(tmp_path: Path) -> None:
    """A file must not be written under a name that can only be a directory's."""
    (tmp_path / "file").touch()
    assert resolve("./", None, str(tmp_path)) == str(tmp_path)
    for path in ("file/", "new/"):
        with pytest.raises(Refused) as caught:
            resolve(path, None, str(tmp_path))
        assert caught.value.code == "invalid_path"
