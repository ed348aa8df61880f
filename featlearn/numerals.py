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


def ungrouped(text: str) -> str:
    """Return a number whose digits stand in groups without them: 10,000 as "10000 or 10k"; else ""."""
    if not re.fullmatch(r"[+-]?[0-9]{1,3}([,_' ][0-9]{3}){1,5}", text.strip()):
        return ""
    plain = re.sub("[,_' ]", "", text.strip())
    short = next((f"{plain[:-n]}{unit}" for n, unit in ((6, "M"), (3, "k")) if plain.endswith("0" * n)), "")
    return f"{plain} or {short}" if short else plain


def digits(number: float) -> str:
    """Return a number as messages show it: 10,000,000 or 0.05."""
    return f"{number:,}" if isinstance(number, int) and abs(number) < 10**16 else f"{number:g}"
