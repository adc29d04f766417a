"""Where the text is that an edit means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_tools_server.errors import Refused
from sandbox_tools_server.matching import apply, match
from sandbox_tools_server.wire import EditMode

BOM = b"\xef\xbb\xbf"


def edited(content: bytes, old: str, new: str, *, replace_all: bool = False, mode: EditMode = "replace") -> bytes:
    return apply(content, match(content, old, new, replace_all=replace_all, mode=mode))


def refusal(content: bytes, old: str, new: str, *, replace_all: bool = False, mode: EditMode = "replace") -> Refused:
    with pytest.raises(Refused) as caught:
        match(content, old, new, replace_all=replace_all, mode=mode)
    return caught.value


def test_a_unique_text_is_replaced() -> None:
    """The plain case: one place, and nothing else changes."""
    assert edited(b"one\ntwo\nthree\n", "two", "2") == b"one\n2\nthree\n"


def test_a_deleted_newline_joins_lines_because_it_was_asked_for() -> None:
    """Exact text means exactly what it says, its newlines included."""
    assert edited(b"one\ntwo\nthree\n", "two\n", "2 ") == b"one\n2 three\n"


def test_places_that_overlap_are_counted_apart() -> None:
    """Counting as `str.count` does would miss the second place and edit the first in silence."""
    refused = refusal(b"aXaXa", "aXa", "-")
    assert refused.code == "ambiguous_match"
    assert refused.data == {"count": 2, "lines": [1, 1]}


def test_an_ambiguous_text_names_its_first_lines_and_how_many_there_are() -> None:
    """The reader has to find the one that it means."""
    refused = refusal(b"x\n" * 12, "x", "y")
    assert refused.data == {"count": 12, "lines": list(range(1, 11))}
    assert "12 places" in refused.detail
    assert "replace_all" in refused.hint


def test_places_are_counted_up_to_a_thousand() -> None:
    """Each may cost as much as the text is long: a minute of counting tells no more than `more than 1,000`."""
    refused = refusal(b"x\n" * 1_000, "x", "y")
    assert (refused.data["count"], "1,000 places" in refused.detail) == (1_000, True)
    refused = refusal(b"a" * 1_000_000, "a" * 50_000, "b")
    assert "more than 1,000 places" in refused.detail
    assert refused.data == {"count": 1_001, "lines": [1] * 10}
    assert "more than 1,000 places" in refusal(b"a" * 1_000_000, "a" * 50_000, "b", replace_all=True).detail


def test_of_a_very_long_text_fewer_places_are_counted() -> None:
    """A thousand times 16 MiB would be as slow as any."""
    size = 16 * 1024 * 1024
    refused = refusal(b"a" * (size + 100), "a" * size, "b")
    assert "more than 4 places" in refused.detail
    assert refused.data == {"count": 5, "lines": [1] * 5}


def test_replace_all_changes_a_hundred_thousand_places_at_most() -> None:
    """More is work for a command, which the refusal names."""
    assert edited(b"x\n" * 100_000, "x", "yy", replace_all=True) == b"yy\n" * 100_000
    refused = refusal(b"x\n" * 1_000_000, "x", "y", replace_all=True)
    assert (refused.code, "more than 100,000 places" in refused.detail) == ("file_error", True)
    assert "sed" in refused.hint


def test_replace_all_writes_no_endless_text() -> None:
    """A long text in many places is more than the memory holds, although neither is large."""
    refused = refusal(b"x" * 1_000, "x", "y" * 100_000, replace_all=True)
    assert (refused.code, "1,000 places" in refused.detail, "sed" in refused.hint) == ("file_error", True, True)
    assert len(edited(b"x" * 1_000, "x", "y" * 50_000, replace_all=True)) == 50_000_000


def test_replace_all_replaces_every_place() -> None:
    """Uniqueness is lifted when every place is meant."""
    assert edited(b"x y\r\nx", "x", "zz", replace_all=True) == b"zz y\r\nzz"


def test_replace_all_refuses_places_that_overlap() -> None:
    """Which of them are replaced would depend on where one begins."""
    assert refusal(b"aXaXa", "aXa", "-", replace_all=True).code == "ambiguous_match"


def test_replace_all_of_nothing_is_no_match() -> None:
    """No replacement at all is not a success."""
    assert refusal(b"abc", "x", "y", replace_all=True).code == "no_match"


def test_an_empty_text_is_refused() -> None:
    """It stands everywhere, so it says nothing about the place."""
    assert refusal(b"abc", "", "x").code == "invalid_request"


def test_blanks_alone_must_be_exact_and_unique() -> None:
    """Tolerance for blanks makes no sense for a text that is nothing else."""
    assert edited(b"a  b c", "  ", "-") == b"a-b c"
    assert refusal(b"a  b  c", "  ", "-").code == "ambiguous_match"


def test_equal_texts_change_nothing_and_are_refused() -> None:
    """A model that sends the same text twice has made a mistake and must be told."""
    assert refusal(b"abc", "b", "b").code == "identical"


def test_texts_that_differ_in_line_ends_alone_are_equal_where_lines_end() -> None:
    """Line ends are the file's; an edit does not convert them."""
    assert refusal(b"a\nb\n", "a\nb", "a\r\nb").code == "identical"


