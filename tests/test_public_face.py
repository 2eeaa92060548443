"""The public face of every room: what may be imported from its door, and nothing besides."""

from __future__ import annotations

import importlib

import pytest

FACES = {
    "feilun.cli": "main",
    "feilun.compute": (
        "Command Context Journal PeakMemory Process Restart Spare describe die_with_parent disk_errors ensure_space "
        "has_amx has_bf16 holder lock machine memory_limit permit_files revive rss run say say_failure say_ready "
        "threads to_the_end"
    ),
    "feilun.curation": (
        "Block Correction Curated Document IngestReport Report Skip Unreadable curate documents exam_items holdout "
        "ingest is_exam parse parse_exam scan"
    ),
    "feilun.engines": "Delta Engine Request",
    "feilun.engines.schema": (
        "CALL_CLOSE CALL_OPEN Unsatisfiable answer_schema call_grammar call_text functions is_free json_grammar "
        "patterns schemas smallest unenforceable"
    ),
    "feilun.evaluation": (
        "Sitting check_unseen compare contains decide flips load_exam mcnemar paired_interval parse_exam "
        "render_template sit string_check"
    ),
    "feilun.evaluation.formats": "Imported Wishes read_exam",
    "feilun.feedback": (
        "Collected Flagged Lesson Preferences agreement collect exam_wordings export flag_dataset flag_feedback "
        "flag_records preferences standings training_wordings write_preferences"
    ),
    "feilun.flywheel": "DRILLS retrain sample_paths turn",
    "feilun.gateway": "create_app create_server up",
    "feilun.gateway.endpoints.admin": "router",
    "feilun.gateway.hotpath": "Hotpath",
    "feilun.gateway.observability": "Watch watching",
    "feilun.grading": "Grade Judge check contains grade lacking render_template string_check tokens",
    "feilun.grading.sandbox": "ask",
    "feilun.serving": "start_engine",
    "feilun.store": "Database Edge Journal open_database record_digests",
    "feilun.training": "foresee run_training",
    "feilun.wire": (
        "ASGIApp Event Exchange Handler Origin Pool Reply Server ServerLimits Splitter Timeouts ensure_callable events "
        "last_id parse_url payloads resolve"
    ),
}


@pytest.mark.parametrize("room", FACES)
def test_a_door_exports_what_is_agreed(room: str) -> None:
    """A name that comes or goes is a decision: change it here too."""
    door = importlib.import_module(room)
    assert sorted(door.__all__) == sorted(FACES[room].split())
    assert all(getattr(door, name) is not None for name in door.__all__)
