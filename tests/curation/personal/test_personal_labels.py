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
        ("191·6053·9007\tpassport no. E74054548", "PHONE", "191·6053·9007"),
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
        "客户来电称：GB/T 11241-2016",
    ],
)
def test_own_labels_still_speak(text: str) -> None:
    """A number that its own label calls an order is nobody's."""
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("身份证号：110105\n19491231\n002X。", "RESIDENT_ID", "110105\n19491231\n002X"),
        ("110105\r\n19491231002X", "RESIDENT_ID", "110105\r\n19491231002X"),
        ("手机号：138\n0013\n8000", "PHONE", "138\n0013\n8000"),
        ("卡号：62258816\n57084017", "CARD", "62258816\n57084017"),
        ("卡号：6225 8816\n5708 4017\n123", "CARD", "6225 8816\n5708 4017"),
    ],
)
def test_line_breaks_within_numbers_hide_nothing(text: str, kind: str, value: str) -> None:
    """A line break is read like a space where a check sum holds or a label stands before."""
    assert (kind, value) in found(text)


@pytest.mark.parametrize(
    "text", ["138\n0013\n8000", "62258816\n57084017", "产量\n1380\n0138\n000", "卡号\n1234\n5678\n9012\n3456"]
)
def test_columns_of_figures_are_not_joined(text: str) -> None:
    """Without a label, or a check sum under one, figures below each other are no number."""
    assert found(text) == []


def test_numbers_one_a_line_stay_apart() -> None:
    """Whole numbers below each other are found one by one, with a label or none."""
    assert found("电话：\n13800138000\n13900139000\n6225881657084017") == [
        ("PHONE", "13800138000"),
        ("PHONE", "13900139000"),
        ("CARD", "6225881657084017"),
    ]


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("华为技术有限公司 914403001922038216", [("CREDIT_CODE", "914403001922038216")]),
        ("开票信息 12440305597608008L", [("CREDIT_CODE", "12440305597608008L")]),
        ("ES9121000418450200051332 2024-01-18 10:27", [("IBAN", "ES9121000418450200051332")]),
        ("时间戳1735755554775，192.168.195.98", [("IP", "192.168.195.98")]),
        ("微信：192.168.195.98", [("IP", "192.168.195.98")]),
        ("客户来电称：4111 1111 1111 1111", [("CARD", "4111 1111 1111 1111")]),
        (
            "账户：6225754078121488 2408:8207:78f0::1",
            [("CARD", "6225754078121488"), ("IP", "2408:8207:78f0::1")],
        ),
        ("收货：13390708947 x2", [("PHONE", "13390708947")]),
        ("13390708947转8012", [("PHONE", "13390708947转8012")]),
        ("Call 555-123-4567 x89", [("PHONE", "555-123-4567 x89")]),
    ],
)
def test_each_number_is_of_its_own_kind(text: str, result: list[tuple[str, str]]) -> None:
    """Dates, other addresses and amounts behind a number are no part of it, and its own shape tells its kind."""
    assert found(text) == result


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("客户来电称，昨天取款机吞卡了。", []),
        ("患者来电询问化验结果。", []),
        ("家属来院，客户来函，会员来访。", []),
        ("【嘉宾简介】", []),
        ("客户来电：王芳咨询贷款", [("NAME", "王芳")]),
        ("客户来小明，", [("NAME", "来小明")]),
    ],
)
def test_that_somebody_calls_is_no_name(text: str, result: list[tuple[str, str]]) -> None:
    """Words such as a call, a visit or a profile behind a customer or a guest are nobody's name."""
    assert found(text) == result
