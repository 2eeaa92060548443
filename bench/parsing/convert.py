"""Runs in the environment of a peer: ``python convert.py markitdown|docling FILE…`` prints {file: Markdown} as JSON.

Knows how each peer is called. Does not know what is measured, nor Feilun. A file that fails has an empty text.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

# docling's readers by format. They are called directly: its converter imports torch even where no model is used.
BACKENDS = {
    ".csv": ("csv_backend", "CsvDocumentBackend"),
    ".docx": ("msword_backend", "MsWordDocumentBackend"),
    ".md": ("md_backend", "MarkdownDocumentBackend"),
    ".pptx": ("mspowerpoint_backend", "MsPowerpointDocumentBackend"),
}


def markitdown() -> Callable[[Path], str]:
    """Return markitdown's converter, without plug-ins."""
    converter = importlib.import_module("markitdown").MarkItDown(enable_plugins=False)
    return lambda path: str(converter.convert(str(path)).markdown)


def docling() -> Callable[[Path], str]:
    """Return what calls docling's reader of a file's format."""
    formats = importlib.import_module("docling.datamodel.base_models").InputFormat
    shape = importlib.import_module("docling.datamodel.document").InputDocument

    def convert(path: Path) -> str:
        module, name = BACKENDS[path.suffix]
        backend = getattr(importlib.import_module(f"docling.backend.{module}"), name)
        about = shape(path_or_stream=path, format=formats(path.suffix[1:]), backend=backend, filename=path.name)
        return str(backend(about, path).convert().export_to_markdown())

    return convert


def main() -> None:
    """Convert what the command line names; what a peer prints or raises goes to the error stream."""
    convert = {"markitdown": markitdown, "docling": docling}[sys.argv[1]]()
    found = dict.fromkeys(sys.argv[2:], "")
    for path in sys.argv[2:]:
        said = io.StringIO()
        # The peer's own errors are not ours to know: whatever happens, the next file is read.
        with contextlib.suppress(Exception), contextlib.redirect_stdout(said):
            found[path] = convert(Path(path))
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
