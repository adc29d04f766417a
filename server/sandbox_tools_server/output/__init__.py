"""What a reader is shown of output and files: the one text renderer of client and server. Pure."""

from .clipping import Clipping, clip
from .command import LastLines, OutputText, describe_end
from .decoder import LiveText, TextDecoder, clean, settled
from .diff import join_hunks, numbered_diff
from .lines import LINE_LIMIT, OUTPUT_LIMIT, READ_CHARS, READ_LINES, READ_NOTES, counted, cut_line, number_lines
from .window import fitting, render_window

__all__ = [
    "LINE_LIMIT",
    "OUTPUT_LIMIT",
    "READ_CHARS",
    "READ_LINES",
    "READ_NOTES",
    "Clipping",
    "LastLines",
    "LiveText",
    "OutputText",
    "TextDecoder",
    "clean",
    "clip",
    "counted",
    "cut_line",
    "describe_end",
    "fitting",
    "join_hunks",
    "number_lines",
    "numbered_diff",
    "render_window",
    "settled",
]
