"""The four tools on a real sandbox: what they answer, and what they refuse."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sandbox_tools import AsyncSandbox, Refused, Sandbox, Session, ToolResult
from sandbox_tools.tools import CommandData, EditData, ReadData, WriteData
from tests.conftest import RunningServer


def work(sandbox: Sandbox) -> Path:
    assert sandbox.work_dir is not None
    return Path(sandbox.work_dir)


# bash


def test_bash_answers_the_output_and_how_it_ended(sandbox: Sandbox) -> None:
    """A model that sees no exit code believes that all went well."""
    result = sandbox.bash("echo out; echo err >&2")
    assert result.success
    assert result.output.startswith("out\nerr\n[exit code 0 after ")
    assert str(result) == result.output
    assert isinstance(result.data, CommandData)
    assert (result.data.exit_code, result.data.still_running) == (0, False)


def test_a_command_that_fails_shows_all_that_it_printed(sandbox: Sandbox) -> None:
    """The reason is in the output; an error line alone helps nobody."""
    result = sandbox.bash("echo reason; exit 3")
    assert (result.success, result.output, result.code) == (False, "reason\n", None)
    assert str(result).startswith("reason\nERROR: Exit code 3 after ")
    assert str(sandbox.bash("printf reason; exit 3")).startswith("reason\nERROR: Exit code 3 after ")


def test_a_silent_command_still_says_how_it_ended(sandbox: Sandbox) -> None:
    """An empty answer looks like a broken tool."""
    assert sandbox.bash("true").output.startswith("[exit code 0 after ")
    assert sandbox.bash("printf x").output.startswith("x\n[exit code 0 after ")


def test_a_timeout_keeps_the_output_and_says_what_to_do(sandbox: Sandbox) -> None:
    """A model that only learns 'timeout' runs the same again."""
    result = sandbox.bash("echo so far; sleep 60", timeout=1)
    assert (result.success, result.output) == (False, "so far\n")
    assert result.error.startswith("Timed out after 1")
    assert "`timeout`" in result.error


@pytest.mark.parametrize("timeout", [None, 0])
def test_no_timeout_and_zero_mean_the_default(sandbox: Sandbox, timeout: int | None) -> None:
    """As it was in the client that this one replaces."""
    assert sandbox.bash("true", timeout=timeout).success


def test_a_timeout_over_the_limit_is_cut_and_said(sandbox: Sandbox) -> None:
    """A model that asks for an hour must learn that it has twenty minutes."""
    assert "`timeout` was cut to 1200 seconds" in sandbox.bash("true", timeout=9999).output


def test_what_is_left_running_is_said(sandbox: Sandbox) -> None:
    """A model that forgot its server starts a second one."""
    result = sandbox.bash("sleep 60 & echo hi")
    assert result.output.startswith("hi\n[exit code 0 after ")
    assert "still running" in result.output
    assert sandbox.kill_all().output == "Ended 1 command."


@pytest.mark.parametrize(
    "command", ["sleep 60 > log 2>&1 &", "setsid sleep 60 > log 2>&1 &", "(sleep 60 &) > log 2>&1"]
)
def test_what_is_left_running_is_said_though_its_output_goes_elsewhere(sandbox: Sandbox, command: str) -> None:
    """It is how servers are started; the pipe says nothing of them."""
    assert "still running" in sandbox.bash(command).output
    assert "still running" not in sandbox.bash("true").output


def test_a_daemon_in_hiding_is_said(sandbox: Sandbox) -> None:
    """What cannot be verified must not be claimed."""
    result = sandbox.bash("env -i setsid bash -c 'env -i setsid sleep 60 &' ; sleep 60", timeout=1)
    assert "may still be running" in result.error
    sandbox.kill_all()


def test_long_output_is_cut_in_the_middle_and_is_whole_in_a_file(sandbox: Sandbox) -> None:
    """The end of a log matters most, the model's window is finite, and what it needs may be in between."""
    result = sandbox.bash("seq 1 100000")
    assert 24_000 < len(str(result)) <= 25_000
    assert result.output.startswith("1\n2\n")
    assert "\n100000\n[exit code 0" in result.output
    notice = re.search(r"\n\[… [\d,]+ lines \([\d,]+ bytes\) omitted\. The full output is in (\S+): ", result.output)
    assert notice
    assert isinstance(result.data, CommandData)
    assert result.data.log == notice[1]
    assert sandbox.read(notice[1], offset=50_000, limit=1).output.startswith(" 50000\t50000\n")
    assert sandbox.bash(f"grep -c 7 {notice[1]}").output.startswith("40951\n")


