"""What a command printed, collected for a model as the events come."""

from __future__ import annotations

from sandbox_tools.streaming import Skipped
from sandbox_tools_server.output import LastLines, LiveText, OutputText, settled
from sandbox_tools_server.wire import Event, Gap, Output, Stream

from .known_jobs import KnownJob, in_short
from .spec import OnOutput


class Printed:
    """Takes the events of a command from some place on.

    What has only begun at the end, half a character or half a control sequence, is not part of the text until it is
    whole or `finish` says that nothing follows.

    Arguments:
        job: how far its output was shown before.
        text: what collects it.
        on_output: called with each piece of text as it comes.
    """

    def __init__(
        self,
        job: KnownJob | None = None,
        *,
        text: OutputText | LastLines | None = None,
        on_output: OnOutput | None = None,
    ) -> None:
        job = job or KnownJob()
        self.text = text or OutputText()
        self.start = job.offset
        """From which byte on the output is in the text."""
        self.news = False
        """Whether there is anything new to show."""
        self._shown: dict[Stream, int] = {"stdout": job.offset, "stderr": job.stderr}
        self._begun: dict[Stream, bytes] = {"stdout": b"", "stderr": b""}
        self._live = LiveText()
        self._on_output = on_output

    @property
    def offset(self) -> int:
        """Up to which byte the output is in the text."""
        return self._shown["stdout"]

    def take(self, event: Event | Skipped) -> None:
        """Take the next event."""
        if isinstance(event, Output):
            self._feed(event.stream, event.data)
            if self._on_output is not None and (text := self._live.decode(event.data)):
                self._on_output(text)
        elif isinstance(event, Gap):
            self._go_to(event.stream, event.end)
            self.text.gap(event.end - event.start)
        elif isinstance(event, Skipped):
            self._go_to("stdout", event.end)
            self.text.skip(event.end - event.start)

    def finish(self) -> None:
        """Nothing follows: show what has only begun, too."""
        for stream, begun in self._begun.items():
            self.text.feed(begun)
            self._shown[stream] += len(begun)
            self._begun[stream] = b""
        if self._on_output is not None and (text := self._live.flush()):
            self._on_output(text)

    def known(self, command: str, *, ended: bool) -> KnownJob:
        """What the model knows of the job when it has read the text."""
        return KnownJob(in_short(command), self._shown["stdout"], self._shown["stderr"], ended)

    def _feed(self, stream: Stream, data: bytes) -> None:
        data = self._begun[stream] + data
        end = settled(data)
        self.text.feed(data[:end])
        self._begun[stream] = data[end:]
        self._shown[stream] += end
        self.news = self.news or end > 0

    def _go_to(self, stream: Stream, offset: int) -> None:
        self.text.feed(self._begun[stream])
        self._begun[stream] = b""
        self._shown[stream] = offset
        self.news = True