def test_nothing_to_insert_is_refused() -> None:
    """Else the newline of whole lines would be all that is inserted."""
    assert refusal(b"abc", "b", "", mode="append_after").code == "identical"


@pytest.mark.parametrize("text", ["\ud800", "a\udc80"])
def test_half_a_surrogate_pair_is_refused(text: str) -> None:
    """JSON can carry what no encoding can write."""
    assert refusal(b"abc", text, "x").code == "invalid_request"
    assert refusal(b"abc", "b", text).code == "invalid_request"


def test_a_typed_newline_is_the_line_end_of_a_crlf_file() -> None:
    """A model never sees carriage returns, so it never types them."""
    assert edited(b"a\r\nb\r\nc\r\n", "a\nb", "x\ny\nz") == b"x\r\ny\r\nz\r\nc\r\n"


def test_a_typed_crlf_is_the_line_end_of_an_lf_file() -> None:
    """Text that was copied elsewhere must not bring its line ends along."""
    assert edited(b"a\nb\nc\n", "a\r\nb", "x\r\ny") == b"x\ny\nc\n"


def test_typed_line_ends_are_kept_where_the_file_has_none() -> None:
    """There is no neighbour whose line end could be taken."""
    assert edited(b"abc", "b", "1\r\n2\n3") == b"a1\r\n2\n3c"


def test_new_lines_of_a_mixed_file_end_like_their_neighbours() -> None:
    """Whatever convention holds at that place goes on there."""
    content = b"a\r\nb\nc"
    assert edited(content, "a", "a\nx") == b"a\r\nx\r\nb\nc"
    assert edited(content, "b", "b\nx") == b"a\r\nb\nx\nc"
    assert edited(content, "c", "c\nx") == b"a\r\nb\nc\nx"
    assert edited(b"a\nb\r\nc", "c", "c\nx") == b"a\nb\r\nc\r\nx"


def test_what_both_texts_share_keeps_its_line_ends() -> None:
    """Only the difference is written, so context in a mixed file stays as it is."""
    assert edited(b"a\r\nb\nc\r\nd", "a\nb\nc\nd", "a\nB\nc\nd") == b"a\r\nB\nc\r\nd"


def test_a_newline_matches_either_line_end_and_both_count() -> None:
    """Two places that look the same to the reader are two places."""
    assert refusal(b"a\r\nb\na\nb\n", "a\nb", "x").code == "ambiguous_match"
    assert edited(b"a\r\nb\na\nb\n", "a\nb", "x", replace_all=True) == b"x\nx\n"