@pytest.mark.parametrize("ending", ["", "; exit 3"])
def test_the_limit_holds_for_all_that_a_model_reads(ending: str, sandbox: Sandbox) -> None:
    """A framework with a limit of its own would cut off the last line, which says how it ended."""
    assert len(str(sandbox.bash(f"sleep 60 & seq 1 100000{ending}"))) <= 25_000


def test_only_the_ends_of_very_long_output_are_fetched(sandbox: Sandbox) -> None:
    """A model sees 25,000 characters of it; to carry a gigabyte over the line for that would take minutes."""
    result = sandbox.bash("yes | head -c 60000000; echo; echo end")
    assert result.output.startswith("y\ny\n")
    assert "\ny\n\nend\n[exit code 0" in result.output
    assert re.search(r"… more than [\d,]+ lines \(59,97\d,\d{3} bytes\) omitted\. The full output is in", result.output)


def test_a_line_that_is_cut_can_be_found_in_the_file(sandbox: Sandbox) -> None:
    """It has no end that a search in a terminal could find."""
    result = sandbox.bash("head -c 9000 /dev/zero | tr '\\0' x; echo")
    assert "… [line of 9,000 characters, cut]\n[The full output is in /" in result.output


def test_work_dir_and_description_are_taken(sandbox: Sandbox) -> None:
    """They are in the schema, so they must do something or at least no harm."""
    assert sandbox.bash("pwd", work_dir="/", description="where am I").output.startswith("/\n")
    missing = sandbox.bash("pwd", work_dir="nowhere")
    assert (missing.success, missing.code) == (False, "working_directory_missing")


# Live output

WAITING = "printf '\\033[1mone'; until [ -e go ]; do sleep 0.05; done; echo two"
"""A command that ends only if what it prints first arrives before its end."""


def test_output_comes_while_the_command_runs(sandbox: Sandbox) -> None:
    """Who watches an agent wants to see what it does, and no terminal of theirs may obey what it prints."""
    pieces: list[str] = []

    def take(text: str) -> None:
        pieces.append(text)
        (work(sandbox) / "go").touch()

    result = sandbox.call_tool("bash", {"command": WAITING}, take)
    assert result.output.startswith("onetwo\n[exit code 0")
    assert "".join(pieces) == "onetwo\n"
    assert len(pieces) > 1


async def test_output_comes_while_the_command_runs_in_a_task() -> None:
    """One implementation, two faces."""
    async with await AsyncSandbox.local() as sandbox:
        pieces: list[str] = []

        def take(text: str) -> None:
            pieces.append(text)
            (Path(sandbox.work_dir or "") / "go").touch()

        result = await sandbox.call_tool("bash", {"command": WAITING}, take)
        assert result.output.startswith("onetwo\n[exit code 0")
        assert "".join(pieces) == "onetwo\n"
        assert (await sandbox.session.call_tool("bash", {"command": "echo three"}, take)).success
        assert "".join(pieces) == "onetwo\nthree\n"


def test_live_output_has_all_of_it(sandbox: Sandbox) -> None:
    """However much there is: only the answer for the model is cut."""
    pieces: list[str] = []
    result = sandbox.call_tool("bash", {"command": "seq 1 300000; printf '\\342\\202'"}, pieces.append)
    assert "".join(pieces) == "".join(f"{number}\n" for number in range(1, 300_001)) + "\ufffd"
    assert len(str(result)) <= 25_000


