"""Made-up personal data with right check sums, and numbers that look like it and are not.

This module knows how numbers are issued. It does not know the finder: it shares no code with it, so that a mistake of
one is not a mistake of both. Nobody is meant: all of it is drawn at random.
"""

from __future__ import annotations

import string
from random import Random

from feilun.curation.personal.spans import words

REGIONS = words("""
110101 120104 130102 210202 230103 310115 320106 330108 340111 350203 370203 410105 420106 430104 440305 450103
500112 510107 530102 610113 650102
""")
HEADS = words("""
130 131 132 133 135 136 137 138 139 147 150 151 152 155 156 157 158 159 166 173 175 176 177 178 180 181 182 183
185 186 187 188 189 191 193 198 199
""")
AREAS = words("""
010 020 021 022 023 024 025 027 028 029 0311 0371 0411 0431 0451 0512 0531 0571 0591 0731 0755 0771 0851 0871
0898 0931
""")
FAMILY = (
    (
        "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林罗高郑梁谢宋唐许韩冯邓曹彭曾萧田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢"
        "姚沈钟姜崔谭陆范汪廖石金韦贾夏付方邹熊白孟秦邱侯江尹薛闫雷龙黎史陶贺毛段郝顾龚邵覃武钱戴严莫孔向常汤"
    )
    .replace("于", "")
    .replace("向", "")
)
MALE = words("""
伟 强 磊 军 洋 勇 杰 涛 明 超 刚 平 辉 鹏 飞 斌 波 浩然 子轩 志强 建国 建华 文博 俊杰 宇航 天佑 嘉豪 国栋 永康
世杰 德胜 振华 立新 明远 思远 一鸣 承志 家辉
""")
FEMALE = words("""
芳 娜 敏 静 丽 艳 娟 霞 燕 玲 婷 雪 秀英 桂兰 玉梅 丽华 晓燕 梦瑶 诗涵 雨桐 欣怡 佳琪 若曦 思琪 雅婷 慧敏 婉清
淑珍 春梅 海燕 紫萱 可馨
""")
CITY = {
    "北京市": ("朝阳区", "海淀区", "西城区"),
    "上海市": ("浦东新区", "徐汇区", "静安区"),
    "广东省广州市": ("天河区", "越秀区"),
    "广东省深圳市": ("南山区", "福田区"),
    "浙江省杭州市": ("西湖区", "余杭区"),
    "四川省成都市": ("锦江区", "武侯区"),
    "湖北省武汉市": ("洪山区", "江岸区"),
    "江苏省南京市": ("鼓楼区", "玄武区"),
    "陕西省西安市": ("雁塔区", "碑林区"),
    "山东省青岛市": ("市南区", "崂山区"),
    "重庆市": ("渝中区", "江北区"),
    "河南省郑州市": ("金水区", "二七区"),
    "福建省厦门市": ("思明区", "湖里区"),
    "辽宁省沈阳市": ("和平区", "沈河区"),
}
ROADS = words("""
人民路 中山路 解放路 建设大街 和平路 文化路 学院路 长江路 新华街 滨河大道 青年路 胜利巷 迎宾大道 凤凰街 科技二路
梧桐巷 翠微路 光明街
""")
ESTATES = ["阳光花园", "锦绣家园", "万科城市花园", "金地小区", "翠湖公寓", "书香门第小区", "碧水新村", "幸福里小区"]
PLATES = "京津沪渝冀豫云辽黑湘皖鲁苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
BASE31 = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def digits(rng: Random, count: int, first: str = "") -> str:
    """Return ``count`` digits that begin with ``first``."""
    return first + "".join(rng.choice(string.digits) for _ in range(count - len(first)))


def _check_id(body: str) -> str:
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return "10X98765432"[sum(w * int(c) for w, c in zip(weights, body, strict=True)) % 11]


def resident(rng: Random) -> str:
    """Return a resident ID."""
    born = f"{rng.randint(1940, 2015)}{rng.randint(1, 12):02}{rng.randint(1, 28):02}"
    body = rng.choice(REGIONS) + born + digits(rng, 3)
    return body + _check_id(body)


def wrong_resident(rng: Random) -> str:
    """Return a resident ID with a wrong check character."""
    right = resident(rng)
    return right[:17] + rng.choice([c for c in "0123456789X" if c != right[17]])


def _luhn(body: str) -> int:
    total = sum(sum(divmod(int(c) * (2 if n % 2 == 0 else 1), 10)) for n, c in enumerate(reversed(body)))
    return -total % 10


def card(rng: Random) -> str:
    """Return the number of a bank card."""
    head, size = rng.choice(
        [
            ("6222", 19),
            ("6217", 19),
            ("6228", 19),
            ("6225", 16),
            ("6214", 19),
            ("4563", 16),
            ("5187", 16),
            ("6227", 19),
            ("9558", 19),
        ]
    )
    body = digits(rng, size - 1, head)
    return body + str(_luhn(body))


def wrong_card(rng: Random) -> str:
    """Return a card's number with a wrong check digit."""
    right = card(rng)
    return right[:-1] + str((int(right[-1]) + rng.randint(1, 9)) % 10)


def mobile(rng: Random) -> str:
    """Return a Chinese mobile number."""
    return digits(rng, 11, rng.choice(HEADS))


def landline(rng: Random) -> str:
    """Return a Chinese landline number as people write it."""
    area = rng.choice(AREAS)
    size = 8 if len(area) == 3 or rng.random() < 0.5 else 7
    number = rng.choice("5678") + digits(rng, size - 1)
    return rng.choice([f"{area}-{number}", f"{area}-{number}", f"（{area}）{number}", f"{area} {number}"])


