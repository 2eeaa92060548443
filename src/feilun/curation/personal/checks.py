"""Check sums and plausibility of numbers that name people, cards, accounts and organisations.

This module knows the standards. It does not know texts: every function takes a number without separators.
"""

from __future__ import annotations

from datetime import date

from feilun.curation.personal.spans import words

# The first two digits of a resident ID (GB/T 2260); 81 to 83 are residence permits of Hong Kong, Macau and Taiwan.
_PROVINCES = frozenset(
    words("""
11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65 71 81 82 83
""")
)
# The length of an IBAN by country (SWIFT's registry).
_IBANS = {
    part[:2]: int(part[2:])
    for part in words("""
AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 FI18
FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20
LU20 LV21 LY25 MC27 MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SC31 SE24
SI19 SK24 SM27 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20
""")
}
_CREDIT = "0123456789ABCDEFGHJKLMNPQRTUWXY"
# Where the letter of a Taiwan ID stands in the sum: the registry's order is not the alphabet's.
_TAIWAN = "ABCDEFGHJKLMNPQRSTUVXYWZIO"


def luhn(digits: str) -> bool:
    """Tell whether 12 to 19 digits have the right last one (ISO/IEC 7812)."""
    values = [ord(char) - 48 for char in reversed(digits)]
    doubled = sum(sum(divmod(2 * value, 10)) for value in values[1::2])
    return 12 <= len(values) <= 19 and len(set(values)) > 1 and (sum(values[::2]) + doubled) % 10 == 0


def issuer(digits: str) -> bool:
    """Tell whether a card number begins and is as long as those of a known network, or of a Chinese bank."""
    size, two, four = len(digits), int(digits[:2]), int(digits[:4])
    return (
        (two == 62 and 16 <= size <= 19)
        or (digits[0] == "4" and size in (13, 16, 19))
        or (
            size == 16
            and (51 <= two <= 55 or 2221 <= four <= 2720 or two == 65 or four == 6011 or 3528 <= four <= 3589)
        )
        or (size == 15 and two in (34, 37))
        or (size == 14 and (two in (36, 38) or 300 <= int(digits[:3]) <= 305))
        or (size in (16, 17, 18, 19) and (four in (9558, 9559, 9400, 9111) or two in (60, 68, 69, 81)))
    )


def card(digits: str) -> bool:
    """Tell whether digits are a card number of a known issuer."""
    return luhn(digits) and issuer(digits)


def iban(code: str) -> bool:
    """Tell whether an IBAN in capitals has the right check digits (ISO 13616)."""
    turned = code[4:] + code[:4]
    return _IBANS.get(code[:2]) == len(code) and int("".join(str(int(char, 36)) for char in turned)) % 97 == 1


def day(digits: str) -> bool:
    """Tell whether ``YYYYMMDD`` is a day on which a living person can have been born."""
    try:
        born = date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        return False
    return 1900 <= born.year <= 2035


def resident(code: str) -> bool:
    """Tell whether 18 characters are a resident ID: region, day of birth, check character (GB 11643)."""
    if code[:2] not in _PROVINCES and code[0] != "9":
        return False
    return day(code[6:14]) and resident_sum(code)


def resident_sum(code: str) -> bool:
    """Tell whether the last of 18 characters is the check character (ISO 7064, MOD 11-2)."""
    total = sum(pow(2, 17 - place, 11) * int(char) for place, char in enumerate(code[:17]))
    return "10X98765432"[total % 11] == code[17].upper()


def old_resident(code: str) -> bool:
    """Tell whether 15 digits can be a resident ID as issued before 1999, which has no check digit."""
    return code[:2] in _PROVINCES and day("19" + code[6:12])


def credit(code: str) -> bool:
    """Tell whether 18 characters are a unified social credit code (GB 32100, check character MOD 31-3)."""
    code = code.upper()
    if code[0] not in "123456789ANY" or (code[2:4] not in _PROVINCES and code[2:4] != "10"):
        return False
    if any(char not in _CREDIT for char in code):
        return False
    total = sum(pow(3, place, 31) * _CREDIT.index(char) for place, char in enumerate(code[:17]))
    return _CREDIT[-total % 31] == code[17]


def registered(code: str) -> bool:
    """Tell whether a code begins as one of an organisation: who registered it, and as what (GB 32100)."""
    return code[:2] in {"11", "12", "13", "19", "31", "51", "52", "53", "59", "81", "91", "92", "93"}


def hong_kong(code: str) -> bool:
    """Tell whether letters, six digits and a check character (no brackets) are a Hong Kong ID."""
    code = code.upper()
    head = code[:-7]
    values = [36] * (2 - len(head)) + [ord(char) - 55 for char in head] + [int(char) for char in code[-7:-1]]
    total = sum(weight * value for weight, value in zip(range(9, 1, -1), values, strict=True))
    return "0123456789A"[-total % 11] == code[-1]


def taiwan(code: str) -> bool:
    """Tell whether a letter and nine digits are a Taiwan ID."""
    place = _TAIWAN.index(code[0].upper()) + 10
    values = [place // 10, place % 10, *(int(char) for char in code[1:])]
    return sum(w * v for w, v in zip((1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1), values, strict=True)) % 10 == 0


def social(digits: str) -> bool:
    """Tell whether nine digits can be a US social security number."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    return area not in {"000", "666"} and area < "900" and group != "00" and serial != "0000"
