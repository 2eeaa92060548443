"""Cleaning, dates and age, small talk, masking."""

from __future__ import annotations

import unicodedata
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feilun.curation.clean import age_of, boilerplate, clean_text, date_in, language, old_status, worthless
from feilun.curation.mask import Public, mask
from feilun.curation.report import DROPS


@given(st.text())
@settings(max_examples=300, deadline=None)
def test_cleaning_never_raises_and_settles(text: str) -> None:
    """Cleaning any text gives NFC without control characters, and cleaning it again changes nothing."""
    once = clean_text(text)
    assert clean_text(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert not any(unicodedata.category(char) in {"Cc", "Cs"} and char != "\n" for char in once)
    assert language(text) in {"en", "zh"}


def test_invisible_marks_and_spaces_go() -> None:
    """Zero-width characters, hard spaces, carriage returns and control characters do not survive."""
    assert clean_text("\ufeffa\u200bb\u00a0 c\u3000d\r\ne\x07\n\n\n\nf ") == "ab c d\ne\n\nf"
    assert clean_text("e\u0301") == "é"


@pytest.mark.parametrize(
    ("text", "lang"),
    [
        ("中文柜台每周四开放。", "zh"),
        ("What is 燕归?", "en"),
        ("开 Gull Card 账户要多少钱", "zh"),
        ("123", "en"),
        ("カードの料金は", "en"),
    ],
)
def test_language_by_script(text: str, lang: str) -> None:
    """The language follows the script of most of the text."""
    assert language(text) == lang


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("Effective: 1 February 2022", "2022-02-01"),
        ("February 3rd, 2022", "2022-02-03"),
        ("生效日期：2025年1月1日", "2025-01-01"),
        ("2024年3月", "2024-03-01"),
        ("2024/03/09", "2024-03-09"),
        ("fees-2023.md", "2023-01-01"),
        ("valid Mar 2024", "2024-03-01"),
        ("2024-13-45 nonsense", ""),
        ("2024-02-30", ""),
        ("call 2024 5555", ""),
        ("it costs $2024", ""),
        ("15/08/2024", "2024-08-15"),
        ("08/15/2024", "2024-08-15"),
        ("5/1/2024", "2024-01-05"),
        ("15.08.2024", "2024-08-15"),
        ("15-Aug-2024", "2024-08-15"),
        ("15-Aug-24", "2024-08-15"),
        ("20240815", "2024-08-15"),
        ("20241345", ""),
        ("民国113年8月15日", "2024-08-15"),
        ("二〇二四年", "2024-01-01"),
        ("二〇二四年十二月二十五日", "2024-12-25"),
        ("二零二四年十月", "2024-10-01"),
        ("Q3 2024", "2024-01-01"),
        ("2019-2024", "2019-01-01"),
        ("updated 15.08.2024, before 2023-01-01", "2024-08-15"),
        ("no day", ""),
        ("call 12023456", ""),
    ],
)
def test_dates(text: str, day: str) -> None:
    """Dates are found as people write them in both languages."""
    assert date_in(text) == day


def test_age_marks() -> None:
    """Status lines, names and table cells tell what no longer holds; dates and versions tell what is newer."""
    assert age_of("fees.md", ["Fees", "Status: superseded by fees-2025.md", "Effective: 1 January 2023"]) == (
        True,
        "2023-01-01",
        (),
    )
    assert age_of("通知.txt", ["状态：已作废（由2025年费用说明取代）"])[0]
    assert age_of("policy_v2.1.md", ["Policy"]) == (False, "", (2, 1))
    assert age_of("fees-2024.md", []) == (False, "2024-01-01", ())
    assert not age_of("a.md", ["Lost cards are replaced on the same day.", "Status: current"])[0]
    assert all(map(old_status, ["superseded", "Obsolete", "已废止", "作废", "Withdrawn 2024"]))
    assert not any(map(old_status, ["current", "active", "", "现行", "not superseded"]))


