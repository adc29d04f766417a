"""Writing a file whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox_tools_server.errors import Refused
from sandbox_tools_server.files import StagedFile, open_content, read_window, staging
from sandbox_tools_server.wire import FileWritten

MIB = 1024 * 1024
NOBODY = 65534


def write(file: Path, content: bytes, expected: str | None = None) -> FileWritten:
    with StagedFile(str(file)) as staged:
        staged.write(content)
        return staged.commit(expected_version=expected)


def refusal(file: Path, content: bytes, expected: str | None = None) -> Refused:
    with pytest.raises(Refused) as caught:
        write(file, content, expected)
    return caught.value


def version(file: Path) -> str:
    with open_content(str(file)) as content:
        return content.version


def names(folder: Path) -> set[str]:
    return set(os.listdir(folder))


def set_attribute(path: Path, name: str, value: bytes) -> None:
    try:
        os.setxattr(path, name, value)
    except OSError as error:
        pytest.skip(f"no {name} on this file system: {error}")


@pytest.fixture
def shared_dir() -> Iterator[Path]:
    """A directory that another user may enter, which those of pytest are not."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        yield Path(folder)


@contextmanager
def without_privileges() -> Generator[None]:
    """Be an ordinary user, to whom modes mean something."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.fixture(params=["anonymous", "hidden", "linkless"])
def any_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Systems differ: with files that have no name, without them, and without hard links too."""
    if request.param != "anonymous":
        monkeypatch.delattr(os, "O_TMPFILE")
    if request.param == "linkless":
        monkeypatch.setattr(os, "link", failing(errno.EPERM))


def failing(code: int) -> object:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.usefixtures("any_system")
def test_a_new_file_is_written_with_its_parents(tmp_path: Path) -> None:
    """The answer says what was written, and nothing else is left behind."""
    file = tmp_path / "a" / "b" / "c.txt"
    written = write(file, b"one\ntwo")
    assert file.read_bytes() == b"one\ntwo"
    assert (written.path, written.created, written.size, written.lines) == (str(file), True, 7, 2)
    assert written.version == version(file)
    assert (names(tmp_path), names(file.parent)) == ({"a"}, {"c.txt"})


@pytest.mark.usefixtures("any_system")
def test_a_new_file_has_the_mode_that_the_umask_leaves(tmp_path: Path) -> None:
    """Whatever runs as another user must be able to read it as if a shell had made it."""
    umask = os.umask(0o027)
    try:
        write(tmp_path / "d" / "file", b"x")
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "d" / "file").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o750


@pytest.mark.usefixtures("any_system")
def test_an_overwritten_file_keeps_its_mode(tmp_path: Path) -> None:
    """A script stays executable, a secret stays secret."""
    for mode in (0o755, 0o600):
        file = tmp_path / f"{mode}"
        file.write_bytes(b"old content")
        file.chmod(mode)
        written = write(file, b"new", version(file))
        assert (written.created, written.version) == (False, version(file))
        assert file.read_bytes() == b"new"
        assert stat.S_IMODE(file.stat().st_mode) == mode
    assert names(tmp_path) == {f"{0o755}", f"{0o600}"}


def test_content_comes_in_pieces_and_is_seen_whole(tmp_path: Path) -> None:
    """Nobody sees half a file, however long an upload takes."""
    file = tmp_path / "new" / "file"
    with StagedFile(str(file)) as staged:
        for _ in range(3):
            staged.write(b"ab\n")
            assert names(tmp_path) == set()
        assert staged.commit(expected_version=None).lines == 3
    assert file.read_bytes() == b"ab\n" * 3


@pytest.mark.usefixtures("any_system")
def test_what_is_not_committed_leaves_nothing(tmp_path: Path) -> None:
    """No file, no directory and no descriptor, and discarding twice does no harm."""
    before = names(Path("/proc/self/fd"))
    staged = StagedFile(str(tmp_path / "new" / "file"))
    staged.write(b"x")
    staged.discard()
    staged.discard()
    assert names(tmp_path) == set()
    assert names(Path("/proc/self/fd")) == before


