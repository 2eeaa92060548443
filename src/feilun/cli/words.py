"""What commands say, in English and Chinese, and how a turn's progress is shown.

This module knows sentences and terminals. It does not know commands.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from datetime import datetime
from typing import Any

from feilun.records import JSON
from feilun.settings import Settings

_CHINESE = {
    "Kept {}. The next feilun turn learns from it.": "已保存 {}。下一次 feilun turn 会从中学习。",
    "Key {} (role {}, workspace {}), shown only now:": "密钥 {}（角色 {}，工作区 {}），仅此一次显示：",
    "Added {} as {}, {}.": "已添加 {}（角色 {}），{}。",
    "Removed {}.": "已移除 {}。",
    "Removed {}. Their keys are of no use any more.": "已移除 {}，其密钥不再有效。",
    "{} is on: it answers to its id.": "{} 已启用：可用其编号调用。",
    "{} is off.": "{} 已停用。",
    "Kept the provider {} at {} (key {}).": "已保存服务商 {}，地址 {}（密钥 {}）。",
    "{} is answered by:": "{} 由以下模型回答：",
    "Key: ": "密钥：",
    "member": "成员",
    "key": "密钥",
    "endpoint": "端点",
    "model": "模型",
    "kind": "类型",
    "day": "日期",
    "calls": "调用",
    "prompt_tokens": "输入",
    "completion_tokens": "输出",
    "cached_tokens": "缓存",
    "cost": "费用",
    "Revoked {}.": "已吊销 {}。",
    "Ready: {}. Use it with: feilun up --model {}": "已就绪：{}。使用方法：feilun up --model {}",
    "Stopped.": "已停止。",
    "Something unexpected happened ({}). Details: {}": "发生意外错误（{}）。详情：{}",
    "error: {}": "错误：{}",
    "hint: {}": "提示：{}",
    "workspace {}": "工作区 {}",
    "  serves {} as {} since {}": "  自 {2} 起以 {1} 提供 {0}",
    "  serves no model of its own yet": "  还没有自己的模型",
    "Nothing here yet: feilun turn begins.": "这里还没有数据：请先运行 feilun turn。",
    "The own model is promoted.": "自有模型已上线。",
    "The incumbent keeps serving.": "继续使用原有模型。",
    "own exam": "专属考试",
    "general exam": "通用考试",
    "{}: {:.0%} -> {:.0%} (difference {:+.0%} to {:+.0%}, {} questions)": (
        "{}：{:.0%} → {:.0%}（差异区间 {:+.0%} 至 {:+.0%}，共 {} 题）"
    ),
    "Turn took {:.0f} s. Serve it with: feilun up": "本轮用时 {:.0f} 秒。启动服务：feilun up",
    "Report: {}": "报告：{}",
    "Training: step {}/{}, loss {:.3f}, about {} left": "训练：第 {}/{} 步，损失 {:.3f}，约剩 {}",
    "Exam {}: {} of {}": "考试 {}：{}/{}",
    "{} touches {} datasets, {} models, {} deployments, {} answers.": (
        "{} 影响了 {} 个数据集、{} 个模型、{} 次上线、{} 条回答。"
    ),
    "{} files added, {} known, {} left out": "新增 {} 个文件，已有 {} 个，未用 {} 个",
    "Purpose: {}. Rows: {}.": "用途：{}。数据行：{}。",
    "{} rows found, {} kept, {} flagged": "共 {} 行，保留 {} 行，待确认 {} 行",
    "Have people look at what was flagged: feilun review add --dataset {}": (
        "请人查看被标记的行：feilun review add --dataset {}"
    ),
    "Dataset {} (version {}, {} rows)": "数据集 {}（第 {} 版，{} 行）",
    "dropped": "删除",
    "changed": "修改",
    "flagged": "待确认",
    "noted": "记录",
    "set_aside": "搁置",
    "From {}:": "来自 {}：",
    "  {}: {}": "  {}：{}",
    "came": "收到",
    "added": "新增",
    "known already": "已有",
    "files": "文件",
    "datasets": "数据集",
    "rows": "行数据",
    "judgements": "评价",
    "evals": "评测",
    "runs": "评测运行",
    "answers": "回答",
    "  fields of {} that are kept but not used: {}": "  {} 中保留但未使用的字段：{}",
    "  {} left out:": "  未导入 {} 项：",
    "Looking through the calls; a thousand questions take some seconds.": "正在查看调用记录；一千个问题需要若干秒。",
    "{} insights": "共 {} 个洞察",
    "  {} failed calls of {} ({:.0%}), {}; {:.0%} of all bad ratings; proposed: {}": (
        "  {1} 次调用中 {0} 次失败（{2:.0%}），{3}；占全部差评 {4:.0%}；建议：{5}"
    ),
    "  {} corrections, {} questions held back for the exam, {} calls left out": (
        "  {} 条更正，{} 个问题留作考题，{} 次调用未采用"
    ),
    "  {}: {:.0%} right before, {:.0%} after ({} questions)": "  {}：之前正确 {:.0%}，之后 {:.0%}（{} 题）",
    "  in use: {:.1%} of calls failed at this before, {:.1%} since": (
        "  使用中：此前 {:.1%} 的调用因此失败，此后 {:.1%}"
    ),
    "Accepted {}. The next feilun turn learns from it.": "已接受 {}。下一次 feilun turn 会从中学习。",
    "Dismissed {}.": "已驳回 {}。",
    "open": "待处理",
    "faded": "已消退",
    "accepted": "已接受",
    "dismissed": "已驳回",
    "steady": "平稳",
    "growing": "增多",
    "falling": "减少",
    "knowledge": "补充知识",
    "template": "调整提示词",
    "samples": "新训练样本",
    "exam": "新考题",
    "No row waits for you.": "没有等待您处理的数据。",
    "Skipped {}.": "已跳过 {}。",
    "Decided {}.": "已保存对 {} 的判断。",
    "Loss {:.3f} -> {:.3f} in {} steps, {:.0f} s.": "损失 {:.3f} → {:.3f}，共 {} 步，用时 {:.0f} 秒。",
    "{} examples were left out because an exam asks them.": "{} 条样本因与考题相同而剔除。",
    "Ready: {}. Ask it by this id once feilun up runs; prove it with an exam before you promote it.": (
        "已就绪：{}。启动 feilun up 后可用此编号调用；上线前请先用考试验证。"
    ),
    "{} examples on {}: {} steps, about {} tokens.": "{} 条样本，基座 {}：{} 步，约 {} 个词元。",
    "About {} min{}, {:.1f} GB of memory, {:.1f} GB of disk; no money: it runs on this machine.": (
        "约需 {} 分钟{}，内存 {:.1f} GB，磁盘 {:.1f} GB；在本机运行，不产生费用。"
    ),
    " (a guess: the first of its kind here)": "（首次训练，仅为估计）",
    "The teacher is asked {} times, at most {} tokens of answers: at most {}.": (
        "教师模型将被调用 {} 次，回答至多 {} 个词元：费用至多 {}。"
    ),
    "{} is in {}:": "{} 已写入 {}：",
    "{} rows": "{} 行",
    "{} rows in the queue, {} left out": "{} 行在队列中，{} 行未加入",
    "{}, {}: alpha {} ({}), {} rows by {} people, all agree on {}": (
        "{}，{}：一致性 α {}（{}），{} 行，{} 人，完全一致 {}"
    ),
    "{}: {} decided, {} skipped, known answers {} of {} right ({} to {})": (
        "{}：已判断 {}，跳过 {}，已知答案 {}/{} 正确（{} 至 {}）"
    ),
    "{}: version {} of {}, {} rows": "{0}：{2} 的第 {1} 版，{3} 行",
    "  contains revoked data: {}": "  含已撤回的数据：{}",
    "{} models contain revoked data: feilun retrain makes one without it.": (
        "{} 个模型含已撤回的数据：feilun retrain 可训练不含它的模型。"
    ),
    "{} entries, {} breaks. Head: {}": "共 {} 条，{} 处不符。链头：{}",
    "{0} entries, nothing was changed. Head: {2}": "共 {0} 条，未被改动。链头：{2}",
    "{} contains revoked data, but an endpoint names it: change that endpoint.": (
        "{} 含已撤回的数据，但仍有端点使用它：请修改该端点。"
    ),
    "{} of {} sources are kept encrypted.": "{1} 个来源中有 {0} 个加密保存。",
    "{} places were unmasked.": "已还原 {} 处。",
    "Sealed {} files under a new key.": "已用新密钥重新加密 {} 个文件。",
    "Nothing is or was tried on a share of the calls.": "没有正在试用或试用过的版本。",
    "running": "进行中",
    "promoted": "已上线",
    "rolled back": "已回滚",
    "superseded": "已被取代",
    "succeeded": "成功",
    "stopped": "已停止",
    "ratings": "评分",
    "failures": "失败",
    "latency": "速度",
    "guard": "回答完好",
    "  {}: new {} of {}, present {} of {}, p = {:.3g}": "  {}：新版本 {}（{} 次），现有版本 {}（{} 次），p = {:.3g}",
    "The wheel of {} is on.": "{} 的飞轮已开启。",
    "The wheel of {} is off.": "{} 的飞轮未开启。",
    "Now: {}": "当前：{}",
    "On {}: {} better, {} not shown to be better, {} failed.": "在 {} 上：{} 个更好，{} 个未能证明更好，{} 个失败。",
    "better": "更好",
    "not shown to be better": "未能证明更好",
    "failed": "失败",
    "{} records": "{} 条记录",
    "{} records, {} shown": "{} 条记录，显示 {} 条",
}
_STEPS = {
    "ingest": "读取文件",
    "curate": "清洗数据",
    "base": "准备基础模型",
    "incumbent": "现有模型考试",
    "train": "训练",
    "identity": "一致性检查",
    "candidate": "新模型考试",
    "verdict": "裁决",
}


class Teller:
    """Says things in the language of the settings, or of the terminal."""

    def __init__(self, settings: Settings) -> None:
        """Keep the settings with the language settled."""
        spoken = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
        self.language = settings.language or ("zh" if spoken.lower().startswith("zh") else "en")
        self.settings = replace(settings, language=self.language)
        self._line = ""
        self._seen = (time.monotonic(), 0)

    def text(self, template: str, *values: Any) -> str:
        """Return a template with its values, in our language."""
        chosen = _CHINESE.get(template, template) if self.language == "zh" else template
        return chosen.format(*values)

    def say(self, template: str, *values: Any) -> None:
        """Print a line."""
        self.over("")
        print(self.text(template, *values), flush=True)

    def over(self, line: str) -> None:
        """Show a line that the next one replaces; nothing where the output is no terminal."""
        if sys.stdout.isatty() and (line or self._line):
            print(f"\r\033[K{line}", end="", flush=True)
            self._line = line

    def progress(self, message: JSON) -> None:
        """Say what a turn is doing."""
        if text := message.get("note") or (message.get("warning") if not message.get("done") else ""):
            self.say("{}", text)
        elif "loss" in message:
            self._training(message)
        elif "exam" in message:
            self.over(self.text("Exam {}: {} of {}", message["exam"], message["at"], message["of"]))
        elif isinstance(message.get("step"), str):
            name = message["step"]
            self.say(
                "{}",
                f"[{datetime.now().astimezone():%H:%M:%S}] {_STEPS.get(name, name) if self.language == 'zh' else name}",
            )

    def _training(self, message: JSON) -> None:
        step, total = int(message["step"]), int(message["total"])
        began, first = self._seen
        if step <= first or not first:
            self._seen = began, first = time.monotonic(), step
        pace = (time.monotonic() - began) / max(1, step - first)
        left = f"{int(pace * (total - step)) // 60}:{int(pace * (total - step)) % 60:02d}" if step > first else "?"
        line = self.text("Training: step {}/{}, loss {:.3f}, about {} left", step, total, message["loss"], left)
        if sys.stdout.isatty():
            done = 30 * step // max(1, total)
            self.over(f"{'█' * done}{'░' * (30 - done)} {line}")
        elif step in {1, total} or step % max(1, total // 10) == 0:
            self.say("{}", line)
