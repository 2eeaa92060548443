"""Every word of the report, in English and Chinese, key by key. Knows nothing else."""

from __future__ import annotations

from typing import Final

LANGUAGES: Final = ("en", "zh")

# key: (English, Chinese). Placeholders are those of str.format and are the same in both.
_TABLE: Final[dict[str, tuple[str, str]]] = {
    "title": ("Is the new model better?", "新模型更好吗？"),
    "language": ("Language", "语言"),
    "promoted": ("Promoted", "已采用"),
    "kept": ("Not promoted", "未采用"),
    "headline_promoted": ("The new model is better. It now answers.", "新模型更好，已开始服务。"),
    "headline_kept": ("The new model did not pass.", "新模型没有通过。"),
    "before": ("Current model", "当前模型"),
    "after": ("New model", "新模型"),
    "own": ("Your organisation's questions", "贵机构的问题"),
    "general": ("Everyday questions", "日常问题"),
    "of_questions": ("{right} of {questions} right", "{questions} 题答对 {right} 题"),
    "figure_note": (
        "{difference} points (95 % interval {low} to {high})",
        "{difference} 个百分点（95% 区间 {low} 至 {high}）",
    ),
    "sees": (
        "An exam of this kind shows a difference of {sees} points or more 8 times in 10.",
        "这样的考试十次中有八次能看出 {sees} 个百分点以上的差别。",
    ),
    "sees_nothing": (
        "An exam this small cannot show any difference: nothing can be told from it.",
        "这场考试题目太少，看不出任何差别，无法据此判断。",
    ),
    "hang_together": (
        "Its {questions} questions are about {clusters} separate things, and count as so many.",
        "{questions} 道题涉及 {clusters} 件相互独立的事，按此数目计算。",
    ),
    "guards": ("Guard exams", "护栏考试"),
    "guards_lead": (
        "None of these may lose more than {margin} points; each must show it by itself.",
        "以下每一场都必须各自证明：退步没有超过 {margin} 个百分点。",
    ),
    "guard_kept": ("kept", "通过"),
    "guard_open": ("cannot tell", "无法判断"),
    "guard_lost": ("lost", "退步"),
    "not_sat": ("This exam was not sat.", "没有进行这场考试。"),
    "own_heading": ("Before and after", "前后对比"),
    "own_lead": (
        (
            "Both models sat the same exam of {questions} questions about your organisation. None of these wordings "
            "was in the training."
        ),
        "两个模型参加同一场考试：{questions} 道关于贵机构的题，题目的问法都没有在训练中出现过。",
    ),
    "share_right": ("Share of right answers", "答对的比例"),
    "difference": ("Difference in points, with 95 % interval", "相差的百分点及其 95% 区间"),
    "no_difference": ("0: no difference", "0：没有差别"),
    "own_better": (
        (
            "The dot is the measured difference; the line is the range in which the true difference lies, with 95 % "
            "confidence. The line keeps clear of zero, so this is no luck."
        ),
        "圆点是测得的差别，横线是真实差别所在的范围（置信度 95%）。横线完全在零的右侧，说明这不是运气。",
    ),
    "own_worse": (
        (
            "The dot is the measured difference; the line is the range in which the true difference lies, with 95 % "
            "confidence. The line lies left of zero: the new model is worse."
        ),
        "圆点是测得的差别，横线是真实差别所在的范围（置信度 95%）。横线在零的左侧，说明新模型更差。",
    ),
    "own_unclear": (
        (
            "The dot is the measured difference; the line is the range in which the true difference lies, with 95 % "
            "confidence. The line is not clear enough of zero, so it may be luck."
        ),
        "圆点是测得的差别，横线是真实差别所在的范围（置信度 95%）。横线离零不够远，差别可能只是运气。",
    ),
    "topics": ("By topic", "分主题"),
    "topics_lead": (
        "The hollow dot is the current model, the full dot the new one.",
        "空心圆点是当前模型，实心圆点是新模型。",
    ),
    "topic_change": ("{before} % to {after} %, {questions} questions", "{before}% 变为 {after}%，共 {questions} 题"),
    "general_heading": ("What it knew before", "原有的知识"),
    "general_lead": (
        (
            "A model that learns can forget. {questions} everyday questions check that; a loss of more than {margin} "
            "points must be ruled out."
        ),
        "模型在学习时可能遗忘。{questions} 道日常题用来检查这一点：必须排除退步超过 {margin} 个百分点。",
    ),
    "limit": ("Limit {margin}", "界限 {margin}"),
    "general_kept": (
        "The whole line is right of the limit: the loss that was feared can be ruled out.",
        "横线全部在界限右侧：可以排除所担心的退步。",
    ),
    "general_broken": (
        "The line reaches the limit or crosses it: too great a loss cannot be ruled out.",
        "横线达到或越过了界限：不能排除过大的退步。",
    ),
    "changes": ("What changed", "发生了什么变化"),
    "changes_lead": (
        "Questions that one of the two models answered right and the other wrong.",
        "一个模型答对、另一个模型答错的题目。",
    ),
    "gained": ("Now right", "现在答对"),
    "lost": ("Now wrong", "现在答错"),
    "none_gained": ("No question.", "没有题目。"),
    "none_lost": ("No question.", "没有题目。"),
    "expected": ("Expected", "正确答案"),
    "was": ("Before", "之前"),
    "now": ("Now", "现在"),
    "silent": ("(no answer)", "（没有回答）"),
    "show_more": ("Show {count} more", "再看 {count} 题"),
    "learning": ("How it learned", "学习过程"),
    "learning_lead": (
        "The loss says how surprised the model was by the right answers. It should fall and then level off.",
        "损失表示模型对正确答案感到多意外，它应当先下降，再趋于平稳。",
    ),
    "loss": ("Loss", "损失"),
    "step": ("Training step", "训练步"),
    "loss_from_to": ("Loss from {first} to {last} over {steps} steps", "经过 {steps} 步，损失从 {first} 变为 {last}"),
    "no_loss": ("No training was recorded.", "没有训练记录。"),
    "speed": ("Training speed", "训练速度"),
    "speed_value": ("{value} tokens/s", "每秒 {value} 个词元"),
    "data": ("What it learned from", "学习材料"),
    "files": ("Files read", "读取的文件"),
    "files_of": ("{read} / {all}", "{read} / {all}"),
    "found": ("Questions with answers found", "找到的问答"),
    "used": ("Used for training", "用于训练"),
    "masked": ("Personal details masked", "遮蔽的个人信息"),
    "corrections": ("Corrections from people", "人工更正"),
    "skipped": ("Files left out", "未采用的文件"),
    "dropped": ("Questions with answers left out", "未采用的问答"),
    "reason": ("Reason", "原因"),
    "file": ("File", "文件"),
    "count": ("Number", "数量"),
    "nothing_skipped": ("Every file could be read.", "所有文件都能读取。"),
    "made": ("How it was made", "制作过程"),
    "made_lead": (
        "For those who want to check or repeat it.",
        "供需要核对或重做的人参考。",
    ),
    "model_id": ("Model version", "模型版本"),
    "incumbent_id": ("Current version", "当前版本"),
    "base": ("Base model", "基础模型"),
    "dataset_id": ("Dataset version", "数据集版本"),
    "verdict_id": ("Verdict", "裁定"),
    "hashes": ("Hashes (SHA-256)", "哈希值（SHA-256）"),
    "settings": ("Training settings", "训练设置"),
    "steps": ("Steps and time", "步骤与用时"),
    "total": ("Total", "合计"),
    "memory": ("Peak memory", "内存峰值"),
    "identity": ("Does the server serve what was trained?", "服务的模型与训练的模型一致吗？"),
    "identity_same": (
        (
            "Yes. {prompts} prompts gave the same words; the largest difference in log-probability is {difference} "
            "(allowed: {tolerance})."
        ),
        "一致。{prompts} 条提示得到相同的词，对数概率最大相差 {difference}（允许 {tolerance}）。",
    ),
    "identity_differs": (
        (
            "No. Over {prompts} prompts the largest difference in log-probability is {difference} (allowed: "
            "{tolerance}). What differs:"
        ),
        "不一致。{prompts} 条提示中，对数概率最大相差 {difference}（允许 {tolerance}）。不同之处：",
    ),
    "part_answers": ("answers", "回答"),
    "part_weights": ("weights", "权重"),
    "part_adapter": ("adapter", "适配器"),
    "part_tokenizer": ("tokenizer", "分词器"),
    "part_template": ("chat template", "对话模板"),
    "part_defaults": ("generation defaults", "生成默认值"),
    "identity_none": ("Not checked in this turn.", "这一轮没有检查。"),
    "next": ("What to do next", "下一步"),
    "next_ask": ("Ask it something that only your organisation knows.", "向它提一个只有贵机构才知道答案的问题。"),
    "next_correct": (
        "Correct wrong answers where you meet them: the next turn learns every correction.",
        "遇到错误的回答就更正它：下一轮会学习每一条更正。",
    ),
    "next_weak": (
        "Add files or questions with answers about what it still knows least: {topics}.",
        "补充它仍然最不熟悉的内容的文件或问答：{topics}。",
    ),
    "next_lost": (
        "Read the questions that are now wrong, and correct those that matter to you.",
        "查看现在答错的题目，更正对您重要的那些。",
    ),
    "next_skipped": (
        "Mend the files that were left out, if they matter, and put them back.",
        "如果未采用的文件重要，请修复后重新放入。",
    ),
    "next_more": (
        "Add more questions with answers, each fact asked in several wordings, then turn the wheel again.",
        "补充更多问答，每个事实用几种问法，然后再转一轮。",
    ),
    "next_gentler": (
        "Teach more gently: fewer passes over the samples (setting epochs), then turn the wheel again.",
        "用更温和的方式训练：减少遍数（设置 epochs），然后再转一轮。",
    ),
    "next_identity": (
        "Have the model server checked: it does not serve what was trained, so nothing was promoted.",
        "请检查模型服务：它提供的不是训练出来的模型，因此没有采用。",
    ),
    "next_safe": (
        "You need not do anything: the current model keeps answering as before.",
        "无须采取任何措施：当前模型照常服务。",
    ),
    "seconds": ("{seconds} s", "{seconds} 秒"),
    "minutes": ("{minutes} min {seconds} s", "{minutes} 分 {seconds} 秒"),
    "separator": (", ", "、"),
    "made_by": (
        "Made by Feilun. This page needs no network and holds no program.",
        "由飞轮生成。本页无须联网，不含程序。",
    ),
    "step_collect": ("Collect files and feedback", "收集文件与反馈"),
    "step_ingest": ("Read the files", "读取文件"),
    "step_curate": ("Clean and check the data", "清洗并检查数据"),
    "step_dataset": ("Write the dataset", "写入数据集"),
    "step_base": ("Prepare the base model", "准备基础模型"),
    "step_incumbent": ("Exams of the current model", "当前模型考试"),
    "step_train": ("Training", "训练"),
    "step_candidate": ("Exams of the new model", "新模型考试"),
    "step_verdict": ("Verdict", "裁定"),
    "step_identity": ("Check of the model server", "检查模型服务"),
    "step_promote": ("Promotion", "采用"),
    "step_report": ("Report", "报告"),
}

WORDS: Final[dict[str, dict[str, str]]] = {
    language: {key: row[index] for key, row in _TABLE.items()} for index, language in enumerate(LANGUAGES)
}