def test_an_existing_file_is_not_overwritten_unseen(tmp_path: Path) -> None:
    """The refusal carries the version, so that the ledger can be asked whether it was seen."""
    file = tmp_path / "file"
    file.write_bytes(b"old")
    refused = refusal(file, b"new")
    assert refused.code == "precondition_required"
    assert refused.data == {"path": str(file), "version": version(file)}
    assert file.read_bytes() == b"old"


def test_a_file_that_should_be_absent_and_is_not_is_stale(tmp_path: Path) -> None:
    """Someone else made it since."""
    file = tmp_path / "file"
    file.write_bytes(b"old")
    refused = refusal(file, b"new", "absent")
    assert (refused.code, refused.data["version"]) == ("stale", version(file))
    assert write(tmp_path / "other", b"new", "absent").created


def test_a_file_that_changed_is_stale(tmp_path: Path) -> None:
    """Another's change is never overwritten; the file is not even touched."""
    file = tmp_path / "file"
    file.write_bytes(b"old")
    seen = version(file)
    file.write_bytes(b"other")
    before = file.stat()
    refused = refusal(file, b"new", seen)
    assert refused.code == "stale"
    assert refused.data == {"path": str(file), "version": version(file)}
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_refused_commit_may_be_tried_with_another_version(tmp_path: Path) -> None:
    """A large upload is not lost for that."""
    file = tmp_path / "file"
    file.write_bytes(b"old")
    with StagedFile(str(file)) as staged:
        staged.write(b"new")
        with pytest.raises(Refused) as caught:
            staged.commit(expected_version=None)
        staged.commit(expected_version=caught.value.data["version"])
    assert file.read_bytes() == b"new"


def test_a_file_that_is_gone_is_stale(tmp_path: Path) -> None:
    """Whoever deleted it had a reason; the hint says how to create it anew."""
    refused = refusal(tmp_path / "file", b"new", "b:00")
    assert (refused.code, refused.data["version"]) == ("stale", None)
    assert "gone" in refused.hint
    assert names(tmp_path) == set()


def test_any_version_overwrites_or_creates(tmp_path: Path) -> None:
    """The façade for old clients writes unguarded."""
    assert write(tmp_path / "file", b"one", "any").created
    assert not write(tmp_path / "file", b"two", "any").created
    assert (tmp_path / "file").read_bytes() == b"two"


def test_only_regular_files_are_overwritten(tmp_path: Path) -> None:
    """A write into a FIFO or a device is a job for a command."""
    (tmp_path / "dir").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("nowhere")  # made since the path was resolved
    codes = [refusal(tmp_path / name, b"x", "any").code for name in ("dir", "fifo", "link")]
    assert codes == ["is_a_directory", "not_a_regular_file", "not_a_regular_file"]
    assert names(tmp_path) == {"dir", "fifo", "link"}


def test_a_file_is_no_directory_to_write_in(tmp_path: Path) -> None:
    """The path is wrong, and the file that stands in the way is left alone."""
    (tmp_path / "file").write_bytes(b"x")
    assert refusal(tmp_path / "file" / "new", b"x").code == "not_a_directory"


def test_a_link_in_the_way_of_a_new_directory_is_no_endless_loop(tmp_path: Path) -> None:
    """It was made since the path was resolved."""
    staged = StagedFile(str(tmp_path / "dir" / "new"))
    (tmp_path / "dir").symlink_to("nowhere")
    with staged, pytest.raises(Refused) as caught:
        staged.commit(expected_version=None)
    assert caught.value.code == "file_error"


def test_hard_links_stay_links(tmp_path: Path) -> None:
    """All names of a file show the new content, be it shorter or longer."""
    file, other = tmp_path / "file", tmp_path / "other"
    file.write_bytes(b"old content")
    os.link(file, other)
    for content in (b"new", b"new and longer" * MIB, b""):
        assert write(file, content, version(other)).version == version(other)
        assert other.read_bytes() == content
    assert file.samefile(other)
    assert names(tmp_path) == {"file", "other"}


