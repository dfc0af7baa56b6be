"""A GPS receiver's serial port: a pty, reached under a name of the user's choice."""

import errno
import fcntl
import os
import struct
import termios
import tty
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from simulator.errors import SimulatorError

UNREAD_LIMIT: Final = 1500
"""Bytes. When more lies unread, nobody listens: it is dropped, and a reader that comes later gets no old news."""


class GpsPort:
    """A pty that stays open whether or not anybody reads; `link` points to it until it is closed."""

    def __init__(self, link: Path) -> None:
        self.link = link
        self.dropped = 0  # times that unread sentences were dropped
        self._ours = self._theirs = -1

    def __enter__(self) -> Self:
        self._ours, self._theirs = os.openpty()
        tty.setraw(self._theirs)  # no echo, no translation of line ends
        os.set_blocking(self._ours, False)
        self._point_link()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.link.is_symlink() and os.readlink(self.link) == self.device:
            self.link.unlink()
        os.close(self._ours)
        os.close(self._theirs)

    @property
    def device(self) -> str:
        """The pty's own name."""
        return os.ttyname(self._theirs)

    def write(self, sentences: bytes) -> None:
        """Send `sentences`, whole, in place of what nobody has read for a while."""
        if self._unread() + len(sentences) > UNREAD_LIMIT:
            self._drop()
        try:
            os.write(self._ours, sentences)
        except BlockingIOError:  # the kernel has not passed on what it was given, and takes no more
            self._drop()
            os.write(self._ours, sentences)

    def _drop(self) -> None:
        # Sentences lie in two places: on the way, which only our end can empty, and at the reader's end.
        termios.tcflush(self._ours, termios.TCOFLUSH)
        termios.tcflush(self._theirs, termios.TCIFLUSH)
        self.dropped += 1

    def _unread(self) -> int:
        (count,) = struct.unpack("i", fcntl.ioctl(self._theirs, termios.FIONREAD, b"\0" * 4))
        return int(count)

    def _point_link(self) -> None:
        if self.link.exists() and not self.link.is_symlink():
            self._close_and_raise("is there already and is no link; choose another --gps-link, or remove it")
        beside = self.link.with_name(f".{self.link.name}.{os.getpid()}")
        try:
            beside.symlink_to(self.device)
            beside.replace(self.link)
        except OSError as error:
            self._close_and_raise(f"cannot be made: {os.strerror(error.errno or errno.EIO)}")

    def _close_and_raise(self, problem: str) -> None:
        os.close(self._ours)
        os.close(self._theirs)
        raise SimulatorError(f"the link to the GPS port, {self.link}, {problem}")
