"""Money in and out: exact, or refused."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feilun.errors import BadRequest
from feilun.store.access.money import amount, nano, nano_a_token, price


@given(st.integers(0, 10**18))
def test_what_goes_in_comes_out(number: int) -> None:
    """Every amount and price that can be counted can be written down and read again."""
    assert nano(amount(number)) == number
    assert nano_a_token(price(number % 10**12)) == number % 10**12


@pytest.mark.parametrize(
    ("given", "a_token", "whole"),
    [("2.50", 2500, 2_500_000_000), ("0.001", 1, 1_000_000), ("1e3", 10**6, 10**12), ("0e999999", 0, 0)],
)
def test_decimals_are_read_exactly(given: str, a_token: int, whole: int) -> None:
    """A price is of a million tokens."""
    assert (nano_a_token(given), nano(given), nano(Decimal(given))) == (a_token, whole, whole)


def test_what_would_be_rounded_or_is_no_money_is_refused() -> None:
    """Too fine, below nothing, beyond counting, no number; huge exponents are answered at once."""
    for fine in ("0.0005", "2.0000000000001", "1e-999999"):
        with pytest.raises(BadRequest, match="finer"):
            nano_a_token(fine)
    for wrong in ("-1", "nan", "-inf", "1e999999", "5e17", "", "much", "0x1"):
        with pytest.raises(BadRequest) as caught:
            nano(wrong, "money_per_day")
        assert caught.value.param == "money_per_day"