def credit(rng: Random) -> str:
    """Return a unified social credit code."""
    body = rng.choice(["91", "92", "12", "52"]) + rng.choice(REGIONS) + "".join(rng.choice(BASE31) for _ in range(9))
    return body + BASE31[-sum(BASE31.index(c) * pow(3, n, 31) for n, c in enumerate(body)) % 31]


def plate(rng: Random) -> str:
    """Return a vehicle plate, of a new-energy car one time in three."""
    head = rng.choice(PLATES) + rng.choice("ABCDEFGH")
    if rng.random() < 0.34:
        tail = rng.choice("DF") + rng.choice("ABCDEFGHJK0123456789") + digits(rng, 4)
    else:
        tail = "".join(
            rng.choice("ABCDEFGHJKLMNPQRSTUVWXYZ") if n in rng.sample(range(5), 1) else rng.choice(string.digits)
            for n in range(5)
        )
        tail = tail if sum(c.isdigit() for c in tail) > 1 else digits(rng, 5)
    return head + rng.choice(["", "", "·"]) + tail


def passport(rng: Random) -> str:
    """Return a Chinese passport number."""
    return (
        rng.choice(["E", "G"]) + digits(rng, 8)
        if rng.random() < 0.6
        else "E" + rng.choice("ABCDEFGHJ") + digits(rng, 7)
    )


def permit(rng: Random) -> str:
    """Return a permit for Hong Kong and Macau, or a permit of their people for the mainland."""
    return rng.choice("CHM") + digits(rng, 8)


def hong_kong(rng: Random) -> str:
    """Return a Hong Kong ID."""
    letter, body = rng.choice("ACDGHKPRYZ"), digits(rng, 6)
    total = 9 * 36 + 8 * (ord(letter) - 55) + sum(w * int(c) for w, c in zip(range(7, 1, -1), body, strict=True))
    return f"{letter}{body}({'0123456789A'[-total % 11]})"


def mailbox(rng: Random) -> str:
    """Return an e-mail address."""
    name = "".join(rng.choice(string.ascii_lowercase) for _ in range(rng.randint(3, 8)))
    return (
        name
        + rng.choice(["", digits(rng, 3), "." + rng.choice("abcxyz"), "_" + digits(rng, 2)])
        + "@"
        + rng.choice(["qq.com", "163.com", "example.cn", "mail.example.com.cn", "foxmail.com"])
    )


def address(rng: Random) -> str:
    """Return a postal address."""
    city = rng.choice(sorted(CITY))
    text = city + rng.choice(CITY[city]) + rng.choice(ROADS) + str(rng.randint(1, 999)) + "号"
    if rng.random() < 0.6:
        text += (
            rng.choice(["", rng.choice(ESTATES)])
            + f"{rng.randint(1, 30)}{rng.choice(['号楼', '栋', '幢'])}"
            + rng.choice(["", f"{rng.randint(1, 6)}单元"])
            + f"{rng.randint(1, 30)}0{rng.randint(1, 9)}"
            + rng.choice(["室", ""])
        )
    return text


def person(rng: Random) -> str:
    """Return a name."""
    return rng.choice(FAMILY) + rng.choice(MALE + FEMALE)


def ip(rng: Random) -> str:
    """Return an IPv4 address, or an IPv6 one."""
    if rng.random() < 0.2:
        return "2408:" + ":".join(f"{rng.randint(1, 65535):x}" for _ in range(7))
    return ".".join(str(rng.randint(1, 254)) for _ in range(4))


def mac(rng: Random) -> str:
    """Return a MAC address."""
    return rng.choice(":-").join(f"{rng.randint(0, 255):02X}" for _ in range(6))


def secret(rng: Random) -> str:
    """Return a key as services issue them."""
    letters = string.ascii_letters + string.digits
    tail = "".join(rng.choice(letters) for _ in range(36))
    return rng.choice(
        [
            "sk-" + tail,
            "ghp_" + tail,
            "AKIA" + tail[:16].upper(),
            "xoxb-" + digits(rng, 11) + "-" + tail[:24],
            "LTAI" + tail[:20],
        ]
    )


def password(rng: Random) -> str:
    """Return a password."""
    letters = string.ascii_letters + string.digits + "!@#$%&*"
    return rng.choice(string.ascii_letters) + "".join(rng.choice(letters) for _ in range(8)) + digits(rng, 2)


def birthday(rng: Random) -> str:
    """Return a date of birth."""
    year, month, day = rng.randint(1945, 2018), rng.randint(1, 12), rng.randint(1, 28)
    return rng.choice(
        [
            f"{year}年{month}月{day}日",
            f"{year}-{month:02}-{day:02}",
            f"{year}/{month}/{day}",
            f"{year}.{month:02}.{day:02}",
        ]
    )


def iban(rng: Random) -> str:
    """Return a German IBAN."""
    body = digits(rng, 18)
    check = 98 - int(body + "131400") % 97
    whole = f"DE{check:02}{body}"
    return whole if rng.random() < 0.5 else " ".join(whole[n : n + 4] for n in range(0, 22, 4))


def isbn(rng: Random) -> str:
    """Return an ISBN-13."""
    body = digits(rng, 12, "9787")
    check = -sum(int(c) * (3 if n % 2 else 1) for n, c in enumerate(body)) % 10
    whole = body + str(check)
    return rng.choice([whole, f"{whole[:3]}-{whole[3]}-{whole[4:8]}-{whole[8:12]}-{whole[12]}"])