@pytest.mark.parametrize("head", [b"", BOM])
@pytest.mark.parametrize("piece", [b"\r\n", b"a\r\n\n\r", b"some text\r\n and\n more\r\n"])
def test_every_place_of_the_view_leads_back(head: bytes, piece: bytes) -> None:
    """Only some places are known and the others are counted, so none may be off by one, wherever a line ends."""
    content = head + piece * (1_100 // len(piece))
    for place in range(len(head), len(content) + 1):
        before, after = content[:place], content[place:]
        if not (before.endswith(b"\r") and after.startswith(b"\n")):
            assert edited(before + b"@" + after, "@", "#") == before + b"#" + after


def test_many_places_in_a_long_line_of_a_mixed_file_are_edited() -> None:
    """How the line ends is looked up once and not from each place on."""
    content = b"a\r\nb\n" + b"x" * 90_000 + b"y" * 10_000_000
    assert edited(content, "x", "\n", replace_all=True) == b"a\r\nb\n" + b"\n" * 90_000 + b"y" * 10_000_000


def test_a_lone_carriage_return_is_data() -> None:
    """It ends no line, so it is neither matched by a newline nor split from one."""
    assert edited(b"a\rb\r\nc\r\n", "a\rb", "x") == b"x\r\nc\r\n"
    assert refusal(b"a\rb\n", "a\nb", "x").code == "no_match"
    assert refusal(b"a\r\nb\r\n", "a\r", "x").code == "no_match"


def test_an_empty_first_line_tells_how_lines_end() -> None:
    """The search for a line end must not look before the beginning."""
    assert edited(b"\na", "a", "b\nc") == b"\nb\nc"


def test_a_byte_order_mark_is_never_part_of_a_match() -> None:
    """What is inserted at the beginning stands behind it."""
    assert edited(BOM + b"a\n", "a", "b") == BOM + b"b\n"
    assert edited(BOM + b"a\n", "a", "x", mode="prepend_before") == BOM + b"x\na\n"
    assert refusal(BOM + b"a\n", "\ufeff", "").code == "no_match"


def test_ascii_text_is_edited_in_a_file_of_unknown_encoding() -> None:
    """Bytes that do not decode ride through untouched."""
    assert edited(b"caf\xe9 = 1\n", "= 1", "= 2") == b"caf\xe9 = 2\n"


@pytest.mark.parametrize(("old", "new"), [("1", "é"), ("é", "1")])
def test_other_text_needs_an_encoding_that_is_known(old: str, new: str) -> None:
    """Writing UTF-8 into a Latin-1 file would garble it."""
    refused = refusal(b"x\ncaf\xe9 = 1\n", old, new)
    assert refused.code == "encoding"
    assert refused.data == {"line": 2}


def test_the_encoding_is_checked_in_pieces_of_which_none_is_a_character() -> None:
    """A large file is not decoded as a whole, and a character between two pieces is no mistake."""
    content = b"x" + "é".encode() * 1024 * 1024 + b"\n="
    assert edited(content, "=", "è") == content[:-1] + "è".encode()
    assert refusal(content + b"\xe9", "=", "è").data == {"line": 2}


def test_text_beyond_ascii_is_edited_in_utf8() -> None:
    """Characters of several bytes are replaced whole, also where they begin with the same bytes."""
    assert edited("naïve é\n".encode(), "é", "è") == "naïve è\n".encode()


@pytest.mark.parametrize(
    ("content", "anchor", "text", "expected"),
    [
        (b"import os\nx\n", "import os", "import sys", b"import os\nimport sys\nx\n"),
        (b"import os\nx\n", "import os\n", "import sys", b"import os\nimport sys\nx\n"),
        (b"import os\nx\n", "import os\n", "import sys\n", b"import os\nimport sys\nx\n"),
        (b"import os\nx\n", "import os", "import sys\n", b"import os\nimport sys\nx\n"),
        (b"import os\nx\n", "import os", "\nimport sys", b"import os\nimport sys\nx\n"),
        (b"import os", "import os", "import sys", b"import os\nimport sys"),
        (b"import os", "import os", "import sys\n", b"import os\nimport sys"),
        (b"import os\n", "import os\n", "import sys", b"import os\nimport sys\n"),
        (b"a\r\nb\r\n", "a", "x\ny", b"a\r\nx\r\ny\r\nb\r\n"),
        (b"f(a, b)\n", "a", ", x", b"f(a, x, b)\n"),
        (b"f(a)\n", "f(", "b, ", b"f(b, a)\n"),
    ],
)
def test_text_is_appended_in_lines_of_its_own_or_inside_a_line(
    content: bytes, anchor: str, text: str, expected: bytes
) -> None:
    """`import osimport sys` is what nobody means; inside a line every character counts."""
    assert edited(content, anchor, text, mode="append_after") == expected


@pytest.mark.parametrize(
    ("content", "anchor", "text", "expected"),
    [
        (b"x\nimport os\n", "import os", "import abc", b"x\nimport abc\nimport os\n"),
        (b"x\nimport os\n", "import os\n", "import abc\n", b"x\nimport abc\nimport os\n"),
        (b"x\nimport os", "import os", "import abc", b"x\nimport abc\nimport os"),
        (b"f(a)\n", "a", "b, ", b"f(b, a)\n"),
    ],
)
def test_text_is_prepended_in_lines_of_its_own_or_inside_a_line(
    content: bytes, anchor: str, text: str, expected: bytes
) -> None:
    """The same rule holds before an anchor as after it."""
    assert edited(content, anchor, text, mode="prepend_before") == expected


def test_an_anchor_must_be_unique_unless_every_place_is_meant() -> None:
    """Inserting at the first of several places is a silent wrong edit."""
    assert refusal(b"a\na\n", "a", "x", mode="append_after").code == "ambiguous_match"
    assert edited(b"a\na\n", "a", "x", mode="append_after", replace_all=True) == b"a\nx\na\nx\n"


def test_a_text_that_is_not_there_names_the_closest_line() -> None:
    """The reader sees at once what it mistyped."""
    hint = refusal(b"first\n    total = price * count\nlast\n", "total = price + count", "x").hint
    assert "line 2" in hint
    assert "price * count" in hint


def test_lines_that_are_all_there_in_another_order_are_said_to_be() -> None:
    """No single line is to blame then."""
    assert "order" in refusal(b"a\nb\n", "b\na", "x").hint


def test_nothing_similar_says_to_read_again() -> None:
    """There is always a next step."""
    assert refusal(b"something else entirely\n", "zzz", "x").hint == "Read the file again, and copy it."


def test_a_large_file_is_not_searched_for_a_similar_line() -> None:
    """An error must not cost more than the edit."""
    assert "closest" not in refusal(b"total = 1\n" * 20_001, "total = 2", "x").hint
    assert "closest" not in refusal(b"\r\n" * 10_000_000, "total = 2", "x").hint


def test_blank_text_has_no_closest_line() -> None:
    """Blanks are similar to nothing."""
    assert "closest" not in refusal(b"a b\n", "  ", "x").hint


def test_text_that_is_there_already_is_said_to_be() -> None:
    """An edit that is sent twice fails the second time, and the reader must know that the first one worked."""
    assert "there already, in line 2" in refusal(b"one\nnew_value = 2\n", "old = 1", "new_value = 2").hint


def test_pasted_line_numbers_are_said_to_be_the_cause() -> None:
    """The most frequent slip of all: what read shows is copied with its numbers."""
    assert "line numbers" in refusal(b"a\nb\n", "     1\ta\n     2\tb\n", "x").hint


def test_text_that_was_escaped_once_too_often_is_said_to_be() -> None:
    r"""A literal `\n` looks like a newline to the one who typed it."""
    assert "escaped" in refusal(b"a\nb\n", r"a\nb", "x").hint


CONTENTS = st.lists(st.sampled_from([b"a", b"b", b"\n", b"\r\n", b"\r", b" ", b"\xe9", "é".encode(), BOM])).map(
    b"".join
)
TEXTS = st.text(st.sampled_from("ab\n\r é"), max_size=4)
MODES: st.SearchStrategy[EditMode] = st.sampled_from(["replace", "append_after", "prepend_before"])


@given(content=CONTENTS, old=TEXTS, new=TEXTS, replace_all=st.booleans(), mode=MODES)
def test_an_edit_changes_what_it_reports_and_nothing_else(
    content: bytes, old: str, new: str, replace_all: bool, mode: EditMode
) -> None:
    """Whatever the file and the edit are: it is refused, or every byte outside the spans is the same."""
    try:
        splices = match(content, old, new, replace_all=replace_all, mode=mode)
    except Refused:
        return
    after = apply(content, splices)
    assert after != content
    assert replace_all or len(splices) == 1
    shift = end = 0
    for splice in splices:
        assert end <= splice.start <= splice.stop
        assert after[end + shift : splice.start + shift] == content[end : splice.start]
        shift += len(splice.text) - (splice.stop - splice.start)
        end = splice.stop
    assert after[end + shift :] == content[end:]
    assert content.startswith(BOM) <= after.startswith(BOM)


@given(lines=st.lists(st.text(st.sampled_from("ab é"), max_size=3)), old=TEXTS, new=TEXTS)
def test_an_edit_of_a_crlf_file_is_the_edit_of_its_lf_twin(lines: list[str], old: str, new: str) -> None:
    """Line ends make no difference to what is matched, and stay what they are."""
    twin = "".join(f"{line}\n" for line in lines).encode()
    content = twin.replace(b"\n", b"\r\n")
    old, new = old.replace("\r", ""), new.replace("\r", "")
    try:
        expected = edited(twin, old, new)
    except Refused as refused:
        code = refused.code
    else:
        assert edited(content, old, new).replace(b"\r\n", b"\n") == expected
        return
    assert refusal(content, old, new).code == code


def test_half_of_a_character_is_never_matched() -> None:
    """In GBK the second byte of a character may be an ASCII letter; writing there would make another character."""
    assert refusal(b"\xc3\xfb\x81\x41 = 1\n", "A", "B").code == "encoding"
    assert edited(b"\xc3\xfb = A\n", "A", "B") == b"\xc3\xfb = B\n"
    assert edited("é=1\n".encode(), "=1", "=2") == "é=2\n".encode()


def test_an_empty_file_is_said_to_be_empty() -> None:
    """To read it again would not help."""
    assert (refusal(b"", "a", "b").detail, refusal(b"", "a", "b").hint) == ("The file is empty.", "Fill it with write.")
