"""A label speaks for its own number: words in addresses, labels of other numbers and line breaks hide nothing."""

from __future__ import annotations

import pytest

from feilun.curation.personal import Finder


def found(text: str) -> list[tuple[str, str]]:
    """Return kinds and values that the finder finds with its defaults."""
    return [(span.kind, text[span.start : span.end]) for span in Finder().find(text)]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("li@qq.com 13390708947", "PHONE", "13390708947"),
        ("王芳，li@qq.com，6225881657084017", "CARD", "6225881657084017"),
        ("li@qq.com 192.168.3.7", "IP", "192.168.3.7"),
        ("order.no@shop.com 13390708947", "PHONE", "13390708947"),
        ("https://shop.com/order/id= 13390708947", "PHONE", "13390708947"),
        ("shop.com/invoice 6225881657084017", "CARD", "6225881657084017"),
    ],
)
def test_words_within_addresses_are_no_labels(text: str, kind: str, value: str) -> None:
    """A mailbox at qq.com, or a web page of orders, says nothing of the number behind it."""
    assert (kind, value) in found(text)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("客户王芳，13390708947，运单号SF1234567890123", "PHONE", "13390708947"),
        ("13390708947，金额300元", "PHONE", "13390708947"),
        ("13390708947，订单已发出", "PHONE", "13390708947"),
        ("13390708947 病历号00348812", "PHONE", "13390708947"),
        ("13390708947 会员号8812", "PHONE", "13390708947"),
        ("13390708947（编号A12）", "PHONE", "13390708947"),
        ("13390708947\n订单编号：DD20248871063927", "PHONE", "13390708947"),
        ("寄件人 13390708947 快递单号 YT12345678901", "PHONE", "13390708947"),
        ("6217007903249590805，流水号20240506001", "CARD", "6217007903249590805"),
        ("来访IP 78.173.3.251，版本 3.2", "IP", "78.173.3.251"),
        ("78.173.3.251 版本 3.2", "IP", "78.173.3.251"),
        ("病历号00348812 78.173.3.251", "IP", "78.173.3.251"),
        ("货号291771，192.168.190.113", "IP", "192.168.190.113"),
        ("金额146,259.00元 4367426729106886", "CARD", "4367426729106886"),
        ("快递到了，13390708947", "PHONE", "13390708947"),
    ],
)
def test_labels_of_other_numbers_hide_nothing(text: str, kind: str, value: str) -> None:
    """A label behind a number is the next number's, and one before it may have been said of another."""
    assert (kind, value) in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "订单号：13390708947",
        "订单号 4367426729106886",
        "13390708947是订单号",
        "13390708947（订单号）",
        "版本 10.2.3.4",
        "订单编号\n13390708947",
    ],
)
def test_own_labels_still_speak(text: str) -> None:
    """A number that its own label calls an order is nobody's."""
    assert found(text) == []
