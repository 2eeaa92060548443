"""Phrases of site furniture, Chinese (Simplified) and English, by what they are part of.

This module knows how such lines begin or what they consist of. It does not know where in a page they stand.
"""

from __future__ import annotations

import re

_S = "[ \t\u3000·•|｜>»›/\\-—_【】\\[\\]()（）<《》#*+&▲▼◆■☆★>]*"
_D = "(?:19|20)\\d\\d[-/.年]\\d{1,2}[-/.月]\\d{1,2}日?(?:[ t]*\\d{1,2}:\\d\\d(?::\\d\\d)?)?"
_ALONE = {
    "navigation": (
        "首页|返回首页|网站首页|主页|返回|登录|注册|登录/注册|立即登录|免费注册|退出|搜索|菜单|导航|关于我们"
        "|联系我们|加入我们|网站地图|帮助中心|意见反馈"
        "|广告服务|友情链接|隐私(?:政策|条款|声明)|用户协议|服务条款|用户权限|安全联盟|法律声明|更多|更多>*"
        "|展开(?:全文|更多)?|收起|全文|返回顶部|回到顶部|目录"
        "|返回目录|返回列表|上一[篇页章条个]|下一[篇页章条个]|上一[篇页章条个][:：].{0,60}"
        "|下一[篇页章条个][:：].{0,60}|没有了|加载中.{0,4}|点击加载更多|加载更多"
        "|home|menu|search|close|skip to (?:main )?content|toggle navigation|main menu|site ?map|log ?in|sign "
        "?(?:in|up)|log ?out|register|my account"
        "|about(?: us)?|contact(?: us)?|careers|help(?: center)?|faqs?|back to (?:top|home|list)|show more|load "
        "more|read more|see more|view all|more"
        "|(?:previous|next)(?: (?:post|article|page|story))?(?:[:：].{0,80})?|loading\\W*|advertise(?: with us)?"
        "|site index|jump to .{0,30}"
    ),
    "sharing": (
        "分享|点赞|收藏|举报|打赏|赞赏|转发|点赞收藏|评论收藏|喜欢|订阅|\\+?关注|已关注|取消关注|微信|微博|qq空间"
        "|复制链接|扫码关注|微信订阅|官方微信.{0,6}"
        "|.{0,8}app下载|手机app|官方微信小程序|在线客服|share|tweet|pin it|e-?mail|print|facebook|twitter|linkedin"
        "|whatsapp|reddit|instagram|youtube"
        "|copy link|subscribe(?: now)?|follow(?: us)?|like|save|bookmark"
    ),
    "comments": (
        "(?:网友|全部|最新|热门|精彩|发表|我要|读者|用户|文章)?评论(?:区|列表)?(?: ?[(（]?\\d+[)）]?条?)?|发表|提交"
        "|取消|回复|我来说两句|条评论|写评论|暂无评论.{0,12}"
        "|(?:\\d+ )?comments?(?: \\(\\d+\\))?|leave a (?:comment|reply).{0,20}|post (?:a )?comment|reply|add a "
        "comment|join the (?:discussion|conversation)"
        "|view \\d* ?comments|be the first to comment.{0,20}"
    ),
    "advertising": (
        "广告|推广|赞助|advertisements?|sponsored(?: content)?|ad|promoted|story continues below(?: advertisement)?"
    ),
}
_BEGINS = {
    "navigation": (
        "(?:你?您?的?(?:当前|所在|现在)的?位置|您的位置|当前栏目|位置)(?:是)?[:：]|首页 *[>»›/|·]|home *[>»›/|]"
        "|you are here"
        "|skip to|专栏介绍|\\d+篇文章|版权声明及"
    ),
    "sharing": (
        "分享(?:到|至|给)|转发(?:到|至)|扫一扫|(?:微信)?扫(?:码|描).{0,20}(?:关注|下载|加|查看|二维码)"
        "|长按.{0,12}(?:二维码|关注|识别)|关注(?:我们|公众号|微信)"
        "|欢迎(?:关注|扫码|订阅|转发)|(?:更多|精彩).{0,12}(?:请|欢迎)?关注|好文章.{0,8}(?:鼓励|点赞)"
        "|(?:如果)?(?:你)?(?:觉得|喜欢).{0,20}(?:点赞|点个赞|在看|转发|分享)"
        "|点(?:个赞|击关注|击下载|赞\\d|击上方)|(?:下载|打开).{0,8}app|share (?:this|on|via|with)|follow (?:us|me) "
        "|subscribe (?:to|for|now)"
        "|sign up (?:for|to)|join our|get (?:the|our) (?:latest|newsletter|app)|enter your e-?mail|like us on"
        "|click (?:here )?to (?:share|tweet|subscribe)"
        "|download (?:the|our) app|enjoyed this (?:post|article)|thanks for (?:reading|subscribing)|support (?:us"
        "|our work|this site)"
    ),
    "numbers": (
        "\\d+ *(?:条|次|个|人)?(?:评论|浏览|阅读|收藏|点赞|喜欢|围观|人?已?看过|回复|跟帖)|(?:阅读|浏览|点击|访问"
        "|评论|人气|热度)(?:数|量|次数|人数)? *(?:[:：(（] *\\d|\\d+ *(?:次|人|条|$))"
        f"|(?:发布|发表|更新|时间|日期|发布时间|更新时间|更新日期|发表时间|来源时间)[于在]? *[:：]? *{_D}"
        f"|{_D}(?: *$|.{{0,40}}(?:来源|作者|编辑|阅读|浏览))"
        f"|应用版本|\\d+ *(?:min(?:ute)?s?) read"
        "|\\d[\\d,.]*[km]? *(?:views|shares|likes|reads|comments|followers|claps)|(?:last )?(?:updated|published"
        "|posted)(?: on)?[:：]? \\w+ \\d"
        "|字数[:：]? *\\d|阅读时间|还可输入|目前还没评论|评论请登录|请?登录后.{0,6}评论|请先登录|文明上网"
    ),
    "related": (
        "(?:相关|推荐|热门|延伸|猜你|为[您你]|更多|最新|精彩|随机|大家都在|往期|点击|阅读)(?:的)?(?:阅读|推荐|文章"
        "|新闻|链接|资讯|专题|标签|喜欢|看|帖子|视频|回顾|排行|内容|精彩|产品|评论|话题)榜?"
        "(?:[:：>》].{0,80}|$)|友情链接|related(?: (?:articles?|posts?|stories|content|links|topics|reading|news)"
        "|:)|you (?:may|might) also(?: be interested| like| enjoy)"
        "|(?:recommended|popular|trending|latest|recent|more)(?: (?:for you|posts|articles|stories|news|from"
        "|reading|now|in))|read (?:next|also|more)[:：]?"
        "|what to read next|don't miss|editor'?s? picks?|most (?:read|popular|viewed)|more (?:from|on|in"
        "|stories)\\b.{0,40}$|see also[:：]"
    ),
    "about": (
        "(?:责任编辑|责编|编审|审核|校对|监制|文章来源|稿源|原标题|原文链接|本文链接|本文地址|本文标签|关键词"
        "|关键字|标签|文章标签|tags?|本文编号|来源公众号|公众号id|投稿邮箱"
        "|filed under|categor(?:y|ies)|posted (?:by|in|on)|topics?|keywords|about the author|editor) *[:：(（】]"
        "|about the author$|作者简介$"
        "|filed under|posted (?:by|in|on) |作者(?:最新|其他|更多)文章"
    ),
    "rights": (
        "copyright|©|\\(c\\) ?\\d|版权(?:所有|声明|归)|.{0,30}版权所有|all rights reserved|.{0,80}(?:icp备|icp证"
        "|公网安备|备案号|许可证编?号?[:：])"
        "|.{0,60}all rights reserved|powered by|.{0,40}(?:未经|非经).{0,10}(?:许可|授权|允许|同意).{0,16}(?:转载"
        "|复制|使用|摘编)|转载(?:请|须|需)|(?:本文|文章).{0,30}转载(?:请|须|自)"
        "|(?:本文|文章|本稿|原文).{0,8}(?:由|来自|来源于|首发于|源自|转自|系).{0,60}(?:授权|原创|发布|转载|投稿)"
        "|(?:题图|封面图|头图|配图|图片)(?:来自|来源|均来自|由)"
        "|如有侵权|.{0,24}侵权.{0,12}(?:删除|联系|处理)|this (?:article|post|story) (?:was )?(?:originally|first) "
        "(?:appeared|published)|republished (?:with|from)"
        "|no part of this"
    ),
    "disclaimer": (
        "(?:特别|郑重|免责|重要|版权|本站|本网|风险)?(?:声明|提示)[:：]|.{0,24}(?:仅代表|不代表"
        "|并不代表).{0,24}(?:观点|立场|意见)|免责声明|.{0,24}不构成.{0,12}(?:建议|依据)"
        "|.{0,30}仅提供信息存储|本站.{0,20}(?:不承担|概不负责)|disclaimer|(?:the )?(?:views|opinions)(?: and "
        "opinions)? expressed|.{0,40}does not (?:constitute|necessarily reflect)"
        "|this (?:article|content|website|material) is (?:for|provided).{0,30}(?:information|educational)"
    ),
    "cookies": (
        ".{0,30}(?:使用|接受|同意).{0,10}cookie|.{0,30}(?:we|site|website) uses? cookies|.{0,30}\\bcookie (?:policy"
        "|settings|preferences|notice)"
        "|accept (?:all )?cookies|accept all$|reject all$|manage (?:cookies|preferences)|by (?:continuing|using "
        "this (?:site|website))|privacy (?:policy|settings)|terms (?:of|and) (?:use|service|conditions)"
        "|do not sell my"
    ),
    "contact": (
        "(?:客服|服务|咨询|投诉|举报|免费服务|全国|订购|联系|广告|合作|商务|新闻)[/\\w]{0,6}(?:热线|电话|邮箱|qq"
        "|微信)(?:[:：]|$)|邮箱(?:[:：]|$)|(?:服务|工作|营业)时间$"
        "|地址[:：]|邮编[:：]|传真[:：]|[\\w.+-]+@[\\w-]+\\.[\\w.]+$|\\+?[\\d() -]{7,20}$|\\d{1,2}:\\d\\d *[-~—]+ "
        "*\\d{1,2}:\\d\\d$"
    ),
}


