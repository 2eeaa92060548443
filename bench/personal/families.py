"""Texts of daily life in Chinese with personal data at known places: original templates, filled at random, seeded.

This module knows templates and how people write numbers. It does not know the finder. Slots in capitals are personal
data (the truth), slots in small letters look like it and are not. One family is held out: rules were not tuned on it.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from . import values

Maker = Callable[[Random], str]

KINDS: dict[str, Maker] = {
    "PHONE": lambda rng: values.mobile(rng) if rng.random() < 0.75 else values.landline(rng),
    "RESIDENT_ID": values.resident,
    "CARD": values.card,
    "CREDIT_CODE": values.credit,
    "PLATE": values.plate,
    "PASSPORT": values.passport,
    "PERMIT": values.permit,
    "REGION_ID": values.hong_kong,
    "EMAIL": values.mailbox,
    "ADDRESS": values.address,
    "NAME": values.person,
    "IP": values.ip,
    "MAC": values.mac,
    "SECRET": values.secret,
    "PASSWORD": values.password,
    "BIRTHDAY": values.birthday,
    "IBAN": values.iban,
}


def _order(rng: Random) -> str:
    day = f"20{rng.randint(19, 26)}{rng.randint(1, 12):02}{rng.randint(1, 28):02}"
    return rng.choice(
        [
            day + values.digits(rng, 10),
            day + values.digits(rng, 6),
            values.digits(rng, 12),
            "SF" + values.digits(rng, 13, "1"),
            "JD" + values.digits(rng, 12),
            values.digits(rng, 18, "7"),
        ]
    )


LOOKALIKES: dict[str, Maker] = {
    "order": _order,
    "isbn": values.isbn,
    "badid": values.wrong_resident,
    "badcard": values.wrong_card,
    "price": lambda rng: rng.choice(
        [
            f"{rng.randint(1, 999)},{rng.randint(100, 999)}.{rng.randint(10, 99)}",
            f"{rng.randint(100, 99999)}.00",
            f"{rng.randint(1, 9)}{rng.randint(100, 999)}万",
        ]
    ),
    "version": lambda rng: f"V{rng.randint(1, 20)}.{rng.randint(0, 30)}.{rng.randint(0, 9)}",
    "date": lambda rng: rng.choice(
        [
            f"{rng.randint(2001, 2026)}年{rng.randint(1, 12)}月{rng.randint(1, 28)}日",
            f"{rng.randint(2001, 2026)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}",
            f"20{rng.randint(10, 26)}{rng.randint(1, 12):02}{rng.randint(1, 28):02}",
        ]
    ),
    "law": lambda rng: (
        f"第{rng.choice('一二三四五六七八九')}百{rng.choice('一二三四五六七八九')}十"
        f"{rng.choice('一二三四五六七八九')}条"
    ),
    "docno": lambda rng: f"〔20{rng.randint(10, 26)}〕{rng.randint(1, 300)}号",
    "count": lambda rng: str(rng.randint(2, 9999999)),
    "long": lambda rng: values.digits(rng, rng.choice([20, 22, 24, 28])),
    "hash": lambda rng: "".join(rng.choice("0123456789abcdef") for _ in range(rng.choice([32, 40]))),
    "model": lambda rng: (
        f"{rng.choice(string.ascii_uppercase)}{rng.choice(string.ascii_uppercase)}-{rng.randint(100, 9999)}"
        f"{rng.choice('ABCX')}"
    ),
    "rate": lambda rng: f"{rng.randint(1, 9)}.{rng.randint(10, 99)}%",
    "time": lambda rng: f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}:{rng.randint(0, 59):02}",
}

FAMILIES: dict[str, tuple[str, ...]] = {
    "bank": (
        "客户{NAME}，身份证号{RESIDENT_ID}，于{date}在我行开立账户，卡号{CARD}，预留手机号{PHONE}。",
        "您好，我的银行卡{CARD}昨天被吞了，我叫{NAME}，电话{PHONE}，麻烦尽快处理。",
        "请将工资转入以下账户：户名：{NAME}，账号：{CARD}，开户行：建设银行{count}支行。",
        "境外汇款请使用 IBAN {IBAN}，收款人邮箱 {EMAIL}，金额{price}元。",
        "对公开户需提供统一社会信用代码{CREDIT_CODE}以及法定代表人身份证{RESIDENT_ID}。",
        "流水号{order}，交易金额{price}元，余额{price}元，利率{rate}，交易时间{date} {time}。",
        "卡号 {badcard} 校验不通过，请客户重新核对后输入。",
        "根据《商业银行法》{law}以及银发{docno}文件，自{date}起执行新利率{rate}。",
        "我行手机银行{version}已于{date}上线，累计下载{count}次，订单编号{order}可在凭证页查看。",
        "【提醒】尾号{RESIDENT_ID}的证件即将到期？错，是证件号码为{RESIDENT_ID}的客户，请致电{PHONE}。",
        "您的登录设备 IP 为{IP}，如非本人操作请联系{PHONE}。",
        "贷款合同编号：{order}，共{count}期，每期{price}元，合同条码{long}。",
    ),
    "hospital": (
        "患者{NAME}，女，{BIRTHDAY}出生，身份证{RESIDENT_ID}，家住{ADDRESS}，联系电话{PHONE}。",
        "急诊登记：姓名 {NAME} 电话 {PHONE} 家属 {PHONE} 住址 {ADDRESS}",
        "出生日期：{BIRTHDAY}，监护人：{NAME}，手机：{PHONE}，医保登记身份证号码：{RESIDENT_ID}",
        "港澳患者请出示回乡证{PERMIT}或香港身份证{REGION_ID}。",
        "外籍陪护人员护照号码：{PASSPORT}，邮箱：{EMAIL}。",
        "住院号{count}，病历号{order}，检查时间{date}，白细胞计数{price}。",
        "药品批号：{count}，条形码{isbn}，有效期至{date}，单价{price}元。",
        "护士站系统升级到{version}，服务器{IP}，网卡地址{MAC}，管理员密码：{PASSWORD}",
        "急救车{PLATE}已从{ADDRESS}出发，随车医生{PHONE}。",
        "第{count}例手术于{date}完成，耗时{time}，费用合计{price}元，发票号码{order}。",
        "身份证号{badid}录入有误（校验位不符），请核对。",
        "参照《医疗机构管理条例》{law}，我院{docno}通知自{date}生效。",
    ),
    "school": (
        "学生姓名：{NAME}，身份证号：{RESIDENT_ID}，家长电话：{PHONE}，家庭住址：{ADDRESS}。",
        "班主任通知：请{NAME}同学的家长于{date}前回电{PHONE}。",
        "奖学金发放名单：{NAME} {RESIDENT_ID} {CARD}",
        "出国交流需上传护照（{PASSPORT}）和银行卡（{CARD}）照片至{EMAIL}。",
        "校车车牌{PLATE}，司机手机{PHONE}，每天{time}发车。",
        "推荐教材 ISBN {isbn}，定价{price}元，共{count}册，订单号{order}。",
        "学号{count}，考场第{count}号，准考证编号{order}，成绩{rate}。",
        "实验室电脑 MAC 地址 {MAC}，IP {IP}，型号{model}，序列号{hash}。",
        "入学日期{date}，{law}规定的学制为四年，学费{price}元。",
        "我的生日是{BIRTHDAY}，老师说可以用邮箱{EMAIL}报名。",
        "作业提交到仓库，令牌是 {SECRET} ，提交编号 {hash}。",
        "教务系统的提示：证件号{badid}不是有效的号码，请检查。",
    ),
    "shop": (
        "收货人：{NAME}，手机：{PHONE}，地址：{ADDRESS}，订单号：{order}。",
        "亲，麻烦改下地址，寄到{ADDRESS}，收件人{NAME}，{PHONE}，谢谢～",
        "发票抬头：某某商贸有限公司，税号{CREDIT_CODE}，邮箱{EMAIL}，金额{price}元。",
        "退款请打到我老公的卡上，{CARD}，{NAME}。",
        "快递单号{order}已签收，签收时间{date} {time}，客服电话{PHONE}。",
        "自提车辆{PLATE}，提货人身份证{RESIDENT_ID}，提货码{count}。",
        "商品编码{isbn}，型号{model}，库存{count}件，售价{price}元，好评率{rate}。",
        "物流单号：{order}；运单号：{order}；批次{long}。",
        "店铺后台接口密钥 {SECRET} 请勿外传，密码是{PASSWORD}。",
        "APP 版本{version}，订单{order}支付失败，错误码{count}，流水号{long}。",
        "加我微信同手机号{PHONE}，优惠{price}元，活动截至{date}。",
        "第{count}位顾客，消费{price}，会员编号{order}，积分{count}。",
    ),
    "property": (
        "业主{NAME}（{PHONE}）反映{ADDRESS}楼道灯不亮，请于{date}前维修。",
        "车位登记：{PLATE}，{NAME}，{PHONE}；访客车辆{PLATE}。",
        "租赁合同：承租人{NAME}，身份证号码{RESIDENT_ID}，租金{price}元/月，押金转至{CARD}。",
        "物业公司统一社会信用代码为{CREDIT_CODE}，报修热线{PHONE}，邮箱{EMAIL}。",
        "门禁系统在 {IP} 上运行，读卡器 {MAC}，初始密码为{PASSWORD}。",
        "台胞及港澳业主凭通行证{PERMIT}、香港身份证{REGION_ID}办理，外籍住户凭护照{PASSPORT}办理。",
        "孩子{BIRTHDAY}生，想申请小区幼儿园，联系{PHONE}。",
        "电表编号{order}，本月用电{count}度，电费{price}元，抄表日期{date}。",
        "依据《物业管理条例》{law}，会议纪要{docno}，同意率{rate}，表决票{count}张。",
        "电梯型号{model}，出厂编号{long}，年检日期{date}，合同编号{order}。",
        "维修工单{order}完成，材料费{price}元，耗时{time}，条码{isbn}。",
        "登记的证件号码{badid}与卡号{badcard}均未通过校验，请联系前台。",
        "缴费提醒：设备固件{version}，提交记录{hash}，云端密钥{SECRET}需要更换。",
    ),
}
HELD_OUT = "property"
OPENINGS = ("", "", "", "【通知】", "备注：", "转发：\n", "客服记录 ", "你好，")
CLOSINGS = ("", "", "", "\n请知悉。", " 谢谢！", "\n（系统自动生成，请勿回复）", "——前台")
_SLOT = re.compile(r"\{([A-Za-z_]+)\}")
_HAN = str.maketrans("0123456789", "零一二三四五六七八九")
_WIDE = str.maketrans("0123456789X", "０１２３４５６７８９Ｘ")


@dataclass(frozen=True, slots=True)
class Sample:
    """A text, and what stands where in it: kind, start, end."""

    family: str
    text: str
    truth: tuple[tuple[str, int, int], ...]


def _written(rng: Random, kind: str, value: str) -> str:
    """Return ``value`` as people write it, now and then so that a plain search for digits would miss it."""
    dice = rng.random()
    plain = value.isalnum() and value.isascii()
    if kind == "PHONE" and plain:
        parts = (value[:3], value[3:7], value[7:])
        ways = (
            " ".join(parts),
            "-".join(parts),
            "+86 " + value,
            "86-" + value,
            value.translate(_WIDE),
            value.translate(_HAN),
            "\u200b".join(value),
            " ".join(value),
            f"{value[:3]} {value[3:6]} {value[6:]}",
        )
        return rng.choice(ways) if dice < 0.4 else value
    if kind == "CARD" and dice < 0.4:
        return (
            rng.choice([" ", "-", " "]).join(value[n : n + 4] for n in range(0, len(value), 4))
            if dice < 0.3
            else value.translate(_WIDE)
        )
    if kind == "RESIDENT_ID" and dice < 0.3:
        return rng.choice(
            [
                f"{value[:6]} {value[6:14]} {value[14:]}",
                value.translate(_WIDE),
                value.lower(),
                value[:10] + "\u200b" + value[10:],
                f"{value[:6]}-{value[6:14]}-{value[14:]}",
            ]
        )
    return value


def sample(rng: Random, family: str) -> Sample:
    """Return one text of ``family``."""
    template = rng.choice(OPENINGS) + rng.choice(FAMILIES[family]) + rng.choice(CLOSINGS)
    pieces, truth, size, done = [], [], 0, 0
    for slot in _SLOT.finditer(template):
        name = slot[1]
        before = template[done : slot.start()]
        done = slot.end()
        value = KINDS[name](rng) if name in KINDS else LOOKALIKES[name](rng)
        value = _written(rng, name, value) if name in KINDS else value
        start = size + len(before)
        size = start + len(value)
        pieces += [before, value]
        if name in KINDS:
            truth.append(("SECRET" if name == "PASSWORD" else name, start, size))
    return Sample(family, "".join([*pieces, template[done:]]), tuple(truth))


def samples(count: int, seed: int, families: tuple[str, ...] = tuple(FAMILIES)) -> list[Sample]:
    """Return ``count`` texts, families in turn."""
    rng = Random(seed)
    return [sample(rng, families[n % len(families)]) for n in range(count)]
