"""Files of the sandbox: which one a path means, and reading, writing, editing and listing them."""

from .content import Content, open_content
from .editing import edit_file
from .listing import exists, list_directory
from .paths import resolve
from .reading import read_window
from .writing import StagedFile

__all__ = [
    "Content",
    "StagedFile",
    "edit_file",
    "exists",
    "list_directory",
    "open_content",
    "read_window",
    "resolve",
]
