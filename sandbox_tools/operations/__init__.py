"""Every request of the protocol, once, as a flow.

A flow is a generator that yields what it needs done and is sent what came of it, or thrown what went wrong. It knows
neither sockets nor event loops: `transport` drives it, for threads and for tasks alike. Whether something may be sent
twice is decided here and nowhere else.
"""

from .commands import (
    end_command,
    end_commands,
    follow_command,
    list_commands,
    poll_command,
    resize_terminal,
    run_command,
    send_input,
    start_command,
    wait_command,
)
from .files import FileContent, edit_file, file_exists, list_directory, read_file, read_text, write_file
from .flow import (
    PATIENCE,
    Emit,
    Flow,
    Knowledge,
    Left,
    Pause,
    Recall,
    Reply,
    Request,
    Result,
    Step,
    Wait,
    call,
    health,
)
from .following import OnEvent

__all__ = [
    "PATIENCE",
    "Emit",
    "FileContent",
    "Flow",
    "Knowledge",
    "Left",
    "OnEvent",
    "Pause",
    "Recall",
    "Reply",
    "Request",
    "Result",
    "Step",
    "Wait",
    "call",
    "edit_file",
    "end_command",
    "end_commands",
    "file_exists",
    "follow_command",
    "health",
    "list_commands",
    "list_directory",
    "poll_command",
    "read_file",
    "read_text",
    "resize_terminal",
    "run_command",
    "send_input",
    "start_command",
    "wait_command",
    "write_file",
]
