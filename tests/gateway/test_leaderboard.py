"""``GET /api/leaderboard`` over loopback: figures of real runs, for whoever may read, and of one workspace alone."""

from feilun.records import Eval, EvalAnswer, EvalItem, EvalRun
from feilun.store import evals, workspaces

ITEMS = tuple(EvalItem(f"item-{n}", f"What is {n}?", (str(n),)) for n in range(20))


def fill(db, ws, right):
    """Keep an exam that a model has sat."""
    workspaces.ensure(db, ws)
    evals.add(db, Eval(f"eval-{ws}", ws, "own exam", ITEMS))
    evals.add_run(db, EvalRun(f"evalrun-{ws}", ws, f"eval-{ws}", "cloud/model", "succeeded"))
    rows = [
        EvalAnswer(f"evalrun-{ws}", item.id, item.question, "x", float(n < right), {"seconds": 0.5, "identity": "abc"})
        for n, item in enumerate(ITEMS)
    ]
    evals.add_answers(db, rows)


def test_the_board_of_a_workspace(gateway):
    """Shares with intervals, the cost of a right answer, the bar; nothing of another workspace."""
    viewer = gateway.http(gateway.key("bank", "viewer"))
    fill(gateway.db, "bank", 10)
    fill(gateway.db, "clinic", 20)
    found = viewer.get("/api/leaderboard", params={"bar": 0.2}).json()
    assert (found["object"], found["bar"], found["smallest"]) == ("leaderboard", 0.2, None)
    (cell,) = found["cells"]
    assert (cell["exam"], cell["model"], cell["share"], cell["right"]) == ("eval-bank", "cloud/model", 0.5, 10)
    assert cell["interval"][0] < 0.5 < cell["interval"][1]
    assert (cell["seconds_per_right"], cell["joules_per_right"], cell["money_per_right"]) == (1.0, None, None)
    assert cell["identity"] == "abc"
    assert found["models"] == [{"id": "cloud/model", "name": "cloud/model", "kind": "provider", "bytes": None}]
    assert viewer.get("/api/leaderboard", params={"exam": "eval-clinic"}).json()["cells"] == []
    assert viewer.get("/api/leaderboard", params={"bar": 2}).status_code == 400
    assert gateway.http("wrong").get("/api/leaderboard").status_code == 401
