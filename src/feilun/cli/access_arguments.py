"""The options and help of the commands that run a workspace. Knows their words; does not know what they do."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from feilun.cli import access

_ROLES = ("owner", "builder", "annotator", "viewer")
_KEYS = """example: feilun key create --role viewer --name web
example: feilun key create --member Ann --expires 90d --scope models
example: feilun key revoke key-01k…

The secret is printed once, when the key is made. A revoked key is refused within a second."""
_MEMBERS = """example: feilun member add Ann --role builder
example: feilun member remove Ann

No key of a member has a higher role than the member. Removing somebody ends all of their keys."""
_MODELS = """example: feilun model list
example: feilun model on model-01k…
example: feilun model off model-01k…

A version that a turn of the wheel made is off until its verdict promotes it, or somebody turns it on. On are also the
versions that an endpoint names, and those of fine-tuning jobs that were asked for through the API. What is off answers
to nobody, but sits exams all the same. Off holds within a second."""
_PROVIDERS = """example: feilun provider add cloud --url https://api.example.com/v1 --key-from CLOUD_API_KEY
example: feilun provider add cloud --url https://api.example.com/v1 < key.txt
example: feilun provider add near --url http://10.0.0.5:8000/v1 --no-key

The key is read from the environment or from standard input, so that it is in no history and no process list, and is
kept encrypted. A second add replaces the provider. Data that must not leave is never sent to one."""
_ENDPOINTS = """example: feilun endpoint set support --target own
example: feilun endpoint set support --target own=9 --target gpt-5@cloud=1 --price-in 0 --price-in 2.50
example: feilun endpoint set support --target own --target gpt-5@cloud=0 --fallback spare
example: feilun endpoint set see --target gpt-5@cloud --images yes --context 128000

Clients ask for the endpoint's name (support) as their model, and never notice what stands behind it. A weight is a
share; 0 is only when others fail. Prices are money per million tokens. Prices, --context and --images are there once
for all targets, or once for each."""
_LIMITS = """example: feilun limit set workspace --money-per-month 500
example: feilun limit set workspace clinic --requests-per-minute 100
example: feilun limit set member Ann --tokens-per-day 200000
example: feilun limit set key key-01k… --requests-per-minute 60 --concurrent 4
example: feilun limit remove limit-01k…

Setting a limit replaces the earlier one of its target; what is not named is not limited. No budget is overspent by one
token: a call whose worst case does not fit is refused. Days and months are those of UTC."""
_USAGE = """example: feilun usage
example: feilun usage --by member,model --since 2026-01-01 --until 2026-01-31
example: feilun usage --by day,endpoint --csv > usage.csv

