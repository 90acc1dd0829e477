"""A QR code as one SVG path, which a page may hold without a picture from anywhere. Knows nothing of what it says."""

from __future__ import annotations

from dataclasses import dataclass

import qrcode

# ISO/IEC 18004 asks for a margin of four modules.
_MARGIN = 4


@dataclass(frozen=True, slots=True)
class QrCode:
    """A square of `size` modules, its margin included; `path` draws the dark ones."""

    size: int
    path: str


def draw(text: str) -> QrCode:
    """The code of `text` with medium error correction."""
    code = qrcode.QRCode(border=_MARGIN, error_correction=qrcode.constants.ERROR_CORRECT_M)
    code.add_data(text)
    code.make(fit=True)
    rows = code.get_matrix()
    dark = ((x, y) for y, row in enumerate(rows) for x, module in enumerate(row) if module)
    return QrCode(len(rows), "".join(f"M{x} {y}h1v1h-1z" for x, y in dark))
