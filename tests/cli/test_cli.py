"""The command ``feilun``: help, errors, exit codes, and what it says about the wheel."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.cli.conftest import run

from feilun.cli import commands, main
from feilun.records import ModelVersion, Permissions, Target, Trace, Usage
from feilun.store import feedback, keys, models, open_database, sources
from feilun.store.access import endpoints, limits, providers
from feilun.store.calls.calllog import CallLog
from feilun.store.traces import line

COMMANDS = (
    *("up", "turn", "pull", "key", "lineage", "impact", "records", "permissions", "feedback", "status", "settings"),
    *("rollout", "wheel", "upgrade", "member", "model", "provider", "endpoint", "limit", "usage", "review"),
    *("train", "export", "import", "curate", "synthesise", "audit", "retrain", "encryption", "unmask", "insights"),
    *("advise", "exam", "leaderboard", "power", "redteam"),
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """``--help`` ends with exit code 0 and shows how."""
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    assert f"example: feilun {command}" in capsys.readouterr().out


def test_help_imports_nothing_heavy() -> None:
    """Help is quick because it needs none of the libraries."""
    heavy = "torch transformers fastapi pyarrow sqlalchemy alembic httpx numpy"
    code = f"import sys, feilun.cli; print([name for name in {heavy.split()!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_part_is_there() -> None:
    """What commands import by name exists."""
    for name in commands.PARTS:
        assert callable(commands.part(name)), name


def test_lineage_and_impact_name_everything(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From an answer down to the file, and from the file up to the answer, by any of its names."""
    assert run("lineage", "trace-a", home=home) == 0
    said = capsys.readouterr().out
    for part in ("deployment-a", "model-a", "record-c", "What is the fee?", "policy/fees.md"):
        assert part in said
    for name in ("fees.md", "policy/fees.md", "source-a"):
        assert run("impact", name, home=home) == 0
        said = capsys.readouterr().out
        assert "1 datasets, 1 models, 1 deployments, 1 answers" in said.replace("2 datasets", "1 datasets")
        assert "费用是多少？" in said
    assert run("impact", "fees.md", "--json", home=home) == 0
    assert json.loads(capsys.readouterr().out)["answers"][0]["id"] == "trace-a"


