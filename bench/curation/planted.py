"""Personal data that nobody has: right in form and check digits, drawn at random, with sentences around it.

Knows how such numbers are formed (GB 11643, GB 32100, ISO 13616, Luhn) and what only looks like them. Does not know
how they are found.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable

_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_USCC = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_REGIONS = ("110105", "310104", "440106", "330102", "510107", "320583", "420111", "610113")
_PROVINCES = "京沪粤浙苏川鄂陕鲁豫湘皖闽"


def _digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choices(string.digits, k=count))


def resident_id(rng: random.Random) -> str:
    """Return a Chinese resident identity number (GB 11643-1999)."""
    born = f"{rng.randint(1950, 2009)}{rng.randint(1, 12):02d}{rng.randint(1, 28):02d}"
    body = rng.choice(_REGIONS) + born + _digits(rng, 3)
    total = sum(int(digit) * weight for digit, weight in zip(body, _ID_WEIGHTS, strict=True))
    return body + "10X98765432"[total % 11]


def mobile(rng: random.Random) -> str:
    """Return a Chinese mobile number."""
    number = "1" + rng.choice(("38", "39", "50", "58", "86", "77", "99")) + _digits(rng, 8)
    return number if rng.random() < 0.7 else f"{number[:3]} {number[3:7]} {number[7:]}"


def bank_card(rng: random.Random) -> str:
    """Return a UnionPay card number with its check digit (ISO/IEC 7812)."""
    body = "62" + _digits(rng, 16)
    total = 0
    for place, digit in enumerate(reversed(body)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return body + str(-total % 10)


def credit_code(rng: random.Random) -> str:
    """Return a unified social credit code (GB 32100-2015)."""
    body = "91" + rng.choice(_REGIONS) + "".join(rng.choices(_USCC, k=9))
    total = sum(_USCC.index(char) * pow(3, place, 31) for place, char in enumerate(body))
    return body + _USCC[-total % 31]


def email(rng: random.Random) -> str:
    """Return an e-mail address."""
    name = "".join(rng.choices(string.ascii_lowercase, k=rng.randint(4, 9)))
    host = f"{rng.choice(('mail', 'post', 'corp'))}-{_digits(rng, 2)}.{rng.choice(('com', 'cn', 'org', 'com.cn'))}"
    return f"{name}{rng.choice(('', '.', '_'))}{_digits(rng, 2)}@{host}"


def address(rng: random.Random) -> str:
    """Return an IPv4 address."""
    return ".".join(str(rng.randint(11, 223)) for _ in range(4))


def iban(rng: random.Random) -> str:
    """Return a German IBAN (ISO 13616)."""
    body = _digits(rng, 18)
    return f"DE{98 - int(body + '131400') % 97:02d}{body}"


def plate(rng: random.Random) -> str:
    """Return a Chinese vehicle plate."""
    return f"{rng.choice(_PROVINCES)}{rng.choice('ABCDEFGH')}{rng.choice('ABCDEFGHJKLMNPQRSTUVWXYZ')}{_digits(rng, 4)}"


Maker = Callable[[random.Random], str]
KINDS: dict[str, tuple[Maker, str, str]] = {
    "resident_id": (resident_id, "The resident ID number of the applicant is {}.", "申请人的身份证号码是{}。"),
    "phone": (mobile, "Please call {} before noon.", "请在中午之前拨打手机{}联系。"),
    "bank_card": (bank_card, "The deposit goes to bank card {}.", "押金退回银行卡{}。"),
    "credit_code": (credit_code, "The company's unified social credit code is {}.", "该公司的统一社会信用代码为{}。"),
    "email": (email, "Write to {} for the details.", "详情请发邮件至{}。"),
    "ip": (address, "The request came from the address {}.", "该请求来自IP地址{}。"),
    "iban": (iban, "Transfer the amount to the IBAN {}.", "请将款项汇至IBAN {}。"),
    "plate": (plate, "The car with the plate {} was parked there.", "车牌号为{}的车辆停在那里。"),
}


def lookalike(rng: random.Random, chinese: bool) -> str:
    """Return a sentence with a figure that is nobody's: an order, a part, a version, a sum."""
    number = rng.choice(
        (_digits(rng, 9), f"{rng.randint(2, 9)}.{rng.randint(0, 9)}.{rng.randint(0, 99)}", f"A{_digits(rng, 7)}")
    )
    if chinese:
        return f"订单编号为{number}，共计{rng.randint(100, 99999)}件。"
    return f"The order number is {number}, {rng.randint(100, 99999)} pieces in all."


def sentence(rng: random.Random, chinese: bool) -> tuple[str, str, str]:
    """Return (kind, value, sentence around it)."""
    kind = rng.choice(list(KINDS))
    make, english, han = KINDS[kind]
    value = make(rng)
    return kind, value, (han if chinese else english).format(value)