def test_an_error_of_who_watches_ends_the_command(sandbox: Sandbox) -> None:
    """And comes through: it is the program's own."""

    def take(text: str) -> None:
        raise LookupError(text)

    with pytest.raises(LookupError, match="one"):
        sandbox.call_tool("bash", {"command": "echo one; exec sleep 300"}, take)
    (command,) = sandbox.commands()
    assert command.exit
    assert command.exit.killed


# read


def test_read_numbers_lines_and_says_how_to_go_on(sandbox: Sandbox) -> None:
    """As `cat -n` does; the model names lines by these numbers."""
    (work(sandbox) / "a.txt").write_text("one\ntwo\nthree\n")
    assert sandbox.read("a.txt").output == "     1\tone\n     2\ttwo\n     3\tthree"
    part = sandbox.read("a.txt", offset=2, limit=1)
    assert part.output == "     2\ttwo\n[lines 2 to 2 of 3; go on with offset=3]"
    assert part.data == ReadData(f"{work(sandbox)}/a.txt", part.data.version, 2, 2, 3)  # type: ignore[union-attr]
    assert sandbox.read("a.txt", offset=0).output == sandbox.read("a.txt").output


def test_read_of_nothing_says_what_is_near(sandbox: Sandbox) -> None:
    """Most missing files are misspelt."""
    (work(sandbox) / "settings.py").touch()
    result = sandbox.read("setings.py")
    assert (result.success, result.code) == (False, "file_not_found")
    assert "settings.py" in result.error
    past = sandbox.read("settings.py", offset=5)
    assert past.code == "offset_past_end"


# write and edit: the guard


def test_a_new_file_is_created_with_its_directories(sandbox: Sandbox) -> None:
    """And is known from then on."""
    result = sandbox.write("new/dir/a.txt", "one\ntwo\n")
    assert result.output == f"Created {work(sandbox)}/new/dir/a.txt (2 lines, 8 bytes)."
    assert isinstance(result.data, WriteData)
    assert sandbox.edit("new/dir/a.txt", "two", "2").success
    assert sandbox.write("new/dir/a.txt", "x").output.startswith("Overwrote ")


def test_an_unread_file_is_neither_overwritten_nor_edited(sandbox: Sandbox) -> None:
    """The model would replace what it has never seen."""
    file = work(sandbox) / "a.txt"
    file.write_text("one\n")
    for result in (sandbox.write("a.txt", "x"), sandbox.edit("a.txt", "one", "two")):
        assert (result.success, result.code) == (False, "not_read")
        assert "Read it first" in result.error
    assert file.read_text() == "one\n"


def test_a_failed_read_unlocks_nothing(sandbox: Sandbox) -> None:
    """In the client that this one replaces it did."""
    file = work(sandbox) / "a.txt"
    assert not sandbox.read("a.txt").success
    file.write_text("one\n")
    assert sandbox.write("a.txt", "x").code == "not_read"
    assert not sandbox.read("a.txt", offset=99).success
    assert sandbox.edit("a.txt", "one", "x").code == "not_read"


def test_all_names_of_a_file_are_one_file(sandbox: Sandbox) -> None:
    """A model reads `x.py`, edits `./x.py` and writes the absolute path."""
    folder = work(sandbox)
    (folder / "sub").mkdir()
    (folder / "x.py").write_text("a = 1\n")
    (folder / "link.py").symlink_to("x.py")
    sandbox.read("x.py")
    for number, name in enumerate(("./x.py", "sub/../x.py", str(folder / "x.py"), "link.py", "x.py"), 1):
        assert sandbox.edit(name, f"a = {number}\n", f"a = {number + 1}\n").success, name
    assert sandbox.write("link.py", "b = 1\n").success
    assert (folder / "link.py").is_symlink()
    assert (folder / "x.py").read_text() == "b = 1\n"


def test_a_part_that_was_read_does_not_unlock_the_whole(sandbox: Sandbox) -> None:
    """Overwriting would drop lines that nobody saw; an edit carries its own evidence."""
    file = work(sandbox) / "a.txt"
    file.write_text("one\ntwo\nthree\n")
    sandbox.read("a.txt", limit=1)
    refused = sandbox.write("a.txt", "x")
    assert refused.code == "not_read"
    assert "only 1-1 of 3" in refused.error
    assert sandbox.edit("a.txt", "three", "3").success
    sandbox.read("a.txt", offset=1, limit=1)
    sandbox.read("a.txt", offset=2)
    assert sandbox.write("a.txt", "x").success


