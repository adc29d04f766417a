"""Where the text is that an edit means, and what is to be written there. Pure: bytes and strings in, spans out.

Text is looked for as UTF-8 in the bytes of the file, in a view of them in which every line ends in one newline; an
offset in the view leads back to the bytes. So a newline of `old_str` stands for either line end, a newline that is
written takes the line end of its neighbours, and whatever else is in the file is never touched.

The work grows with the file and not faster, and so does the memory: what could be endless, as the number of places
where a text stands, is counted up to a limit.
"""

from .exact import match
from .sharing import shared_head, shared_tail
from .view import Splice, apply

__all__ = ["Splice", "apply", "match", "shared_head", "shared_tail"]