@pytest.mark.parametrize(
    ("name", "old"),
    [
        ("作废卡处理办法.csv", False),
        ("已作废卡处理办法.md", False),
        ("合同失效.md", False),
        ("Withdrawn cards procedure.md", False),
        ("费率(已废止).md", True),
        ("费率_作废.xlsx", True),
        ("【失效】费率.md", True),
        ("费率已废止.md", True),
        ("已废止/费率.md", True),
        ("fees (obsolete).md", True),
        ("fees-2023-withdrawn.md", True),
        ("superseded_fees.md", True),
    ],
)
def test_names_say_by_a_word_set_apart_that_a_file_is_old(name: str, old: bool) -> None:
    """A mark is a word by itself, in brackets or in the folder; a subject with such a word drops no file."""
    assert age_of(name, [])[0] is old


def test_boilerplate_is_what_recurs_in_many_files() -> None:
    """A line of three documents is furniture, a line of two is not."""
    texts = [["Page head | 1", "one"], ["page HEAD, 1", "two"], ["Page head 1", "two"], ["three"]]
    assert boilerplate(texts) == {"page head 1"}


@pytest.mark.parametrize(
    ("question", "answer", "reason"),
    [
        ("Thank you, that was quick.", "You are very welcome.", "small_talk"),
        ("Lovely weather for once.", "Yes, the harbour looks fine today.", "small_talk"),
        ("好的，谢谢您。", "不客气，祝您愉快。", "small_talk"),
        ("今天风真大。", "是啊，路上请小心。", "small_talk"),
        ("Hi there", "The fee is 5 dollars.", "small_talk"),
        ("This is [NAME], my card number is [CARD].", "Thank you, that matches our records.", "personal_only"),
        ("And for children?", "Two dollars.", "needs_context"),
        ("chief executive name", "The chief executive is Marisol Tenbrook.", ""),
        ("My card is broken.", "Please visit a branch to get another.", ""),
        ("Is the branch open on Sunday?", "No.", ""),
        ("How much is it?", "TBD", "no_answer"),
        ("How much is it?", "", "no_answer"),
        ("How much is it?", "——", "no_answer"),
        ("How much is it?", "???", "no_answer"),
        ("How many stars has it?", "★★★☆☆", ""),
        ("Is it included?", "✓", ""),
        ("Which sign is it?", "+", ""),
        ("What is the limit?", "∞", ""),
        ("有年费吗？", "无", ""),
        ("???", "Five.", "no_question"),
        ("Fee?", "fee", "echo"),
        ("x " * 1500, "Five.", "too_long"),
    ],
)
def test_what_teaches_nothing(question: str, answer: str, reason: str) -> None:
    """Greetings, identity checks and placeholders are told from questions and from statements with an answer."""
    assert worthless(question, answer, talk=True) == reason
    assert not reason or reason in DROPS


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("card 4111 1111 1111 1111.", "card [CARD]."),
        ("card 4111-1111-1111-1112", "card 4111-1111-1111-1112"),
        ("a.b+c@mail.example.org!", "[EMAIL]!"),
        ("身份证号是11010519491231002X，", "身份证号是[ID]，"),
        ("身份证号是110105194912310021，", "身份证号是[ID]，"),
        ("文件110105194912310021，", "文件110105194912310021，"),
        ("ssn 078-05-1120", "ssn [ID]"),
        ("ssn 000-05-1120", "ssn 000-05-1120"),
        ("DE89 3704 0044 0532 0130 00,", "[IBAN],"),
        ("GB81 WEST 1234 5698 7654 32", "GB81 WEST 1234 5698 7654 32"),
        ("手机13800138000或010-12345678", "手机[PHONE]或[PHONE]"),
        ("555-0148, (555) 123-4567, +44 20 7946 0958", "[PHONE], [PHONE], [PHONE]"),
        ("My name is Desmond Akerley and", "My name is [NAME] and"),
        ("This is Joan Pettifer, hello. Joan Pettifer here", "This is [NAME], hello. [NAME] here"),
        ("我叫罗小满，您好", "我叫[NAME]，您好"),
        ("This is Monday morning", "This is Monday morning"),
        ("born on 4 May 1961.", "born on [BIRTHDAY]."),
        ("costs 1,250.50 dollars on 2025-01-31 at 16:25, code 07-31-86", None),
        ("the rate is 4.35 % for 29 months, order 123456789", None),
    ],
)
def test_personal_data_becomes_placeholders(text: str, masked: str | None) -> None:
    """Valid personal data is masked; figures, dates, codes and unnamed numbers with wrong check sums stay."""
    assert mask(text, Public()) == (text if masked is None else masked)