def test_a_line_that_was_cut_was_not_seen_whole(sandbox: Sandbox) -> None:
    """What stands behind the cut would be lost."""
    (work(sandbox) / "a.txt").write_text("short\n" + "x" * 5000 + "\nshort\n")
    sandbox.read("a.txt")
    assert sandbox.write("a.txt", "x").code == "not_read"


def test_a_file_that_someone_else_changed_is_not_overwritten(sandbox: Sandbox) -> None:
    """A formatter, a command, another agent: their work would be gone."""
    file = work(sandbox) / "a.txt"
    sandbox.write("a.txt", "one\n")
    sandbox.bash("echo two >> a.txt")
    refused = sandbox.write("a.txt", "mine\n")
    assert (refused.success, refused.code) == (False, "stale")
    assert "Read it again" in refused.error
    assert file.read_text() == "one\ntwo\n"
    assert sandbox.write("a.txt", "mine\n").code == "stale"
    sandbox.read("a.txt")
    assert sandbox.write("a.txt", "mine\n").success


def test_a_change_that_keeps_size_and_time_is_noticed_too(sandbox: Sandbox) -> None:
    """A version is the content, not the clock."""
    file = work(sandbox) / "a.txt"
    sandbox.write("a.txt", "one\n")
    times = file.stat()
    file.write_text("two\n")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert sandbox.write("a.txt", "mine\n").code == "stale"


def test_an_exact_edit_of_a_changed_file_applies_and_says_so(sandbox: Sandbox) -> None:
    """It fits in one place only, so it cannot go wrong; refusing would cost a turn for nothing."""
    file = work(sandbox) / "a.txt"
    sandbox.write("a.txt", "one\ntwo\n")
    sandbox.bash("sed -i 1i\\zero a.txt")
    result = sandbox.edit("a.txt", "two", "2")
    assert result.success
    assert "had changed since you read it" in result.output
    assert file.read_text() == "zero\none\n2\n"
    assert sandbox.write("a.txt", "x").code == "not_read"
    sandbox.bash("echo one >> a.txt")
    assert sandbox.edit("a.txt", "one", "1", replace_all=True).code == "stale"


def test_a_path_that_means_another_file_by_now_was_not_read(sandbox: Sandbox) -> None:
    """However it came to: a link in its place, a link on the way, a folder named like the home directory."""
    folder = work(sandbox)
    for name in ("a", "d1", "d2", "deep/er", "~"):
        (folder / name).mkdir(parents=True)
    sandbox.write("a.txt", "secret = 1\n")
    sandbox.write("d1/f", "secret = 1\n")
    for secret in ("secret.txt", "d2/f", "deep/a.txt"):
        (folder / secret).write_text("secret = 1\n")
    (folder / "a.txt").unlink()
    (folder / "a.txt").symlink_to("secret.txt")
    (folder / "d1" / "f").unlink()
    (folder / "d1").rmdir()
    (folder / "d1").symlink_to("d2")
    (folder / "link").symlink_to("deep/er")
    for path in ("a.txt", "d1/f", "link/../a.txt"):
        assert sandbox.edit(path, "1", "2").code == "not_read", path
        assert sandbox.write(path, "x").code == "not_read", path
    for secret in ("secret.txt", "d2/f", "deep/a.txt"):
        assert (folder / secret).read_text() == "secret = 1\n"


def test_a_deleted_file_can_be_written_anew(sandbox: Sandbox) -> None:
    """The refusal must not repeat itself for ever."""
    sandbox.write("a.txt", "one\n")
    sandbox.bash("rm a.txt")
    refused = sandbox.write("a.txt", "two\n")
    assert (refused.code, "deleted" in refused.error) == ("stale", True)
    assert sandbox.write("a.txt", "two\n").output.startswith("Created ")