def test_permissions_rule_what_records_there_are(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After ``--train no`` nothing is there to train on, and the passage can still be found."""
    assert run("records", "--purpose", "train", home=home) == 0
    assert "record-c" in capsys.readouterr().out
    assert run("permissions", "fees.md", "--train", "no", "--until", "2999-01-01", home=home) == 0
    assert run("records", "--purpose", "train", home=home) == 0
    assert "record-c" not in capsys.readouterr().out
    assert run("records", "--purpose", "retrieve", "--find", "about", home=home) == 0
    assert "record-p" in capsys.readouterr().out
    assert run("permissions", "fees.md", "--train", "yes", "--until", "none", home=home) == 0
    db = open_database(home)
    assert sources.get(db, "default", "source-a").permissions == Permissions()
    db.close()


def test_feedback_is_kept(home: Path) -> None:
    """A correction from the command line is there for the next turn."""
    assert run("feedback", "trace-a", "--correction", "四克朗。", "--thumb", "down", home=home) == 0
    db = open_database(home)
    (kept,) = feedback.find(db, "default")
    db.close()
    assert (kept.thumb, kept.correction, kept.trace) == (-1, "四克朗。", "trace-a")


def test_keys_are_made_listed_and_revoked(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The secret is shown once, when the key is made."""
    assert run("key", "create", "--role", "viewer", "--name", "web", home=home) == 0
    secret = capsys.readouterr().out.split()[-1]
    assert secret.startswith("fl-")
    db = open_database(home)
    (key,) = keys.find(db, "default")
    db.close()
    assert run("key", "list", home=home) == 0
    listed = capsys.readouterr().out
    assert key.id in listed
    assert secret not in listed
    assert run("key", "revoke", key.id, home=home) == 0
    assert run("key", "list", home=home) == 0
    assert "revoked" in capsys.readouterr().out


def test_a_members_key_ends_with_them(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A key has a member, an end and scopes; removing the member is said and done."""
    assert run("member", "add", "Ann 安", "--role", "viewer", home=home) == 0
    options = ("--member", "Ann 安", "--role", "viewer", "--expires", "90d", "--scope", "models", "--scope", "data")
    assert run("key", "create", *options, home=home) == 0
    assert run("key", "create", "--expires", "2999-12-31", home=home) == 0
    db = open_database(home)
    first, second = keys.find(db, "default")
    assert first.scopes == ("models", "data")
    assert first.expires is not None
    assert 89 < (first.expires - time.time()) / 86400 < 91
    assert second.expires == datetime(3000, 1, 1, tzinfo=UTC).timestamp()
    assert len(keys.all_active(db)) == 2
    capsys.readouterr()
    assert run("key", "list", home=home) == 0
    assert "models,data" in capsys.readouterr().out
    assert run("member", "remove", "Ann 安", home=home) == 0
    assert [key.id for key in keys.all_active(db).values()] == [second.id]
    db.close()
    assert run("member", "list", home=home) == 0
    assert "removed" in capsys.readouterr().out


def test_a_providers_key_is_never_shown(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes from the environment or standard input, stays when asked to, and there is no option for it."""
    add = ("provider", "add", "cloud", "--url", "https://api.example.com/v1")
    monkeypatch.setenv("CLOUD_KEY", "sk-from-environment")
    assert run(*add, "--key-from", "CLOUD_KEY", home=home) == 0
    db = open_database(home)
    kept = [providers.unseal(db, providers.get(db, "default", "cloud"))]
    for given, option in (("sk-from-stdin-0001\n", ()), ("", ("--keep-key",)), ("", ("--no-key",))):
        monkeypatch.setattr(sys, "stdin", io.StringIO(given))
        assert run(*add, *option, home=home) == 0
        kept.append(providers.unseal(db, providers.get(db, "default", "cloud")))
    db.close()
    assert kept == ["sk-from-environment", "sk-from-stdin-0001", "sk-from-stdin-0001", ""]
    assert run("provider", "list", home=home) == 0
    assert run(*add, home=home) == 2
    said = capsys.readouterr()
    assert "no key on standard input" in said.err
    assert "sk-from" not in said.out + said.err
    with pytest.raises(SystemExit):
        run(*add, "--key", "sk", home=home)
    assert run("provider", "remove", "cloud", home=home) == 0


def test_endpoints_are_set_with_targets_and_prices(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A target is a model, perhaps at a provider, perhaps with a weight; prices are exact, once or for each."""
    assert run("provider", "add", "cloud", "--url", "https://api.example.com/v1", "--no-key", home=home) == 0
    targets = ("--target", "own=3", "--target", "org/gpt@5@cloud=0.5", "--target", "gpt@cloud")
    prices = ("--price-in", "0", "--price-in", "2.50", "--price-in", "1", "--price-out", "10.001")
    more = ("--fallback", "spare", "--sticky", "prefix", "--timeout", "first=2.5", "--retries", "0")
    assert run("endpoint", "set", "task", *targets, *prices, *more, home=home) == 0
    db = open_database(home)
    (kept,) = endpoints.find(db, "default")
    assert kept.targets == (
        Target("own", "", 3.0, 0, 10001),
        Target("org/gpt@5", "cloud", 0.5, 2500, 10001),
        Target("gpt", "cloud", 1.0, 1000, 10001),
    )
    assert (kept.fallback, kept.sticky, kept.timeouts, kept.retries) == (("spare",), "prefix", {"first": 2.5}, 0)
    capsys.readouterr()
    assert run("endpoint", "list", home=home) == 0
    assert "org/gpt@5@cloud  =0.5  2.5/10.001" in capsys.readouterr().out
    assert run("endpoint", "set", "task", "--target", "own", "--exam", "eval-1", "--bar", "0.8", home=home) == 0
    assert endpoints.get(db, "default", "task").policy == "cheapest"
    assert run("endpoint", "remove", "task", home=home) == 0
    assert endpoints.find(db, "default") == []
    db.close()


def test_targets_have_windows_and_take_images(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both once for all targets, or once for each; the list says so of those that were told."""
    targets = ("--target", "own", "--target", "model-base")
    told = ("--context", "2048", "--images", "no", "--images", "yes")
    assert run("endpoint", "set", "see", *targets, *told, home=home) == 0
    db = open_database(home)
    kept = endpoints.get(db, "default", "see").targets
    db.close()
    assert kept == (Target("own", context=2048), Target("model-base", context=2048, images=True))
    capsys.readouterr()
    assert run("endpoint", "list", home=home) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "  own  =1  0/0  context 2048",
        "  model-base  =1  0/0  context 2048  images",
    ]


def test_versions_are_turned_on_and_off(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The list says what is on and why; what a verdict promoted, or an endpoint names, cannot be turned off."""
    db = open_database(home)
    models.add(db, ModelVersion("model-base", "", "base", "base", "", "", {}, created=1.0))
    models.add(db, ModelVersion("model-b", "default", "candidate", "adapter", "model-base", "", {}))

    def listed() -> dict[str, list[str]]:
        capsys.readouterr()
        assert run("model", "list", home=home) == 0
        rows = [line.split() for line in capsys.readouterr().out.splitlines()]
        return {row[0]: [row[2], row[-1]] for row in rows}

    before = {"model-base": ["on", "-"], "model-a": ["on", "deployment-a"], "model-b": ["off", "-"]}
    assert listed() == before
    assert run("model", "on", "model-b", home=home) == 0
    assert listed() == {**before, "model-b": ["on", "cli"]}
    assert run("model", "off", "model-b", home=home) == 0
    assert listed() == before
    assert run("endpoint", "set", "try", "--target", "model-b", home=home) == 0
    assert listed()["model-b"] == ["on", endpoints.get(db, "default", "try").id]
    db.close()
    refused = (("model-a", 4, "is promoted"), ("model-b", 4, "stands behind"), ("model-base", 2, "never off"))
    for name, code, says in refused:
        assert run("model", "off", name, home=home) == code
        assert says in capsys.readouterr().err


def test_limits_are_set_listed_and_removed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By scope and target, members by name, money as decimals."""
    assert run("member", "add", "Ann", home=home) == 0
    assert run("limit", "set", "member", "Ann", "--money-per-day", "1.5", "--concurrent", "4", home=home) == 0
    assert run("limit", "set", "workspace", "--tokens-per-month", "1000", home=home) == 0
    db = open_database(home)
    first, second = limits.find(db, "default")
    assert (first.money_per_day, first.concurrent, first.tokens_per_day) == (1_500_000_000, 4, None)
    assert (second.target, second.tokens_per_month) == ("default", 1000)
    assert run("limit", "remove", first.id, home=home) == 0
    assert limits.find(db, "default") == [second]
    db.close()
    capsys.readouterr()
    assert run("limit", "list", home=home) == 0
    assert "tokens_per_month=1000" in capsys.readouterr().out


def test_a_limit_is_put_on_the_workspace_that_is_named(home: Path) -> None:
    """By its name, and never in the place of another workspace's."""
    assert run("limit", "set", "workspace", "--concurrent", "5", home=home) == 0
    assert run("limit", "set", "workspace", "clinic", "--concurrent", "7", home=home) == 0
    assert run("limit", "set", "workspace", "clinic", "--workspace", "default", "--concurrent", "1", home=home) == 2
    db = open_database(home)
    for ws, most in (("default", 5), ("clinic", 7)):
        assert [(one.target, one.concurrent) for one in limits.find(db, ws)] == [(ws, most)]
    db.close()


def test_usage_is_shown_as_a_table_as_csv_and_as_json(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a killed gateway left in its log is counted too; the table is in the reader's language."""
    log = CallLog(home / "calls", "gateway")
    log.write([line(Trace("trace-b", "default", "key-a", "own", "模型", (), "", "stop", Usage(5, 2), cost=2500))])
    log.close()
    assert run("usage", "--by", "model", "--csv", home=home) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[0] == "model,calls,prompt_tokens,completion_tokens,cached_tokens,cost"
    assert set(rows[1:]) == {"model-a,1,3,1,0,0", "模型,1,5,2,0,0.0000025"}
    assert run("usage", "--by", "endpoint", "--json", home=home) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["endpoint"], row["prompt_tokens"], row["cost"]) == ("own", 8, "0.0000025")
    assert run("usage", "--language", "zh", home=home) == 0
    assert "费用 (CNY)" in capsys.readouterr().out
    assert run("usage", "--until", "1970-01-01", "--json", home=home) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_status_and_settings_say_what_there_is(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is served, and every setting with its help; Chinese where asked for."""
    assert run("status", home=home) == 0
    assert "serves model-a as own" in capsys.readouterr().out
    assert run("status", "--language", "zh", home=home) == 0
    assert "工作区 default" in capsys.readouterr().out
    assert run("settings", home=home) == 0
    assert "port = 8600" in capsys.readouterr().out
