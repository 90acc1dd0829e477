"""What can go wrong with keys. Owns the words."""

from __future__ import annotations

from dispatchlog.engine.errors import DispatchlogError


class CannotUnsealError(DispatchlogError):
    """It was sealed for another owner, for another purpose or under another secret key."""

    code = "CANNOT_UNSEAL"


class KeysError(DispatchlogError):
    """What was asked for cannot be done to the keys as they are; nothing was changed."""

    code = "KEYS"