def test_a_file_that_was_read_in_part_and_deleted_can_be_written_anew(sandbox: Sandbox) -> None:
    """The guard asks what is there now, not what was there when it was read."""
    for again in (lambda: None, lambda: sandbox.read("a.txt")):
        (work(sandbox) / "a.txt").write_text("one\ntwo\n")
        sandbox.read("a.txt", limit=1)
        sandbox.run("rm a.txt")
        again()
        assert sandbox.write("a.txt", "new\n").output.startswith("Created ")


def test_a_new_file_by_a_path_through_a_link_is_created(sandbox: Sandbox) -> None:
    """`link/../new` is beside the link's target, where nothing was read."""
    folder = work(sandbox)
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "link").symlink_to("deep/er")
    sandbox.write("new.txt", "here\n")
    assert sandbox.write("link/../new.txt", "there\n").output.startswith("Created ")
    assert (folder / "deep" / "new.txt").read_text() == "there\n"


def test_a_link_that_points_elsewhere_by_now_is_another_file(sandbox: Sandbox) -> None:
    """The guard goes by the file, not by its name."""
    folder = work(sandbox)
    sandbox.write("a.txt", "a\n")
    (folder / "b.txt").write_text("b\n")
    (folder / "link").symlink_to("a.txt")
    assert sandbox.edit("link", "a", "A").success
    (folder / "link").unlink()
    (folder / "link").symlink_to("b.txt")
    assert sandbox.write("link", "x").code == "not_read"
    (folder / "a.txt").unlink()
    (folder / "a.txt").symlink_to("b.txt")
    assert sandbox.write("a.txt", "x").code == "not_read"
    sandbox.read("b.txt")
    assert sandbox.write("a.txt", "x").success
    assert (folder / "b.txt").read_text() == "x"


def test_an_edit_shows_what_it_changed(sandbox: Sandbox) -> None:
    """It saves the model a reading."""
    sandbox.write("a.txt", "one\ntwo\nthree\n")
    result = sandbox.edit("a.txt", "two", "2")
    assert result.output.startswith(f"Edited {work(sandbox)}/a.txt (1 replacement).\n")
    assert "- two" in result.output
    assert "+ 2" in result.output
    assert result.data == EditData(f"{work(sandbox)}/a.txt", result.data.version, 1, 2, 2)  # type: ignore[union-attr]


def test_the_modes_of_edit(sandbox: Sandbox) -> None:
    """After and before whole lines, new lines are lines of their own."""
    sandbox.write("a.py", "import os\nx = 1\n")
    sandbox.edit("a.py", "import os", "import sys", mode="append_after")
    sandbox.edit("a.py", "x = 1", "y = 0", mode="prepend_before")
    sandbox.edit("a.py", "im", "IM", replace_all=True)
    assert (work(sandbox) / "a.py").read_text() == "IMport os\nIMport sys\ny = 0\nx = 1\n"


def test_an_edit_that_does_not_fit_changes_nothing(sandbox: Sandbox) -> None:
    """Twice there, not there, and the same again."""
    sandbox.write("a.txt", "one\none\n")
    before = (work(sandbox) / "a.txt").stat()
    codes = [sandbox.edit("a.txt", old, new).code for old, new in (("one", "1"), ("two", "2"), ("one", "one"))]
    assert codes == ["ambiguous_match", "no_match", "identical"]
    after = (work(sandbox) / "a.txt").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_parallel_calls_of_one_session_wait_for_one_another(sandbox: Sandbox) -> None:
    """Frameworks call tools from many threads; none of the edits may be lost or called stale."""
    sandbox.write("a.txt", "".join(f"line {n}.\n" for n in range(32)))
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(lambda n: sandbox.edit("a.txt", f"line {n}.", f"LINE {n}."), range(32)))
    assert {"had changed" in result.output for result in results} == {False}
    assert (work(sandbox) / "a.txt").read_text() == "".join(f"LINE {n}.\n" for n in range(32))


# Sessions

WRONG_TYPES = '{"work_dir": 5, "timeout": 1, "tools": [], "yield_after": null, "ledger": "{}", "jobs": "{}"}'


