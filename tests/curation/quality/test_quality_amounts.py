"""What answers are worth: equal amounts agree however they are written, other ones contradict."""

from __future__ import annotations

from feilun.curation.quality.figures.questions import answer, clash, question


def test_equal_amounts_are_no_contradiction() -> None:
    """Numbers, times, money and measures are compared by what they are worth, however they are written."""
    same = [
        ("$5.00", "$5"),
        ("3万元", "30000元"),
        ("百分之三点五", "3.5%"),
        ("1.5 million", "1500000"),
        ("两周", "14天"),
        ("十二个月", "一年"),
        ("九点到五点", "9:00-17:00"),
        ("The fee is $5.", "It costs five dollars."),
        ("1.000,50 €", "1000.50 €"),
        ("It is 5%.", "It is 0.05."),
        ("9 am", "9:00"),
        ("5-7 days", "5 to 7 days"),
        ("24/7", "24 hours a day, 7 days a week"),
        ("三万五", "35000"),
        ("3万5千", "35000"),
        ("一百二", "120"),
        ("一千零五元", "1005元"),
        ("半年", "6个月"),
        ("两年半", "30 months"),
        ("一个半小时", "90 minutes"),
        ("2.5 hours", "two and a half hours"),
        ("1½ hours", "90 minutes"),
        ("三分之一", "1/3"),
        ("下午五点", "17:00"),
        ("五点", "下午5点"),
        ("5 pm", "17:00"),
        ("5:00", "5 pm"),
        ("九点半", "9:30"),
        ("-5度", "零下五度"),
        ("It is minus five degrees.", "It is -5 degrees."),
        ("5 degrees below zero", "-5 degrees"),
        ("$-5.00", "-$5"),
        ("10⁶", "1000000"),
        ("400-820-8888", "400 820 8888"),
        ("010-12345678", "01012345678"),
        ("021-55512345", "（021）5551-2345"),
        ("three to five weeks", "3-5 weeks"),
        ("5 March 2024", "2024-03-05"),
        ("三月八日", "2024-03-08"),
        ("会员日是3月8日", "2024年3月8日"),
        ("1.5公里", "1500米"),
        ("two hundred and fifty", "250"),
        ("1,00,000", "100000"),
        ("100 thousand", "100k"),
        ("七个工作日", "7个工作日"),
        ("within a week", "within 7 days"),
        ("★★★☆☆", "3 stars"),
        ("Yes.", "是的"),
        ("✓", "yes"),
        ("3至5万元", "30000-50000元"),
        ("$5-7", "5 to 7 dollars"),
        ("50 cents", "$0.50"),
        ("三十天", "一个月"),
        ("noon", "12:00"),
        ("1 000 000 euros", "€1,000,000"),
        ("百分之五十", "50 per cent"),
        ("上午九点", "9 a.m."),
        ("八点零五分", "8:05"),
        ("晚上8点", "20:00"),
        ("¥200", "200元"),
        ("3.0", "3"),
        ("十", "10"),
        ("二十", "20"),
        ("twelve months", "1 year"),
    ]
    assert [pair for pair in same if clash(answer(pair[0]), answer(pair[1])) != ("", "")] == []


def test_signs_units_and_ticks_contradict() -> None:
    """A minus, a tick, a unit, half a day or a grade makes another answer, though the words are the same."""
    other = [
        ("The fee is $5.", "The fee is $7."),
        ("It is -5 degrees.", "It is 5 degrees."),
        ("温度是-5度", "温度是5度"),
        ("设定为-5度。", "设定为5度。"),
        ("✓", "✗"),
        ("✗ Harbour ✓ Valley", "✓ Harbour ✗ Valley"),
        ("★★★", "★★★★★"),
        ("七天", "七小时"),
        ("9 am", "9 pm"),
        ("9:00", "21:00"),
        ("$5", "€5"),
        ("5%", "5元"),
        ("两周", "15天"),
        ("一年", "13个月"),
        ("C#", "C++"),
        ("O+", "O-"),
        ("三万五", "30005"),
        ("3.5%", "35%"),
        ("within a week", "within 14 days"),
        ("3月8日", "6月8日"),
        ("5 March 2024", "6 March 2024"),
        ("三月五日", "三月六日"),
        ("九点到五点", "9:00-18:00"),
        ("Yes.", "No."),
        ("-3.2", "3.2"),
        ("零下五度", "五度"),
        ("1.5 million", "1.6 million"),
        ("第三扇门", "第四扇门"),
        ("退款期限为七天。", "14天内可以退款。"),
    ]
    assert [pair for pair in other if clash(answer(pair[0]), answer(pair[1]))[0] in {"", "different"}] == []
    for one, two in (("Is an O+ donor found?", "Is an O- donor found?"), ("冷藏柜-5度？", "冷藏柜5度？")):
        assert question(one) != question(two)


def test_amounts_are_told_with_their_units() -> None:
    """What is shown of a contradiction is what is said, with its unit."""
    assert clash(answer("保修12个月。"), answer("保修两年。")) == ("numbers", "12个月 ≠ 2年")
    assert clash(answer("It costs $5."), answer("It costs 7 dollars.")) == ("numbers", "$5 ≠ 7 dollars")


def test_endless_numerals_do_no_harm() -> None:
    """Numerals of thousands of characters are answered like others."""
    endless = ["一", "亿", "一亿", "9", "1,000", "3点", "one hundred ", "10^99", "9:00-", "1/2 "]
    assert all(clash(answer(each * 4000), answer("5"))[0] in {"", "numbers", "different"} for each in endless)
