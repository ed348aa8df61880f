"""Numbers as people write them."""

import re
from fractions import Fraction


def whole_number(text: str) -> int:
    """Return a whole number as people write it: 1000, 1e3, 1k or 0.001M. Raises ValueError."""
    found = re.fullmatch(r"([+-]?[0-9.]{1,40})(?:e\+?([0-9]{1,2}))?([kM]?)", text.strip())
    if found is None:
        raise ValueError(text)
    scale = 10 ** int(found[2] or 0) * {"": 1, "k": 10**3, "M": 10**6}[found[3]]
    number: Fraction = Fraction(found[1]) * scale
    if number.denominator != 1:
        raise ValueError(text)
    return number.numerator


def digits(number: float) -> str:
    """Return a number as messages show it: 10,000,000 or 0.05."""
    return f"{number:,}" if isinstance(number, int) and abs(number) < 10**16 else f"{number:g}"