def _named(alone: dict[str, str], begins: dict[str, str]) -> re.Pattern[str]:
    parts = [f"(?P<{name}>(?:{words})(?=[ \t:：>»›.。…!！]*$))" for name, words in alone.items()]
    parts += [f"(?P<{name}_>{words})" for name, words in begins.items()]
    return re.compile(f"{_S}(?:{'|'.join(parts)})")


# Of lower-case lines: alternatives that begin with letters of one case are told apart at once.
_FURNITURE = _named(_ALONE, _BEGINS)
_REGION = re.compile(
    f"{_S}(?:(?:网友|全部|最新|热门|精彩|发表|我要|读者|用户|文章)?评论(?:区|列表)?(?: ?[(（]?\\d+[)）]?条?)?"
    f"|(?:相关|推荐|热门|延伸|猜你|为[您你]|往期)(?:阅读|推荐|文章|新闻"
    "|资讯|喜欢|回顾)|(?:\\d+ )?comments?(?: \\(\\d+\\))?|leave a (?:comment|reply).{0,20}|related(?: (?:articles?"
    "|posts?|stories|content|links|news|reading))"
    "|you (?:may|might) also like|recommended for you|more (?:from|stories).{0,30}|popular posts|trending now"
    "|about the author|友情链接|上一篇.{0,60}|专栏介绍)[ \t:：>»]*$"
)


def furniture_kind(line: str) -> str:
    """Return which kind of furniture a line is, or nothing. Traditional lines must be made Simplified before."""
    match = _FURNITURE.match(line.lower())
    return match.lastgroup.rstrip("_") if match and match.lastgroup else ""


def opens_region(line: str) -> bool:
    """Tell whether a line is the heading of comments, related articles and the like, which end a page."""
    return _REGION.match(line.lower()) is not None
