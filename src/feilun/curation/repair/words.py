"""What machines that swap words leave behind: swaps inside words, words nobody uses in that place, broken idioms.

The swaps are those that readers of spun Chinese pages know (得 -> 患上, 观 -> 不雅, 大 -> 年夜, 对 -> 对于, 人工智能 ->
家养智能), and the "tortured phrases" of Cabanac, Labbé & Magazinov 2021 (arXiv 2107.06751) for English. This module
does not know how they are weighed.
"""

from __future__ import annotations

# Swapped without looking at the word around, and broken terms: sound text has none of these, or once by chance.
INSIDE_WORDS = (
    "[做占使觉变获取值显快好记免懂舍赢博懒难晓落]患上|患上[很更不到出多好快以过去来越了]|[显变来快长]患上",
    "[悲乐主客宏微直参围旁景奇大壮美]不雅|不雅[点众察念看光测赏摩望感照]",
    "年夜[学量型家多数小概约师力众厦会楼陆使胆意幅批夫气部]|[很最扩重强庞广巨伟较更高放增浩宏盛远]年夜(?!饭)",
    "[针敌核派校]对于|反对于的|对于[象应话抗比手策付称立](?=[的，。、是了])",
    "以及[谐睦蔼]|[暖温柔饱缓]以及|每一每一|每一(?:况|当|逢|天都|年都)",
    (
        "多少(?:乎|率|何图|何学|十[余多年场个]|百[余多年个]|千[余多年个])|都市(?:酿成|是一|让你|大张)|看赴任|赴任异"
        "|其后者|实事实际"
    ),
    (
        "家养智能|天生式|大模子|狂语言|语言模子|机械进修|深度进修|野生智能|家养神经|神经收集|操作零星|花难题|难题工具"
        "|有性命力|收集平安|收集宁静"
    ),
    (
        "标的目的|经由过程[^，。]{2,12}(?:来|的体例|实现)|手艺(?:公司|立异|研发|企业|支持|职员|前进)|(?:科学|信息)手艺"
        "|新手艺|高手艺|经济成长|社会成长"
    ),
    (
        "较着的?|感化[，。]|颠末|赐与|阐扬|愈来愈|进修成绩|领会到|办理体系|机能优|用户休会|经常使用|不只仅|其实不是"
        "|其实不克"
    ),
    (
        "人工聪明|人造智能|机械学习|机器进修|深层学习|深度研习|巨量数据|海量资料|云盘算|云策画|天然语言|天然说话"
        "|语音辨认|人脸辨认|图象辨认|图像辨认"
    ),
    (
        "可延续成长|可持续成长|可连续成长|新动力汽车|电子商业平台|供给链|常识产权|生态情况|环球变暖|环球化|根本举措措施"
        "|根本设施|数字化转变|市场比例|交际媒体|挪动互联|互联收集|挪动通讯"
    ),
    (
        "企业家精力|精力康健|身材康健|身材安康|心理康健|康健状态|糊口体例|糊口方式|生涯方式|教导体系|讲授质量|讲授品质"
        "|高品质成长|高质量成长|品牌着名度|着名品牌|着名企业"
    ),
    "[一-龥]baidu|baidu[一-龥、 ]|[一-龥]tencent|[一-龥]huawei",
)
# Real words, but not where these stand; one or two are nothing, many different ones are the mark.
ODD_WORDS = (
    "巨匠 展现[，：:“] 睁开[的火阶倾速历趋状前壮规计战中钻] 守业(?!维艰|难) 下场[，。、的上是] 墨客 适才 尚有 颇为 "
    "缔造性 缔造[力了出] 分说 着实 机缘 搜罗 招供 收回[“了抵来疑声] 违心 良多 "
    "甚么 破费 至关 理当 若何 奈何 惟独 凭证 泛起 钻研 磨炼 每一[个年天次项种] 价钱[观闭点取链] 总体[的们助用信] "
    "降级 脑壳 摆布 模子 陈说 以先 如斯 缺少[根对] 岂但 预会 能耐 咱们 "
    "因此[“为] 实用性 实力， 情景下 眼前[的反来] 中间[，的] 倾向[，的中下] 抵达[了\\d或] 未必需 归往 动身 "
    "紧张[的性] 重大[推的] 丰硕 修筑 散漫 规画 合成师 妄想[，和是] 修正了 合计 "
    "试验[将室让] 向导 瘦弱 收集[上时平] 前进[了效质] 措施[看做让] 差距的 拦阻 坚贞 纷比方 立异 比力 形态 横三竖四 "
    "正直地 残缺[的以] 悲不 并不光 知足 揭示 供给[了给更] 首要[的是] 当局 "
    "办事[业器员] 勾当 机能 情势 局限 措置 大白 缘由 增添 削减 节俭 轻易 连结 庇护 节制 触及 阐明 毛病 查验 医治 "
    "糊口 干系 气力 贩卖 布局 体系[化的] 装备 公道 质料 存眷 影象 辨认 猜测 "
    "打点 之以是 以是 甚至于 往常 一样平常 倏地 关头 枢纽 起首 末了 乃至 俄然 供应[更了给] 晋升 扶植 成长[的阶] "
    "今朝 阐发 取患 环球 康健 精力 天下[上各范的] 抉择 抉选 攻下 欠缺 伟大 "
    "教导 讲授 休会 体例 手艺 产物 题目 进修 领会 操纵 感化 按照 并且 固然 很是 是以 可是 很多多少 别的 同享 同伴 "
    "伴侣 资本 资助 职员 详细 范畴 水平 遭到 构造 焦点 形式 情况"
)
# Words of ODD_WORDS that sound texts have often: they count only beside others, and half.
ORDINARY = (
    "尚有|颇为|凭证|钻研|形态|合计|伟大|焦点|详细|范畴|职员|水平|遭到|构造|题目|产物|按照|并且|固然|是以|可是|资助"
    "|资本|情况|形式|装备|伴侣|同伴|手艺|精力|教导|讲授|领会|操纵|抉择"
    "|环球|别的|可能|如今|乃至|枢纽|轻易|毛病|大白|触及|差距的|知足|良多|咱们|能耐|机能|情势|局限|增添|揭示|庇护"
    "|节制|立异|当局|医治|查验|缘由|布局|猜测|气力|着实|搜罗|泛起|奈何|若何|甚么|如斯"
)
IDIOMS = [
    "一本正经",
    "一举两得",
    "一帆风顺",
    "一目了然",
    "一如既往",
    "一马当先",
    "一针见血",
    "一蹴而就",
    "一丝不苟",
    "一无所有",
    "一成不变",
    "一心一意",
    "一席之地",
    "七上八下",
    "乱七八糟",
    "横七竖八",
    "三言两语",
    "不可思议",
    "不言而喻",
    "不约而同",
    "不知不觉",
    "不屈不挠",
    "不可或缺",
    "与众不同",
    "与时俱进",
    "举世闻名",
    "举足轻重",
    "事半功倍",
    "五花八门",
    "井井有条",
    "亡羊补牢",
    "人山人海",
    "众所周知",
    "众志成城",
    "优胜劣汰",
    "供不应求",
    "全力以赴",
    "全神贯注",
    "兴高采烈",
    "刻不容缓",
    "刻舟求剑",
    "前所未有",
    "前功尽弃",
    "千方百计",
    "千变万化",
    "千钧一发",
    "半途而废",
    "势不可挡",
    "博大精深",
    "取长补短",
    "古往今来",
    "各行各业",
    "名副其实",
    "后来居上",
    "因地制宜",
    "因材施教",
    "四面八方",
    "大势所趋",
    "大同小异",
    "大刀阔斧",
    "夜以继日",
    "如火如荼",
    "如鱼得水",
    "守株待兔",
    "家喻户晓",
    "实事求是",
    "对症下药",
    "小心翼翼",
    "层出不穷",
    "居安思危",
    "川流不息",
    "已成定局",
    "异军突起",
    "引人注目",
    "张冠李戴",
    "循序渐进",
    "得天独厚",
    "微不足道",
    "心不在焉",
    "心旷神怡",
    "忧心忡忡",
    "恍然大悟",
    "息息相关",
    "意想不到",
    "成千上万",
    "我行我素",
    "扬长避短",
    "抛砖引玉",
    "拭目以待",
    "持之以恒",
    "措手不及",
    "掩耳盗铃",
    "提心吊胆",
    "无所不知",
    "无能为力",
    "无穷无尽",
    "无可奈何",
    "无微不至",
    "日新月异",
    "春暖花开",
    "显而易见",
    "有目共睹",
    "朝气蓬勃",
    "望而却步",
    "杞人忧天",
    "来龙去脉",
    "欣欣向荣",
    "此起彼伏",
    "毋庸置疑",
    "毫不犹豫",
    "水到渠成",
    "水落石出",
    "汗流浃背",
    "津津有味",
    "津津乐道",
    "浑水摸鱼",
    "深入浅出",
    "深思熟虑",
    "滔滔不绝",
    "潜移默化",
    "焕然一新",
    "熙熙攘攘",
    "爱不释手",
    "物美价廉",
    "独一无二",
    "琳琅满目",
    "画蛇添足",
    "百花齐放",
    "百折不挠",
    "百发百中",
    "目不转睛",
    "相辅相成",
    "眼花缭乱",
    "破釜沉舟",
    "空前绝后",
    "突如其来",
    "精益求精",
    "精打细算",
    "络绎不绝",
    "继往开来",
    "群雄逐鹿",
    "耳濡目染",
    "耳目一新",
    "胡说八道",
    "脚踏实地",
    "自相矛盾",
    "自强不息",
    "举一反三",
    "蒸蒸日上",
    "触目惊心",
    "触类旁通",
    "谈虎色变",
    "豁然开朗",
    "走马观花",
    "轻而易举",
    "迎刃而解",
    "迫不及待",
    "逆水行舟",
    "隐隐约约",
    "雨后春笋",
    "雪中送炭",
    "面面俱到",
    "顺其自然",
    "风和日丽",
    "马到成功",
    "鹤立鸡群",
    "齐心协力",
    "啼笑皆非",
    "昙花一现",
    "另起炉灶",
]
TORTURED = (
    "counterfeit consciousness|profound learning|profound neural|colossal information|enormous information|huge "
    "information|irregular timberland"
    "|arbitrary (?:backwoods|woodland|forest)|bosom (?:peril|malignancy|disease)|flag to (?:clamor|commotion)|sign "
    "to (?:clamor|commotion)|mean square blunder"
    "|gullible bayes|help vector machine|bolster vector|counterfeit neural|fake neural|man-made (?:consciousness"
    "|brainpower)|computerized reasoning"
    "|haze (?:figuring|registering)|distributed (?:figuring|registering)|cloud (?:figuring|registering)"
    "|information (?:mining calculation|stockroom|distribution center)"
    "|web of things|face acknowledgm?ent|discourse acknowledgm?ent|picture (?:acknowledgment|preparing)|design "
    "acknowledgment|regular language preparing"
    "|common dialect|elite processing|focal preparing unit|irregular access memory|kidney disappointment|coronary "
    "heart disappointment|lactose bigotry|invulnerable framework"
    "|nervous organization|leftover vitality|sun (?:oriented|based) (?:vitality|power|board)|sunlight based|wind "
    "vitality|atomic vitality|green(?:house)? gasses impact"
    "|monetary (?:emergency|development|improvement)|united states of the us|worldwide positioning framework|an "
    "earth-wide temperature boost|an unnatural weather change"
    "|in the occasion that|as an alternative of|with the aid of using|plenty of human beings|excessive[- "
    "](?:quality|speed|stage|pleasant)|high excellent"
    "|satisfactory practices|man-made reasoning|profound neural organization|huge information examination|advanced "
    "change|machine getting to know"
    "|social media showcasing|web based life|online networking showcasing|internet based life|watchword research"
    "|site improvement|web index (?:streamlining|optimi[sz]ation)"
)
