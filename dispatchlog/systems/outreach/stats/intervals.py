"""95 % intervals of shares and of what lies between two of them. Pure functions."""

from __future__ import annotations

from math import sqrt

# Of the standard normal distribution, 97.5 %.
_Z = 1.959963984540054


def wilson(number: int, of: int) -> tuple[float, float]:
    """The interval of a share (E. B. Wilson, JASA 22, 1927); also right for few and near 0 or 1.

    Raises:
        ZeroDivisionError: of nothing there is no share.
    """
    share = number / of
    middle = (share + _Z**2 / (2 * of)) / (1 + _Z**2 / of)
    half = _Z * sqrt(share * (1 - share) / of + _Z**2 / (4 * of**2)) / (1 + _Z**2 / of)
    return max(0.0, middle - half), min(1.0, middle + half)


def difference(first: tuple[float, float, float], second: tuple[float, float, float]) -> tuple[float, float]:
    """The interval of `first` less `second`, each a share with its own interval (R. G. Newcombe, Statistics in Medicine 17,
    1998, method 10)."""
    (one, one_low, one_high), (two, two_low, two_high) = first, second
    between = one - two
    return (
        between - sqrt((one - one_low) ** 2 + (two_high - two) ** 2),
        between + sqrt((one_high - one) ** 2 + (two - two_low) ** 2),
    )