def test_two_sessions_know_nothing_of_each_other(sandbox: Sandbox) -> None:
    """What one agent has read the other has not."""
    sandbox.write("a.txt", "one\n")
    other = sandbox.new_session()
    assert other.call_tool("edit", {"path": "a.txt", "old_str": "one", "new_str": "two"}).code == "not_read"
    other.call_tool("read", {"path": "a.txt"})
    assert other.call_tool("write", {"path": "a.txt", "content": "two\n"}).success
    assert sandbox.write("a.txt", "three\n").code == "stale"


def test_a_session_goes_on_after_it_was_saved(sandbox: Sandbox) -> None:
    """An agent that is resumed in another process need not read everything again."""
    sandbox.write("a.txt", "one\n")
    resumed = sandbox.new_session(sandbox.session.to_json())
    assert resumed.call_tool("write", {"path": "a.txt", "content": "two\n"}).success
    assert sandbox.token not in sandbox.session.to_json()
    saved = json.loads(sandbox.session.to_json())
    old = {name: saved[name] for name in ("work_dir", "timeout", "ledger")}
    assert (
        sandbox.new_session(json.dumps(old)).call_tool("write", {"path": "a.txt", "content": "three\n"}).code == "stale"
    )
    wrong_ledger = WRONG_TYPES.replace("5", "null").replace('"{}"', '"3"', 1)
    for text in ("", "{}", "[]", wrong_ledger, WRONG_TYPES):
        with pytest.raises(ValueError, match="no saved session"):
            sandbox.new_session(text)


def test_an_unknown_tool_is_answered_with_those_there_are(sandbox: Sandbox) -> None:
    """Models call tools that another harness had."""
    result = sandbox.call_tool("grep", {"pattern": "x"})
    assert (result.success, result.code) == (False, "unknown_tool")
    assert "bash, read, write, edit" in result.error
    assert sandbox.call_tool("bash").code == "invalid_arguments"


def test_a_server_without_a_known_working_directory_guards_as_well(server: RunningServer) -> None:
    """The client cannot guess canonical paths there, and must ask."""
    (server.work_dir / "unknown.txt").write_text("one\n")
    with server.connect() as sandbox:
        assert sandbox.work_dir is None
        assert sandbox.edit("unknown.txt", "one", "two").code == "not_read"
        sandbox.read("./unknown.txt")
        assert sandbox.edit("unknown.txt", "one", "two").success
        assert sandbox.write("unknown.txt", "three\n").success
        sandbox.run("echo four >> unknown.txt")
        assert sandbox.write("unknown.txt", "x").code == "stale"


# The Python surface


def test_the_surface_of_the_client_that_this_one_replaces(sandbox: Sandbox) -> None:
    """A program that was written for it runs with its import changed."""
    assert (sandbox.space_id, sandbox.timeout, bool(sandbox.token)) == (None, 240, True)
    assert (
        [tool["name"] for tool in Sandbox.tool_definitions()]
        == list(Sandbox.TOOLS)
        == ["bash", "read", "write", "edit"]
    )
    assert Sandbox.TOOLS["bash"].keys() == {"description", "parameters"}
    result = sandbox.call_tool("bash", {"command": "echo hi"})
    assert result.to_dict().keys() == {"success", "output", "error"}
    assert str(ToolResult(success=True)) == "(no output)"
    assert str(ToolResult(success=False, error="no")) == "ERROR: no"
    assert sandbox.status == "RUNNING"
    assert sandbox.url.startswith("unix:/")
    assert repr(sandbox).startswith("<Sandbox local /")
    sandbox.delete()
    assert sandbox.status == "STOPPED"


def test_result_as_an_artifact_is_plain_json(sandbox: Sandbox) -> None:
    """Frameworks store it with their checkpoints."""
    artifact = sandbox.bash("exit 3").to_artifact()
    assert json.loads(json.dumps(artifact))["data"]["exit_code"] == 3