def test_a_mount_point_is_written_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is mounted into a container cannot be replaced by another."""
    file = tmp_path / "file"
    file.write_bytes(b"old")
    inode = file.stat().st_ino
    monkeypatch.setattr(os, "rename", failing(errno.EBUSY))
    write(file, b"new", version(file))
    assert (file.read_bytes(), file.stat().st_ino) == (b"new", inode)
    assert names(tmp_path) == {"file"}


@pytest.mark.parametrize("operation", ["chmod", "link", "rename"])
@pytest.mark.parametrize("reason", sorted(staging.IRREPLACEABLE))
def test_a_file_that_cannot_be_replaced_is_written_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str, reason: int
) -> None:
    """Names, owners and what a file system can do are no reason not to write."""
    file = tmp_path / "file"
    file.write_bytes(b"old")
    inode = file.stat().st_ino
    monkeypatch.setattr(os, operation, failing(reason))
    write(file, b"new", version(file))
    assert (file.read_bytes(), file.stat().st_ino) == (b"new", inode)
    assert names(tmp_path) == {"file"}


@pytest.mark.parametrize("operation", ["chmod", "link", "rename"])
@pytest.mark.parametrize(
    ("reason", "code"), [(errno.ENOSPC, "no_space"), (errno.EDQUOT, "no_space"), (errno.EIO, "file_error")]
)
def test_a_full_or_broken_disk_is_no_reason_to_write_over_the_old_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str, reason: int, code: str
) -> None:
    """They are all that is left then; not one of them is touched."""
    file = tmp_path / "file"
    file.write_bytes(b"old")
    before = file.stat()
    monkeypatch.setattr(os, operation, failing(reason))
    assert refusal(file, b"new", version(file)).code == code
    assert (file.read_bytes(), file.stat().st_mtime_ns) == (b"old", before.st_mtime_ns)
    assert names(tmp_path) == {"file"}


@pytest.mark.parametrize("when", [1, 2])
@pytest.mark.parametrize(("reason", "code"), [(errno.ENOSPC, "no_space"), (errno.EIO, "file_error")])
def test_new_content_that_does_not_reach_the_disk_leaves_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: int, reason: int, code: str
) -> None:
    """Whether it is the bytes or the attributes that the disk does not take."""
    file, fsync, waits = tmp_path / "file", os.fsync, list[int]()
    file.write_bytes(b"old")
    before = file.stat()

    def fail(descriptor: int) -> None:
        waits.append(descriptor)
        if len(waits) == when:
            raise OSError(reason, os.strerror(reason))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    assert refusal(file, b"new", version(file)).code == code
    assert (file.read_bytes(), file.stat().st_mtime_ns, len(waits)) == (b"old", before.st_mtime_ns, when)
    assert names(tmp_path) == {"file"}


def test_a_disk_without_room_for_a_new_file_is_said_to_be_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new content is not made elsewhere, to be written over the old."""
    file, system_open = tmp_path / "file", os.open
    file.write_bytes(b"old")

    def full(path: str, flags: int, mode: int = 0o777, **options: int) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return system_open(path, flags, mode, **options)

    monkeypatch.delattr(os, "O_TMPFILE")
    monkeypatch.setattr(os, "open", full)
    assert refusal(file, b"new", "any").code == "no_space"
    assert file.read_bytes() == b"old"


def test_extended_attributes_are_kept(tmp_path: Path) -> None:
    """Access lists are among them."""
    file = tmp_path / "file"
    file.write_bytes(b"old")
    set_attribute(file, "user.note", b"keep")
    write(file, b"new", version(file))
    assert os.getxattr(file, "user.note") == b"keep"


def test_a_file_of_another_owner_stays_theirs(shared_dir: Path) -> None:
    """Root gives the new file away; anyone else writes into the old one."""
    file = shared_dir / "file"
    file.write_bytes(b"old")
    file.chmod(0o666)
    owner = NOBODY if os.geteuid() == 0 else os.geteuid()
    os.chown(file, owner, -1)
    write(file, b"new", version(file))
    assert (file.stat().st_uid, file.read_bytes()) == (owner, b"new")
    os.chown(file, os.geteuid(), -1)
    with without_privileges():
        write(file, b"newer", version(file))
    assert (file.stat().st_uid, file.read_bytes()) == (os.geteuid(), b"newer")


