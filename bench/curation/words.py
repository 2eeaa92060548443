"""Sentences in English and Chinese, made by a small grammar from words of everyday work.

Knows words and how a sentence is built. Does not know documents, copies or personal data. Words are chosen by Zipf's
law, each document has a subject whose words it prefers, names and figures are drawn anew: so sentences repeat phrases,
as people's do, but hardly ever each other.
"""

from __future__ import annotations

import random
from itertools import accumulate

NOUNS = """time year week day part place case point group problem fact price service report project team office system
process method plan order market product customer supplier contract budget account invoice delivery shipment warehouse
shelf package label machine engine pump valve filter sensor cable switch battery panel roof wall floor window door
kitchen garden field farm crop harvest soil seed water river lake coast harbour ship bridge road railway station ticket
passenger driver vehicle bicycle traffic signal tunnel map route journey hotel guest room breakfast museum gallery
painting concert stage film camera photograph newspaper article editor reader library book chapter author poem letter
language word sentence lesson teacher student school exam course degree university laboratory experiment sample result
theory model measure error table figure chart number average median share rate growth decline loss profit tax law rule
court judge lawyer witness evidence decision appeal permit licence inspector safety alarm fire smoke storm rain snow
wind temperature climate season energy electricity gas coal oil solar heat boiler pipe hospital doctor nurse patient
symptom treatment medicine dose vaccine surgery recovery diet exercise sleep muscle heart lung blood skin child parent
family neighbour village town city mayor council citizen election vote debate speech press agency border visa passport
language museum archive record file folder document page version draft update backup server network router browser
password user screen keyboard printer software feature release defect test review meeting agenda minute note task
deadline schedule calendar holiday salary pension insurance claim damage repair tool hammer drill screw paint brush
fabric cotton wool leather shoe shirt coat jewel ring watch clock bell music guitar piano drum dance sport match player
coach goal league trophy referee stadium crowd ticket""".split()
VERBS = """checks changes moves opens closes builds repairs measures records reports explains describes compares
improves reduces increases replaces removes adds sends receives orders delivers stores sorts counts weighs tests
approves rejects signs reads writes prints copies deletes restores protects supports follows leads joins leaves enters
plans begins finishes delays cancels confirms repeats shares collects divides connects separates heats cools fills
empties covers shows hides finds loses keeps breaks mends cleans paints cuts plants waters harvests feeds trains teaches
studies examines treats watches warns informs asks answers invites thanks visits hires pays charges saves spends""".split()
ADJECTIVES = """new old large small long short early late high low strong weak quick slow clear dark light heavy clean
dirty dry wet warm cold open closed full empty simple complex cheap costly common rare local foreign public private
regular special careful careless quiet noisy safe risky useful broken modern ancient narrow wide deep shallow smooth
rough sharp flat round square green blue red yellow grey white black bright pale fresh ripe raw spare final first second
annual monthly weekly daily urgent minor major internal external digital printed northern southern eastern western
coastal rural urban medical legal technical financial social cultural seasonal temporary permanent""".split()
ADVERBS = """usually often rarely always never quickly slowly carefully quietly clearly partly fully nearly again soon
later early together separately twice daily locally abroad online manually automatically""".split()
PLACES = """Alder Briar Cedar Dunmore Easton Fenwick Glenby Harrow Ivybridge Jarrow Kelso Linton Marlow Norwick Orley
Penrith Quarley Redhill Selby Thornby Upton Verwood Walden Yarrow Ashby Brenton Corby Dalton Elmer Foxley""".split()
FRAMES_EN = (
    "The {a} {n} {v} the {n} of the {n}.",
    "In {p}, the {n} {d} {v} a {a} {n}.",
    "Before the {n} {v} the {a} {n}, someone {v} the {n} in {p}.",
    "A {n} that {v} the {n} is {d} more {a} than the {n}.",
    "About {f} of the {n} came from the {a} {n} near {p}.",
    "When the {n} is {a}, the {n} {v} the {n} and the {n} {v} it {d}.",
    "The {n} in {p} {v} {f} {n} reports, but the {a} {n} {v} only the {n}.",
    "Nobody {d} {v} the {n} because the {n} and the {n} were too {a}.",
    "If a {a} {n} {v} the {n}, the {n} must be {a} for at least {f} days.",
    "For the {n}, the {a} {n} of {p} {v} what the {n} needs.",
    "Since {y}, each {n} {v} its {a} {n} with the help of the {n}.",
    "It was the {n}, not the {n}, that {d} {v} the {a} {n} in {y}.",
)