def test_files_as_bytes(sandbox: Sandbox) -> None:
    """For programs: nothing numbered, nothing clipped, nothing guarded unless a version is named."""
    written = sandbox.files.write("raw.bin", b"\xff\x00")
    content = sandbox.files.read("raw.bin")
    assert (content, content.version, content.path) == (b"\xff\x00", written.version, f"{work(sandbox)}/raw.bin")
    assert sandbox.files.exists("raw.bin")
    assert sandbox.files.look("nothing").exists is False
    assert [entry.name for entry in sandbox.files.list().entries] == ["raw.bin"]


def test_a_run_counts_what_was_dropped_and_checks_what_it_is_given(sandbox: Sandbox) -> None:
    """A program that parses output must know that some of it is missing."""
    result = sandbox.run("seq 1 1000000")
    assert result.dropped + len(result.output) == 6_888_896
    for wrong in (
        {"command": ""},
        {"command": "true", "env": {"A=B": ""}},
        {"command": "true", "id": "x"},
        {"command": "true", "cwd": "\ud800"},
    ):
        with pytest.raises(Refused) as caught:
            sandbox.run(**wrong)  # type: ignore[arg-type]
        assert caught.value.code == "invalid_request"


def test_a_path_that_fits_into_no_request_is_refused(sandbox: Sandbox) -> None:
    """With the library's own error."""
    for path in ("x" * 70_000, "\ud800"):
        with pytest.raises(Refused) as caught:
            sandbox.files.read(path)
        assert caught.value.code == "invalid_request"


async def test_the_async_twins_do_the_same() -> None:
    """One implementation, two faces."""
    async with await AsyncSandbox.local() as sandbox:
        assert (await sandbox.bash("echo hi")).output.startswith("hi\n")
        assert (await sandbox.write("a.txt", "one\n")).success
        assert (await sandbox.read("a.txt")).output == "     1\tone"
        assert (await sandbox.edit("a.txt", "one", "two")).success
        assert (await sandbox.call_tool("read", {"path": "a.txt"})).output == "     1\ttwo"
        assert (await sandbox.run("exit 3")).exit_code == 3
        await sandbox.files.write("b", b"x")
        assert await sandbox.files.read("b") == b"x"
        assert await sandbox.files.exists("b")
        assert (await sandbox.files.look("b")).kind == "file"
        assert [entry.name for entry in (await sandbox.files.list()).entries] == ["a.txt", "b"]
        other = sandbox.new_session()
        assert (await other.call_tool("write", {"path": "b", "content": "y"})).code == "not_read"
        resumed = sandbox.new_session(sandbox.session.to_json())
        assert (await resumed.call_tool("write", {"path": "a.txt", "content": "y"})).success
        assert resumed.ledger.find(f"{sandbox.work_dir}/a.txt")
        assert [tool["name"] for tool in resumed.tool_definitions()] == ["bash", "read", "write", "edit"]
        assert (await sandbox.kill_all()).output == "Ended 0 commands."
        await sandbox.delete()


def test_one_session_serves_threads_and_tasks(sandbox: Sandbox) -> None:
    """LangChain calls `invoke` and `ainvoke` on one tool, each in a loop of its own."""
    import asyncio

    session: Session = sandbox.session
    session.call_tool("write", {"path": "a.txt", "content": "0"})

    async def edits(start: int) -> list[bool]:
        changes = [{"path": "a.txt", "old_str": f"{n}", "new_str": f"{n + 1}"} for n in range(start, start + 4)]
        results = [await session.acall_tool("edit", change) for change in changes]
        return [result.success for result in results]

    assert asyncio.run(edits(0)) == [True] * 4
    assert session.call_tool("edit", {"path": "a.txt", "old_str": "4", "new_str": "5"}).success
    assert asyncio.run(edits(5)) == [True] * 4
    assert (work(sandbox) / "a.txt").read_text() == "9"


def test_a_big_command_env_and_clipping(new_server: Callable[..., RunningServer]) -> None:
    """`env=` of a sandbox reaches its commands and wins over what keeps programs quiet."""
    with Sandbox.local(env={"TERM": "xterm", "MINE": "1"}) as sandbox:
        assert sandbox.run("echo $TERM $MINE").output == b"xterm 1\n"
        assert sandbox.run("echo $MINE", env={"MINE": "2"}).output == b"2\n"