def test_attributes_that_only_the_new_file_has_are_taken_away(tmp_path: Path) -> None:
    """A directory may give every new file an access list, which the old file did not have."""
    file = tmp_path / "file"
    file.write_bytes(b"old")
    entries = [(0x01, 7, -1), (0x02, 7, 1), (0x04, 5, -1), (0x10, 7, -1), (0x20, 5, -1)]  # lets user 1 do anything
    access = b"\2\0\0\0" + b"".join(
        tag.to_bytes(2, "little") + bits.to_bytes(2, "little") + (user % 2**32).to_bytes(4, "little")
        for tag, bits, user in entries
    )
    set_attribute(tmp_path, "system.posix_acl_default", access)
    write(file, b"new", version(file))
    assert os.listxattr(file) == []


def test_a_file_in_a_read_only_directory_is_written_in_place(shared_dir: Path) -> None:
    """The directory's mode says that no file may come or go, not that none may change."""
    file = shared_dir / "file"
    file.write_bytes(b"old")
    file.chmod(0o666)
    shared_dir.chmod(0o555)
    with without_privileges():
        write(file, b"new content", version(file))
        assert file.read_bytes() == b"new content"
        assert refusal(shared_dir / "other", b"x").code == "permission_denied"
    assert names(shared_dir) == {"file"}
    shared_dir.chmod(0o777)


def test_a_read_only_file_is_not_replaced(shared_dir: Path) -> None:
    """Its mode is someone's wish, although the directory would let it be replaced."""
    file = shared_dir / "file"
    file.write_bytes(b"old")
    file.chmod(0o444)
    with without_privileges():
        refused = refusal(file, b"new", "any")
    assert (refused.code, file.read_bytes()) == ("permission_denied", b"old")
    assert "chmod" in refused.hint


def test_a_file_on_a_read_only_file_system_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No chmod would help there; the system's answers stand for such a mount."""
    file = tmp_path / "file"
    file.write_bytes(b"old")
    status = list(os.statvfs(file))
    status[8] |= os.ST_RDONLY

    def refuse(*_: object, **__: object) -> bool:
        return False

    def read_only(_: object) -> os.statvfs_result:
        return os.statvfs_result(status)

    monkeypatch.setattr(os, "access", refuse)
    monkeypatch.setattr(os, "statvfs", read_only)
    assert refusal(file, b"new", "any").code == "read_only"


def test_the_version_is_checked_again_before_the_file_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program may write while the disk is waited for."""
    file = tmp_path / "file"
    file.write_bytes(b"old")
    seen, fsync = version(file), os.fsync

    def slow(descriptor: int) -> None:
        fsync(descriptor)
        waits.append(descriptor)
        if len(waits) == 2:
            file.write_bytes(b"theirs")

    waits: list[int] = []
    monkeypatch.setattr(os, "fsync", slow)
    assert refusal(file, b"new", seen).code == "stale"
    assert file.read_bytes() == b"theirs"
    assert names(tmp_path) == {"file"}


def test_the_version_is_checked_again_before_a_byte_changes_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program may write while the old bytes are put aside."""
    file = tmp_path / "file"
    file.write_bytes(b"old")
    os.link(file, tmp_path / "link")
    seen, system_open = version(file), os.open

    def slow(path: str, flags: int, mode: int = 0o777) -> int:
        if path == str(file) and flags & os.O_RDWR:
            file.write_bytes(b"theirs")
        return system_open(path, flags, mode)

    monkeypatch.setattr(os, "open", slow)
    assert refusal(file, b"new", seen).code == "stale"
    assert file.read_bytes() == b"theirs"