NOUNS_ZH = """时间 年度 地方 情况 问题 价格 服务 报告 项目 团队 办公室 系统 流程 方法 计划 订单 市场 产品 客户 供应商 合同 预算
账户 发票 货物 仓库 货架 包裹 标签 机器 发动机 水泵 阀门 滤网 传感器 电缆 开关 电池 面板 屋顶 墙面 地板 窗户 大门 厨房
花园 田地 农场 庄稼 收成 土壤 种子 水源 河流 湖泊 海岸 港口 船只 桥梁 道路 铁路 车站 车票 乘客 司机 车辆 自行车 交通 信号
隧道 地图 路线 旅程 酒店 客人 房间 早餐 博物馆 画廊 油画 音乐会 舞台 电影 相机 照片 报纸 文章 编辑 读者 图书馆 书籍 章节
作者 诗歌 信件 语言 词语 句子 课程 教师 学生 学校 考试 学位 大学 实验室 实验 样品 结果 理论 模型 指标 误差 表格 数字 图表
平均值 份额 比率 增长 下降 损失 利润 税款 法律 规则 法院 法官 律师 证人 证据 判决 上诉 许可 执照 检查员 安全 警报 火灾 烟雾
暴雨 降雪 大风 气温 气候 季节 能源 电力 天然气 煤炭 石油 太阳能 热量 锅炉 管道 医院 医生 护士 患者 症状 治疗 药品 剂量 疫苗
手术 康复 饮食 锻炼 睡眠 肌肉 心脏 血液 皮肤 孩子 家长 家庭 邻居 村庄 城镇 城市 市长 议会 公民 选举 辩论 演讲 媒体 机构
边境 档案 记录 文件 文件夹 文档 页面 版本 草稿 更新 备份 服务器 网络 路由器 浏览器 密码 用户 屏幕 键盘 打印机 软件 功能 缺陷
测试 评审 会议 议程 纪要 任务 期限 日程 假期 工资 养老金 保险 理赔 损坏 维修 工具 锤子 钻头 螺丝 油漆 布料 棉花 羊毛 皮革
鞋子 衬衫 外套 手表 时钟 音乐 吉他 钢琴 舞蹈 运动 比赛 球员 教练 联赛 裁判 体育场 观众""".split()
VERBS_ZH = """检查 调整 移动 打开 关闭 建造 修理 测量 记录 报告 说明 描述 比较 改进 减少 增加 更换 拆除 添加 发送 接收 订购
交付 存放 分类 清点 称量 测试 批准 驳回 签署 阅读 编写 打印 复制 删除 恢复 保护 支持 跟踪 带领 加入 离开 进入 规划 启动 完成
推迟 取消 确认 重复 分享 收集 划分 连接 隔离 加热 冷却 装满 清空 覆盖 展示 隐藏 寻找 保存 清洁 粉刷 切割 种植 浇灌 收割 饲养
培训 教授 研究 检验 治疗 观察 警告 通知 询问 回答 邀请 感谢 访问 聘用 支付 收取 节约 使用""".split()
ADJECTIVES_ZH = """新的 旧的 大型 小型 长期 短期 较早 较晚 高级 低级 坚固 薄弱 快速 缓慢 清晰 昏暗 轻便 沉重 干净 潮湿 干燥
温暖 寒冷 开放 封闭 完整 空置 简单 复杂 便宜 昂贵 常见 罕见 本地 外地 公共 私人 定期 特殊 谨慎 安静 嘈杂 安全 有用 破损 现代
古老 狭窄 宽阔 平整 粗糙 锋利 圆形 方形 绿色 蓝色 红色 黄色 灰色 白色 明亮 新鲜 成熟 备用 最终 年度 每月 每周 紧急 次要 主要
内部 外部 数字化 北部 南部 东部 西部 沿海 农村 城市 医疗 法律 技术 财务 社会 文化 季节性 临时 永久""".split()
ADVERBS_ZH = (
    "通常 经常 很少 始终 迅速 慢慢 仔细 悄悄 部分 完全 几乎 再次 随后 提前 一起 分别 每天 在线 手动 自动".split()
)
PLACES_ZH = """青石镇 柳河县 云溪市 白杨村 南屏区 东岭市 望江县 石桥镇 梅林区 兰溪港 北湖区 松山县 长亭镇 清泉市 麦田村
双塔区 临河县 金沙湾 竹园镇 海岭市""".split()
FRAMES_ZH = (
    "{a}{n}{d}{v}了{n}的{n}。",
    "在{p}，{n}{d}{v}{a}{n}。",
    "{n}{v}{n}之前，有人在{p}{v}了{a}{n}。",
    "能够{v}{n}的{n}比{n}更加{a}。",
    "大约{f}份{n}来自{p}附近的{a}{n}。",
    "当{n}变得{a}时，{n}负责{v}{n}，{n}则{d}{v}。",
    "{p}的{n}{v}了{f}份{n}，而{a}{n}只{v}{n}。",
    "由于{n}和{n}过于{a}，没有人{d}{v}{n}。",
    "如果{a}{n}需要{v}{n}，那么{n}至少应当保留{f}天。",
    "为了{n}，{p}的{a}{n}{v}了{n}所需要的{n}。",
    "自{y}年以来，每个{n}都在{n}的帮助下{v}{a}{n}。",
    "{d}{v}{a}{n}的并不是{n}，而是{y}年的{n}。",
)


