"""Names of provinces, cities, countries and kinds of streets: public facts of geography.

This module knows names only. It does not know texts.
"""

from __future__ import annotations

import re

from feilun.curation.personal.spans import words

PROVINCES = words("""
北京 天津 上海 重庆 河北 山西 辽宁 吉林 黑龙江 江苏 浙江 安徽 福建 江西 山东 河南 湖北 湖南 广东 海南 四川 贵州
云南 陕西 甘肃 青海 台湾 内蒙古 广西 西藏 宁夏 新疆 香港 澳门
""")
CITIES = words("""
石家庄 唐山 秦皇岛 邯郸 邢台 保定 张家口 承德 沧州 廊坊 衡水 太原 大同 阳泉 长治 晋城 朔州 晋中 运城 忻州 临汾
吕梁 呼和浩特 包头 乌海 赤峰 通辽 鄂尔多斯 呼伦贝尔 巴彦淖尔 乌兰察布 沈阳 大连 鞍山 抚顺 本溪 丹东 锦州 营口
阜新 辽阳 盘锦 铁岭 葫芦岛 长春 四平 辽源 通化 白山 松原 白城 延边 哈尔滨 齐齐哈尔 鸡西 鹤岗 双鸭山 大庆 伊春
佳木斯 七台河 牡丹江 黑河 绥化 南京 无锡 徐州 常州 苏州 南通 连云港 淮安 盐城 扬州 镇江 泰州 宿迁 杭州 宁波 温州
嘉兴 湖州 绍兴 金华 衢州 舟山 台州 丽水 合肥 芜湖 蚌埠 淮南 马鞍山 淮北 铜陵 安庆 黄山 滁州 阜阳 宿州 六安 亳州
池州 宣城 福州 厦门 莆田 三明 泉州 漳州 南平 龙岩 宁德 南昌 景德镇 萍乡 九江 新余 鹰潭 赣州 吉安 宜春 抚州 上饶
济南 青岛 淄博 枣庄 东营 烟台 潍坊 济宁 泰安 威海 日照 临沂 德州 聊城 滨州 菏泽 郑州 开封 洛阳 平顶山 安阳 鹤壁
新乡 焦作 濮阳 许昌 漯河 三门峡 南阳 商丘 信阳 周口 驻马店 济源 武汉 黄石 十堰 宜昌 襄阳 鄂州 荆门 孝感 荆州
黄冈 咸宁 随州 恩施 长沙 株洲 湘潭 衡阳 邵阳 岳阳 常德 张家界 益阳 郴州 永州 怀化 娄底 湘西 广州 韶关 深圳 珠海
汕头 佛山 江门 湛江 茂名 肇庆 惠州 梅州 汕尾 河源 阳江 清远 东莞 中山 潮州 揭阳 云浮 南宁 柳州 桂林 梧州 北海
防城港 钦州 贵港 玉林 百色 贺州 河池 来宾 崇左 海口 三亚 儋州 成都 自贡 攀枝花 泸州 德阳 绵阳 广元 遂宁 内江
乐山 南充 眉山 宜宾 广安 达州 雅安 巴中 资阳 贵阳 六盘水 遵义 安顺 毕节 铜仁 昆明 曲靖 玉溪 保山 昭通 丽江 普洱
临沧 大理 红河 文山 拉萨 日喀则 西安 铜川 宝鸡 咸阳 渭南 延安 汉中 榆林 安康 商洛 兰州 嘉峪关 金昌 白银 天水
武威 张掖 平凉 酒泉 庆阳 定西 陇南 西宁 海东 银川 石嘴山 吴忠 固原 中卫 乌鲁木齐 克拉玛依 吐鲁番 哈密 喀什 伊犁
昌吉 昆山 义乌 晋江 江阴 常熟 张家港 慈溪 诸暨 台北 高雄 台中 新北 桃园 台南 九龙
""")
REGION = re.compile("|".join(sorted({*PROVINCES, *CITIES}, key=lambda name: (-len(name), name))))

COUNTRIES = frozenset(
    words("""
Afghanistan Albania Algeria Andorra Angola Argentina Armenia Australia Austria Azerbaijan Bahamas Bahrain
Bangladesh Barbados Belarus Belgium Belize Benin Bhutan Bolivia Bosnia Botswana Brazil Brunei Bulgaria
Burkina_Faso Burundi Cambodia Cameroon Canada Cape_Verde Central_African_Republic Chile China Colombia Comoros
Congo Costa_Rica Croatia Cuba Cyprus Czech_Republic Czechia Denmark Djibouti Dominica Dominican_Republic
East_Timor Ecuador Egypt El_Salvador England Equatorial_Guinea Eritrea Estonia Eswatini Ethiopia Fiji Finland
France Gabon Gambia Germany Ghana Greece Greenland Grenada Guatemala Guinea Guinea-Bissau Guyana Haiti Honduras
Hong_Kong Hungary Iceland India Indonesia Iran Iraq Ireland Israel Italy Ivory_Coast Jamaica Japan Kazakhstan
Kenya Kiribati Kosovo Kuwait Kyrgyzstan Laos Latvia Lebanon Lesotho Liberia Libya Liechtenstein Lithuania
Luxembourg Macau Macedonia Madagascar Malawi Malaysia Maldives Mali Malta Marshall_Islands Mauritania Mauritius
Mexico Micronesia Moldova Monaco Mongolia Montenegro Morocco Mozambique Myanmar Namibia Nauru Nepal Netherlands
New_Zealand Nicaragua Niger Nigeria North_Korea Northern_Ireland Norway Oman Pakistan Palau Palestine Panama
Papua_New_Guinea Paraguay Peru Philippines Poland Portugal Puerto_Rico Qatar Romania Russia Rwanda Saint_Lucia
Samoa San_Marino Saudi_Arabia Scotland Senegal Serbia Seychelles Sierra_Leone Singapore Slovakia Slovenia
Solomon_Islands Somalia South_Africa South_Korea South_Sudan Spain Sri_Lanka Sudan Suriname Sweden Switzerland
Syria Taiwan Tajikistan Tanzania Thailand Togo Tonga Trinidad_and_Tobago Tunisia Turkey Turkmenistan Tuvalu
Uganda Ukraine United_Arab_Emirates United_Kingdom United_States USA UK Uruguay Uzbekistan Vanuatu Vatican_City
Venezuela Vietnam Wales Yemen Zambia Zimbabwe London Paris New_York Los_Angeles Chicago Boston Texas California
Florida Washington San_Francisco Seattle Berlin Madrid Rome Tokyo Sydney Toronto Europe Asia Africa
""")
)
STREETS = (
    "street|st|road|rd|avenue|ave|boulevard|blvd|lane|ln|drive|dr|court|ct|place|pl|square|sq|terrace"
    "|way|highway|hwy|parkway|pkwy|close|crescent|gardens|grove|"
    "mews|row|hill|trail|circle|cir|alley|quay|walk"
)
ABROAD = (  # how streets are called where people write their addresses in Latin letters
    "straat|strasse|straße|stræde|gata|gatan|gate|gade|vej|veien|vägen|laan|weg|gasse|platz|plein|utca"
    "|körút|ulica|ulice|rue|"
    "via|calle|avenida|rua|allee|allée|chemin|place|piazza|plaza|tee|tie|katu|kuja|út|útja|útca"
)