Tokens are those that engines counted, also of calls that their clients left. Days are those of UTC."""
Command = Callable[..., argparse.ArgumentParser]


def add_access(found: Any, command: Command) -> None:
    """Add the commands; ``command`` makes one with what all commands have."""
    _add_people(found, command)
    _add_routes(found, command)
    _add_usage(found, command)


def _made(found: Any, command: Command, name: str, run: Any, text: str, teaching: str) -> argparse.ArgumentParser:
    parser = command(found, name, run, text, "")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = teaching
    parser.allow_abbrev = False  # --key SECRET must not pass for --key-from
    parser.add_argument("--workspace", default="", metavar="NAME", help="the workspace (default: default, or any)")
    return parser


def _add_people(found: Any, command: Command) -> None:
    key = _made(found, command, "key", access.key, "make, list and revoke API keys", _KEYS)
    key.add_argument("action", choices=["create", "list", "revoke"], help="what to do")
    key.add_argument("id", nargs="?", default="", metavar="ID", help="which key to revoke")
    key.add_argument("--role", default="builder", choices=_ROLES, help="what it may (default: builder)")
    key.add_argument("--name", default="key", help="what it is for")
    key.add_argument("--member", default="", metavar="WHO", help="whose it is: a member's name or id")
    key.add_argument("--expires", default="", metavar="WHEN", help="last day (2026-12-31), or a while: 12h, 90d, 4w")
    key.add_argument(
        "--scope",
        action="append",
        default=[],
        choices=["models", "data", "admin"],
        help="what it may be used for; again for more (default: all that the role permits)",
    )

    member = _made(found, command, "member", access.member, "add, list and remove people of a workspace", _MEMBERS)
    member.add_argument("action", choices=["add", "list", "remove"], help="what to do")
    member.add_argument("name", nargs="?", default="", metavar="NAME", help="who")
    member.add_argument("--role", default="builder", choices=_ROLES, help="what they may (default: builder)")


def _add_routes(found: Any, command: Command) -> None:
    model = _made(found, command, "model", access.model, "list model versions, turn one on or off", _MODELS)
    model.add_argument("action", choices=["on", "off", "list"], help="what to do")
    model.add_argument("id", nargs="?", default="", metavar="ID", help="which version")

    provider = _made(found, command, "provider", access.provider, "add, list and remove model providers", _PROVIDERS)
    provider.add_argument("action", choices=["add", "list", "remove"], help="what to do")
    provider.add_argument("name", nargs="?", default="", metavar="NAME", help="what endpoints call it")
    provider.add_argument("--url", default="", help="its base address")
    provider.add_argument("--api", default="openai", choices=["openai", "anthropic"], help="what it speaks")
    secret = provider.add_mutually_exclusive_group()
    secret.add_argument("--key-from", default="", metavar="VARIABLE", help="environment variable that holds its key")
    secret.add_argument("--no-key", action="store_true", help="it needs no key")
    secret.add_argument("--keep-key", action="store_true", help="leave the key that it has")

    endpoint = _made(found, command, "endpoint", access.endpoint, "say what answers to a model name", _ENDPOINTS)
    endpoint.add_argument("action", choices=["set", "list", "remove"], help="what to do")
    endpoint.add_argument("name", nargs="?", default="", metavar="NAME", help="the model name that clients ask for")
    endpoint.add_argument(
        "--target", action="append", default=[], metavar="MODEL[@PROVIDER][=WEIGHT]", help="what may answer; repeat it"
    )
    for name, what in (("in", "prompts"), ("out", "answers")):
        endpoint.add_argument(
            f"--price-{name}", action="append", default=[], metavar="MONEY", help=f"price of {what}, per million tokens"
        )
    # A setting has the name "context", too.
    endpoint.add_argument(
        "--context",
        dest="window",
        action="append",
        default=[],
        metavar="TOKENS",
        help="window of a target (default: 0)",
    )
    endpoint.add_argument(
        "--images", action="append", default=[], choices=["yes", "no"], help="does a target take images (default: no)"
    )
    endpoint.add_argument(
        "--fallback", action="append", default=[], metavar="NAME", help="endpoint to try when none answers; repeat it"
    )
    endpoint.add_argument("--sticky", default="", choices=["conversation", "prefix"], help="what stays on a target")
    endpoint.add_argument("--exam", default="", metavar="ID", help="take the cheapest target that passes this exam")
    endpoint.add_argument("--bar", type=float, default=0.0, metavar="SHARE", help="what passing is, from 0 to 1")
    endpoint.add_argument(
        "--timeout", action="append", default=[], metavar="PHASE=SECONDS", help="connect, first, between or total"
    )
    endpoint.add_argument("--retries", type=int, default=2, metavar="N", help="tries besides the first (default: 2)")


def _add_usage(found: Any, command: Command) -> None:
    limit = _made(found, command, "limit", access.limit, "set, list and remove limits and budgets", _LIMITS)
    limit.add_argument("action", choices=["set", "list", "remove"], help="what to do")
    limit.add_argument(
        "scope",
        nargs="?",
        default="",
        metavar="SCOPE",
        help="workspace, member, key or endpoint; a limit's id to remove",
    )
    limit.add_argument(
        "target", nargs="?", default="", metavar="TARGET", help="which workspace, member, key or endpoint"
    )
    for name in ("requests-per-minute", "tokens-per-minute", "concurrent", "tokens-per-day", "tokens-per-month"):
        limit.add_argument(
            f"--{name}", type=int, metavar="N", help=name.replace("-", " ").replace("concurrent", "calls at once")
        )
    for name in ("money-per-day", "money-per-month"):
        limit.add_argument(f"--{name}", metavar="MONEY", help=name.replace("-", " "))
    limit.add_argument("--soft", type=float, default=0.8, metavar="SHARE", help="share of a budget that alerts")

    usage = _made(found, command, "usage", access.usage, "say what was used, and what it cost", _USAGE)
    usage.add_argument(
        "--by", default="day,model", metavar="NAMES", help="member, key, endpoint, model, kind, day; with commas"
    )
    usage.add_argument("--since", default="", metavar="DATE", help="first day")
    usage.add_argument("--until", default="", metavar="DATE", help="last day")
    shape = usage.add_mutually_exclusive_group()
    shape.add_argument("--csv", action="store_true", help="as CSV")
    shape.add_argument("--json", action="store_true", help="as JSON")