class Sentences:
    """Sentences of one language; ``about`` chooses what a document is about."""

    def __init__(self, random_: random.Random, chinese: bool) -> None:
        """Begin with a random source that nobody else uses."""
        self._random = random_
        self._chinese = chinese
        self._frames = FRAMES_ZH if chinese else FRAMES_EN
        words = (
            (NOUNS_ZH, VERBS_ZH, ADJECTIVES_ZH, ADVERBS_ZH, PLACES_ZH)
            if chinese
            else (NOUNS, VERBS, ADJECTIVES, ADVERBS, PLACES)
        )
        self._words = dict(zip("nvadp", words, strict=True))
        self._weights = {
            kind: list(accumulate(1 / (rank + 8) for rank in range(len(w)))) for kind, w in self._words.items()
        }
        self._preferred: list[str] = []
        self.about()

    def about(self) -> None:
        """Begin a document: it will prefer some words."""
        self._preferred = self._random.sample(self._words["n"], 12)

    def one(self) -> str:
        """Return a sentence."""
        frame = self._random.choice(self._frames)
        parts = frame.replace("}", "{").split("{")
        parts[1::2] = [self._word(kind) for kind in parts[1::2]]
        text = "".join(parts)
        return text if self._chinese else text[0].upper() + text[1:]

    def many(self, count: int) -> list[str]:
        """Return sentences."""
        return [self.one() for _ in range(count)]

    def _word(self, kind: str) -> str:
        rng = self._random
        if kind == "f":
            return str(int(rng.expovariate(1 / 60)) + 2)
        if kind == "y":
            return str(1990 + int(rng.random() * 36))
        if kind == "n" and rng.random() < 0.35:
            return self._preferred[int(rng.random() * 12)]
        return rng.choices(self._words[kind], cum_weights=self._weights[kind])[0]
