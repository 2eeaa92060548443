"""The operators of this room by name, each with its reasons in plain words and where the idea comes from.

This module knows what operators tell people. It does not know how any of them works.
"""

from __future__ import annotations

from typing import Any

from feilun.curation.repair.language import LANGUAGES, Language
from feilun.curation.repair.marks import Anticopy, Lost
from feilun.curation.repair.mojibake import Mojibake
from feilun.curation.repair.normalise import Normalise
from feilun.curation.repair.page import Furniture, Spam
from feilun.curation.repair.script import Script
from feilun.curation.repair.seo import Seo
from feilun.curation.repair.spun import Spun
from feilun.curation.seam import Operator, Parameter, Surroundings


def _making(kind: type) -> Any:
    def make(surroundings: Surroundings, **parameters: Any) -> Any:
        del surroundings
        return kind(**parameters)

    return make


_NORMALISE = Operator(
    "normalise",
    1,
    ("One spelling of characters, spaces and line ends.", "统一字符写法、空格和换行。"),
    "Unicode Standard Annex 15 (NFC); GB/T 15834-2011 on full-width marks",
    {
        "line_ends": ("Line ends were made one kind.", "统一了换行符。"),
        "control": ("Control characters were removed.", "删除了控制字符。"),
        "invisible": ("Invisible characters were removed.", "删除了不可见字符。"),
        "lookalike": ("Radicals that look like characters became characters.", "把形似汉字的部首换成了汉字。"),
        "width": ("Full-width letters and digits became plain ones.", "全角字母和数字改成了半角。"),
        "spaces": ("Odd and needless spaces were made plain.", "整理了特殊和多余的空格。"),
        "composed": ("Letters and their accents were joined.", "合并了字母与附加符号。"),
    },
    _making(Normalise),
    {
        "width": Parameter(
            "letters",
            (
                "What becomes half-width: letters and digits, all marks too, or nothing.",
                "哪些全角字符改为半角：字母数字、全部或不改。",
            ),
            choices=("letters", "all", "keep"),
        )
    },
)
_MOJIBAKE = Operator(
    "mojibake",
    1,
    ("Text read in a wrong encoding is read in the right one.", "修复因编码误读产生的乱码。"),
    "ftfy (Speer 2019) for Western text; GB 18030-2005, Big5 and RFC 3629 for Chinese",
    {
        "utf8_as_latin": ("UTF-8 had been read as a Western encoding.", "UTF-8 曾被当作西文编码读取，已还原。"),
        "gbk_as_latin": ("GBK had been read as a Western encoding.", "GBK 曾被当作西文编码读取，已还原。"),
        "wrong_encoding": ("A Chinese encoding had been mistaken for another.", "中文编码曾被认错，已还原。"),
        "lost": ("Some characters cannot be known any more.", "部分字符已无法还原。"),
    },
    _making(Mojibake),
)
_SCRIPT = Operator(
    "script",
    2,
    ("Mixed or mechanically converted Chinese becomes one script.", "把繁简混用或机械转换的中文统一为一种字形。"),
    "OpenCC's tables; 通用规范汉字表 (2013)",
    {
        "mechanical": ("A mechanical conversion from Simplified was undone.", "还原了由简体机械转换成的繁体。"),
        "mixed": ("Simplified and Traditional were mixed.", "繁简混用，已统一。"),
        "converted": ("The text was converted as asked.", "已按要求转换繁简。"),
    },
    _making(Script),
    {
        "to": Parameter(
            "auto",
            (
                "The script to convert to; auto takes what most of the text is.",
                "转换成哪种字形；auto 取文中占多数的一种。",
            ),
            choices=("auto", "simplified", "traditional"),
        ),
        "when": Parameter(
            "needed",
            ("Only texts that are mixed or mechanically converted, or all.", "只转换混用或机械转换的文本，还是全部。"),
            choices=("needed", "always"),
        ),
    },
)
_ANTICOPY = Operator(
    "anticopy",
    1,
    ("Marks put in against copying are removed; glosses stay.", "删除防复制插入的拼音和符号，保留真正的注释。"),
    "Observed on Chinese pages of 2023: readings put into GBK bytes; Unicode UTS 39 (confusables)",
    {
        "reading": ("Inserted readings (pinyin, Zhuyin) were removed.", "删除了插入的拼音或注音。"),
        "realigned": ("Characters cut in halves by the marks were put together.", "拼合了被插入标记截断的汉字。"),
        "hidden": ("Invisible marks between characters were removed.", "删除了汉字之间的不可见标记。"),
        "signs": ("Signs between all characters were removed.", "删除了逐字插入的符号。"),
        "lookalike": ("Lookalike letters of other alphabets were replaced.", "替换了混入的形近字母。"),
    },
    _making(Anticopy),
)
_LOST = Operator(
    "lost",
    1,
    ("Texts in which characters are missing are flagged.", "标出缺字的文本。"),
    "Observed: U+FFFD, boxes, question marks between characters, doubled or stranded marks",
    {"lost": ("Characters seem to be missing here.", "此处疑似缺字。")},
    _making(Lost),
    {"least": Parameter(1, ("Places from which a text is flagged.", "至少几处才标出。"), 1, 1000)},
)
_FURNITURE = Operator(
    "furniture",
    4,
    ("Site furniture around the text is removed.", "删除正文以外的网站栏目文字。"),
    "Kohlschütter et al. 2010 (shallow text features); lines shared by documents as in CCNet (Wenzek et al. 2020)",
    {
        "navigation": ("Menus, breadcrumbs and buttons.", "导航、面包屑和按钮。"),
        "sharing": ("Rows to share, follow or subscribe.", "分享、关注、订阅。"),
        "comments": ("Comments and their form.", "评论区。"),
        "advertising": ("Advertising labels.", "广告标记。"),
        "numbers": ("Counters and dates of the page.", "页面计数和日期。"),
        "related": ("Lists of other articles and what stands below them.", "相关文章列表及其后的内容。"),
        "about": ("Editors, tags and author boxes.", "编辑、标签和作者栏。"),
        "rights": ("Copyright and reprint notices.", "版权与转载声明。"),
        "disclaimer": ("Disclaimers.", "免责声明。"),
        "cookies": ("Cookie and privacy notices.", "Cookie 与隐私提示。"),
        "contact": ("Hotlines and addresses of the site.", "网站热线和地址。"),
        "title": ("The title once more, as the text of pictures.", "图片说明中重复的标题。"),
        "shared": ("A line that many documents share.", "多个文档共有的行。"),
    },
    _making(Furniture),
    {"share": Parameter(0.1, ("Share of documents that have a line.", "多大比例的文档含有同一行。"), 0.001, 1.0)},
)
_SPAM = Operator(
    "spam",
    2,
    ("Lists of spam before, behind or between the lines are cut.", "切除正文前后或行间的垃圾信息。"),
    "Observed on hacked pages (adult and gambling link lists); Ntoulas et al. 2006 on keyword stuffing",
    {"spam": ("A list of spam was cut at this place.", "在此处切除了垃圾信息。")},
    _making(Spam),
)
_LANGUAGE = Operator(
    "language",
    2,
    ("The language of each row, with the variant of Chinese.", "识别每行的语言和中文变体。"),
    "Unicode scripts; small words of thirteen languages; characters of written Cantonese",
    {
        "language": ("The language was told.", "已识别语言。"),
        "unwanted": ("The row is in another language than wanted.", "语言不在所需范围内。"),
    },
    _making(Language),
    {
        "only": Parameter(
            (),
            ("Languages that are wanted (zh, en, zh-Hant …); none for all.", "所需语言；留空表示全部。"),
            choices=LANGUAGES,
        )
    },
)
_SPUN = Operator(
    "spun",
    1,
    ("Text in which a machine swapped words is flagged.", "标出机器替换近义词的洗稿文本。"),
    "Cabanac, Labbé & Magazinov 2021 (tortured phrases); swaps observed on spun Chinese pages",
    {
        "spun": ("Words were swapped by a machine; see the odd ones.", "疑似机器洗稿，见列出的怪词。"),
        "tortured": ("Tortured phrases stand for usual terms.", "常用术语被换成了怪异说法。"),
    },
    _making(Spun),
    {"least": Parameter(0.5, ("Score from which a row is flagged.", "达到多少分才标出。"), 0.1, 1.0)},
)
_SEO = Operator(
    "seo",
    2,
    ("Pages written for search engines are flagged.", "标出为搜索引擎堆砌的页面。"),
    "Ntoulas et al. 2006 (Detecting spam web pages through content analysis)",
    {"seo": ("A phrase is stuffed, or sentences come from a template.", "关键词堆砌或模板句。")},
    _making(Seo),
    {"least": Parameter(0.5, ("Score from which a row is flagged.", "达到多少分才标出。"), 0.1, 1.0)},
)

OPERATORS: tuple[Operator, ...] = (
    _NORMALISE,
    _MOJIBAKE,
    _ANTICOPY,
    _SCRIPT,
    _SPAM,
    _FURNITURE,
    _LOST,
    _LANGUAGE,
    _SPUN,
    _SEO,
)