def test_a_file_that_another_process_makes_meanwhile_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is taken exclusively, so there is no moment between looking and making."""
    file, link = tmp_path / "file", os.link

    def late(source: str, target: str, **options: object) -> None:
        file.write_bytes(b"theirs")
        link(source, target, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "link", late)
    assert refusal(file, b"mine").code == "precondition_required"
    assert file.read_bytes() == b"theirs"
    assert names(tmp_path) == {"file"}


def test_of_two_threads_that_create_a_file_one_wins(tmp_path: Path) -> None:
    """The other is told that there is a file now."""
    file, barrier, outcomes = tmp_path / "d" / "file", threading.Barrier(8), list[str]()

    def create(number: int) -> None:
        barrier.wait()
        try:
            write(file, b"%d" % number)
        except Refused as refused:
            outcomes.append(refused.code)
        else:
            outcomes.append(f"{number}")

    threads = [threading.Thread(target=create, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("precondition_required") == 7
    assert file.read_text(encoding="utf-8") in outcomes
    assert names(file.parent) == {"file"}


FULL_DISK = """
import os, resource, sys
from sandbox_tools_server.errors import Refused
from sandbox_tools_server.files import StagedFile
if sys.argv[2] == "hidden":
    del os.O_TMPFILE
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
staged = StagedFile(sys.argv[1])
try:
    if sys.argv[2] != "in place":
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    staged.write(b"x" * 150_000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    staged.commit(expected_version="any")
except Refused as refused:
    print(refused.code)
finally:
    staged.discard()
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
"""


@pytest.mark.parametrize("when", ["anonymous", "hidden", "in place"])
def test_a_full_disk_leaves_the_old_content(tmp_path: Path, when: str) -> None:
    """Half a file is worse than none; a limit on file sizes stands for the disk."""
    file = tmp_path / "file"
    file.write_bytes(b"old")
    if when == "in place":
        os.link(file, tmp_path / "link")
    command = [sys.executable, "-c", FULL_DISK, str(file), when]
    assert subprocess.run(command, capture_output=True, check=True, text=True, encoding="utf-8").stdout == "no_space\n"
    assert file.read_bytes() == b"old"
    assert names(tmp_path) <= {"file", "link"}


def test_a_full_disk_leaves_no_part_of_a_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where files must be copied into their place."""
    monkeypatch.setattr(os, "link", failing(errno.EPERM))
    monkeypatch.setattr(os, "pwrite", failing(errno.ENOSPC))
    refused = refusal(tmp_path / "file", b"new")
    assert (refused.code, bool(refused.hint)) == ("no_space", True)
    assert names(tmp_path) == set()


def test_old_bytes_are_put_back_when_a_write_in_place_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that copies on write can be full for bytes that were there already."""
    file = tmp_path / "file"
    file.write_bytes(b"old content")
    os.link(file, tmp_path / "link")
    pwrite, written = os.pwrite, list[int]()

    def short(descriptor: int, content: bytes, position: int) -> int:
        if os.fstat(descriptor).st_nlink == 2:
            written.append(position)
            if len(written) == 2:
                raise OSError(errno.ENOSPC, "No space left on device")
        return pwrite(descriptor, content[:2], position)

    monkeypatch.setattr(os, "pwrite", short)
    assert refusal(file, b"newer", "any").code == "no_space"
    assert file.read_bytes() == b"old content"


def test_every_byte_is_written_however_few_the_system_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short write is no error, and no reason to lose the rest."""
    write_some = os.write

    def short(descriptor: int, content: memoryview) -> int:
        return write_some(descriptor, content[:3])

    monkeypatch.setattr(os, "write", short)
    write(tmp_path / "file", b"0123456789")
    monkeypatch.undo()
    assert (tmp_path / "file").read_bytes() == b"0123456789"


def test_a_directory_that_cannot_be_synced_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is in its place by then."""
    fsync = os.fsync

    def files_only(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", files_only)
    assert write(tmp_path / "file", b"x").created


def test_a_large_file_is_versioned_by_its_status(tmp_path: Path) -> None:
    """A write and a read of it agree all the same."""
    file = tmp_path / "file"
    with StagedFile(str(file)) as staged:
        for _ in range(65):
            staged.write(b"x" * (MIB - 1) + b"\n")
        written = staged.commit(expected_version=None)
    assert written.version.startswith("s:")
    assert read_window(str(file), None, 1).version == written.version
    assert not write(file, b"small", written.version).created