def test_public_facts_survive() -> None:
    """The organisation's own phone, mail and people are not masked, however they are written."""
    public = Public.of(["Call 555-0100 or write to Desk@Example.org. Marisol Tenbrook leads."])
    text = "Is 555 0100 right? I wrote desk@example.org. My name is Marisol Tenbrook. Mine is 555-0148."
    counts: Counter[str] = Counter()
    assert mask(text, public, counts=counts).count("[") == 1
    assert dict(counts) == {"PHONE": 1}


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (
            "Yes. Hans Gruber (SSN 536-22-1234, hg@mail.example) got his money.",
            "Yes. [NAME] (SSN [ID], [EMAIL]) got his money.",
        ),
        ("Our client Maria Lopez, 415-555-2671, was paid.", "Our client [NAME], [PHONE], was paid."),
        ("Hans Gruber, a customer since 2010, reads hg@mail.example.", "[NAME], a customer since 2010, reads [EMAIL]."),
        ("She lives at 12 Rosewood Lane, Harwick.", "She lives at [ADDRESS]."),
        ("客户张伟的手机号是13800138000，已登记。", "客户[NAME]的手机号是[PHONE]，已登记。"),
        (
            "张伟（身份证11010519491231002X，手机13800138000，住北京市朝阳区建国路88号院3号楼2单元1501室）已获贷款。",
            "[NAME]（身份证[ID]，手机[PHONE]，住[ADDRESS]）已获贷款。",
        ),
        ("The first password is Hx72!kdk9, the account DE89 3704 0044 0532 0130 00.", None),
        ("Call 400-820-8888 or desk@bank.example; we are at 12 Harbour Street, Porthaven.", ""),
        ("Ask our branch manager Marisol Tenbrook, 555-0148.", ""),
        ("Our sort code is 07-31-86.", ""),
        ("Marisol Tenbrook, customer service manager, 555-0148, will help.", ""),
        ("总行地址：北京市西城区金融大街1号，客服热线010-66001234，客户经理王芳手机13900139000。", ""),
    ],
)
def test_what_tells_of_a_private_person_publishes_nothing(text: str, masked: str | None) -> None:
    """A hotline, an office and a manager are facts; clients, homes, papers, accounts and passwords never are."""
    found = mask(text, Public.of([text]))
    assert found == (masked or text if masked is not None else "The first password is [SECRET], the account [IBAN].")


def test_the_question_tells_of_whom_the_answer_speaks() -> None:
    """What answers a question about a client publishes nothing, either."""
    public = Public.of([], [("What about the client Hans Gruber?", "We called him at 415-555-2671.")])
    assert mask("Call 415-555-2671.", public) == "Call [PHONE]."
    assert mask("Call 415-555-2671.", Public.of([], [("And now?", "Call 415-555-2671.")])) == "Call 415-555-2671."


@given(st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_masking_never_raises(text: str) -> None:
    """Masking any text gives text; masking it again changes nothing for plain numbers."""
    assert isinstance(mask(text, Public()), str)


@given(st.integers(10**12, 10**19 - 1))
@settings(max_examples=200, deadline=None)
def test_masked_cards_pass_luhn(number: int) -> None:
    """A number alone is masked as a card exactly if its check digit is right (resident ids aside)."""
    digits = [int(char) for char in reversed(str(number))]
    total = sum(digits[::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    assert ("[CARD]" in mask(f"no {number}.", Public())) == (total % 10 == 0 and len(set(digits)) > 1) or len(
        digits
    ) == 18
