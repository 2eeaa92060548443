"""Arguments, and what becomes of errors: a message, a hint, an exit code; never a traceback.

This module knows the commands' names, options and help. It does not know what they do.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from feilun import __version__
from feilun.cli import commands
from feilun.cli.access_arguments import add_access
from feilun.cli.curation import add_curation
from feilun.cli.governance import add_governance
from feilun.cli.importing import add_importing
from feilun.cli.insights import add_insights
from feilun.cli.proof import add_advise, add_exam, add_leaderboard, add_power, add_redteam
from feilun.cli.review import add_review
from feilun.cli.synthesis import add_synthesis
from feilun.cli.training import add_training
from feilun.cli.wheel import add_wheel
from feilun.cli.words import Teller
from feilun.errors import FeilunError
from feilun.settings import Settings, load, table

UNEXPECTED, INTERRUPTED, BROKEN_PIPE = 70, 130, 141
_logger = logging.getLogger(__name__)
Command = Callable[[argparse.Namespace, Teller], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0, the error class's own, 70 for the unexpected, 130 for Ctrl-C."""
    given = _parser().parse_args(arguments)
    teller = Teller(Settings())
    try:
        named = {name: getattr(given, name, None) for name, *_ in table()}
        teller = Teller(load(given.settings, given=named))
        command: Command = given.run
        code = command(given, teller)
        sys.stdout.flush()
    except FeilunError as error:
        _complain(teller, error.message, error.hint)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has gone; what is left must not be complained about at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:
        log = _log_file(teller.settings.root / "logs")
        _logger.exception("feilun %s", " ".join(sys.argv[1:]))
        line = teller.text("Something unexpected happened ({}). Details: {}", type(error).__name__, log or error)
        _complain(teller, line, "")
        return UNEXPECTED
    return code


def _complain(teller: Teller, message: str, hint: str) -> None:
    print(teller.text("error: {}", message), file=sys.stderr)
    if hint:
        print(teller.text("hint: {}", hint), file=sys.stderr)


def _log_file(folder: Path) -> Path | None:
    """Have the traceback written where somebody can look for it, and nowhere else; None if that cannot be."""
    _logger.propagate = False
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handler: logging.Handler = logging.FileHandler(folder / "cli.log", encoding="utf-8", errors="backslashreplace")
    except OSError:
        _logger.addHandler(logging.NullHandler())
        return None
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    _logger.addHandler(handler)
    return folder / "cli.log"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="feilun",
        description="Feilun: an organisation's own files become a proven, served model of its own.",
        epilog="example: feilun turn && feilun up",
    )
    parser.add_argument("--version", action="version", version=f"feilun {__version__}")
    found = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_wheel(found)
    add_wheel(found, _command)
    add_importing(found, _command)
    add_curation(found, _command)
    add_synthesis(found, _command)
    add_training(found, _command)
    add_review(found, _command)
    add_advise(found, _command)
    add_exam(found, _command)
    add_leaderboard(found, _command)
    add_power(found, _command)
    add_redteam(found, _command)
    add_insights(found, _command)
    _add_questions(found)
    add_governance(found, _command)
    _add_rules(found)
    add_access(found, _command)
    return parser


def _command(found: Any, name: str, run: Command, text: str, example: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = found.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=f"example: feilun {example}",
    )
    parser.set_defaults(run=run)
    parser.add_argument("--home", help="folder that holds everything (default: feilun-data)")
    parser.add_argument("--settings", type=Path, metavar="FILE", help="TOML file of settings (default: feilun.toml)")
    parser.add_argument("--language", choices=["en", "zh"], help="language of messages (default: the terminal's)")
    return parser


def _workspace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workspace", default="", metavar="NAME", help="the workspace (default: default, or any)")


def _add_wheel(found: Any) -> None:
    up = _command(found, "up", commands.up, "serve the OpenAI-compatible API until told to stop", "up --port 8600")
    up.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    up.add_argument("--port", type=int, help="port to listen on (default: 8600)")
    up.add_argument("--model", help="base model: a name, a Hugging Face folder or a GGUF file")
    up.add_argument("--engine", help="torch, or fake for trials without a model")
    up.add_argument("--threads", type=int, help="processor threads; 0 is all cores")
    _workspace(up)

    turn = _command(
        found,
        "turn",
        commands.turn,
        "turn the wheel once: files to data, model, exams, verdict, promotion",
        "turn --workspace clinic ./our-files ./exam_own.jsonl",
    )
    turn.add_argument("paths", nargs="*", metavar="PATH", help="files and folders (default: the sample organisation)")
    shares = turn.add_mutually_exclusive_group()
    shares.add_argument(
        "--canary", action="store_const", const=0, help="give the new version a share of the calls first"
    )
    shares.add_argument(
        "--at-once", dest="canary", action="store_const", const=-1, help="give the new version all calls at once"
    )
    turn.add_argument("--drill", default="", metavar="NAME", help="a fault that the proof must catch")
    turn.add_argument("--model", help="base model: a name, a Hugging Face folder or a GGUF file")
    turn.add_argument("--epochs", type=int, help="training passes over the samples; 0 lets the recipe choose")
    turn.add_argument("--threads", type=int, help="processor threads; 0 is all cores")
    _workspace(turn)

    pull = _command(
        found,
        "pull",
        commands.pull,
        "fetch a base model from Hugging Face or ModelScope",
        "pull ms:Qwen/Qwen2.5-0.5B-Instruct",
    )
    pull.add_argument("name", metavar="NAME", help="hf:owner/name, ms:owner/name, or the embedded model's name")


def _add_questions(found: Any) -> None:
    lineage = _command(
        found, "lineage", commands.lineage, "say what made an answer, a model or a dataset", "lineage trace-01k…"
    )
    lineage.add_argument("id", metavar="ID", help="trace-…, model-…, dataset-…, deployment-…")
    impact = _command(found, "impact", commands.impact, "say what a source touched", "impact fees-2025.md")
    impact.add_argument("source", metavar="SOURCE", help="a file's name, or an id")
    for parser, limit in ((lineage, 20), (impact, 100)):
        parser.add_argument("--limit", type=int, default=limit, metavar="N", help="how many to show")
        parser.add_argument("--json", action="store_true", help="print everything as JSON")
        _workspace(parser)

    records = _command(
        found,
        "records",
        commands.records,
        "list the records that may be used for a purpose",
        "records --purpose train --find fee",
    )
    records.add_argument("--purpose", required=True, choices=["train", "retrieve"], help="what they are for")
    records.add_argument("--find", default="", metavar="TEXT", help="only those that hold this text")
    _workspace(records)
    _command(found, "status", commands.status, "say what is served and which jobs ran", "status")
    _command(found, "settings", commands.list_settings, "print every setting with its value", "settings")


def _add_rules(found: Any) -> None:
    feedback = _command(
        found,
        "feedback",
        commands.feedback,
        "judge an answer, or correct it",
        'feedback trace-01k… --correction "The fee is 4 crowns."',
    )
    feedback.add_argument("trace", metavar="TRACE", help="the id of the answer")
    feedback.add_argument("--thumb", choices=["up", "down"], help="good or bad")
    feedback.add_argument("--score", type=float, help="how good, from 0 to 1")
    feedback.add_argument("--correction", default="", help="what would have been right")
    feedback.add_argument("--comment", default="", help="what else there is to say")
    _workspace(feedback)
