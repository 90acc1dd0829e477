"""Owns MLLP's frames, `0x0B message 0x1C 0x0D` (HL7 Transport Specification: MLLP, release 1); never reads a socket."""

from __future__ import annotations

START = b"\x0b"
END = b"\x1c\r"
_BETWEEN = b"\r\n"


class BrokenFrameError(Exception):
    """What came is no frame."""


class FrameTooLargeError(BrokenFrameError):
    """The frame is longer than allowed."""


def frame(message: bytes) -> bytes:
    """The message with what MLLP puts around it."""
    return START + message + END


def can_be_framed(message: bytes) -> bool:
    """Whether the message has none of the bytes that MLLP keeps for itself."""
    return START not in message and END[:1] not in message


class FrameReader:
    """Takes bytes as they come and gives whole frames. CR and LF between frames are skipped."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()
        self._searched = 0

    @property
    def unread(self) -> bytes:
        """What came and was not given out yet."""
        return bytes(self._buffer)

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def next_message(self) -> bytes | None:
        """The next frame's content, None while it is not complete.

        Raises:
            BrokenFrameError: the bytes are no frame, or (FrameTooLargeError) more than allowed.
        """
        if not self._buffer.startswith(START):
            self._skip_between()
            if not self._buffer:
                return None
            if not self._buffer.startswith(START):
                raise BrokenFrameError("bytes outside a frame")
        end = self._buffer.find(END[:1], self._searched)
        if self._buffer.find(START, max(1, self._searched), end if end >= 0 else None) >= 0:
            raise BrokenFrameError("a frame begins inside a frame")
        if (len(self._buffer) if end < 0 else end) > self._max_bytes:
            raise FrameTooLargeError(f"a frame longer than {self._max_bytes} bytes")
        self._searched = end if end >= 0 else len(self._buffer)
        if end < 0 or len(self._buffer) < end + len(END):
            return None
        if self._buffer[end : end + len(END)] != END:
            raise BrokenFrameError("a frame ends without its carriage return")
        message = bytes(self._buffer[1:end])
        del self._buffer[: end + len(END)]
        self._searched = 0
        self._skip_between()
        return message

    def _skip_between(self) -> None:
        self._buffer[:] = self._buffer.lstrip(_BETWEEN)
