"""Amounts of money, exactly: people write decimals, we count whole nano-units. Knows no currency, and nothing of rows.

Prices are money per million tokens outside, nano-units per token inside: 2.50 is 2500. It does not know what is priced.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from fractions import Fraction

from feilun.errors import BadRequest

_NANO_DIGITS = 9
_PRICE_DIGITS = _NANO_DIGITS - 6  # of a million tokens
_LARGEST = 10**18


def nano(amount: Decimal | str, param: str = "amount") -> int:
    """Return an amount of money in nano-units; raise BadRequest for what is none, is below 0, or is finer."""
    return _whole(amount, _NANO_DIGITS, param)


def nano_a_token(price: Decimal | str, param: str = "price") -> int:
    """Return a price (money per million tokens) in nano-units a token; raise BadRequest as :func:`nano`."""
    return _whole(price, _PRICE_DIGITS, param)


def amount(number: int) -> str:
    """Return nano-units as a decimal of money, such as ``0.0025``."""
    return _plain(number, _NANO_DIGITS)


def price(number: int) -> str:
    """Return nano-units a token as a decimal of money per million tokens, such as ``2.5``."""
    return _plain(number, _PRICE_DIGITS)


def _whole(given: Decimal | str, digits: int, param: str) -> int:
    try:
        value = Decimal(given)
    except InvalidOperation as error:
        raise BadRequest(f"{str(given)[:40]!r} is no amount of money.", "Write it like 2.50.", param) from error
    if not (value.is_finite() and 0 <= value < _LARGEST):
        raise BadRequest(f"{str(given)[:40]!r} is no amount of money.", "Write it like 2.50.", param)
    if not value:
        return 0
    scaled = Fraction(value) * 10**digits if value.adjusted() >= -digits else Fraction(1, 2)
    if scaled.denominator != 1:
        raise BadRequest(f"The amount is finer than {Decimal(1).scaleb(-digits):f}.", "It would be rounded.", param)
    if scaled > _LARGEST:
        raise BadRequest(f"{str(given)[:40]!r} is more money than we can count.", "Write it like 2.50.", param)
    return scaled.numerator


def _plain(number: int, digits: int) -> str:
    whole, part = divmod(number, 10**digits)
    return f"{whole}.{part:0{digits}}".rstrip("0").rstrip(".")
