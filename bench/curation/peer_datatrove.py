"""datatrove's MinHash on a file of rows: ``python peer_datatrove.py ROWS FOLDER``; prints its seconds as JSON.

Runs in datatrove's own environment and imports nothing of ours. Does not know the truth. The settings are datatrove's
own but for words, which are found as its multilingual pipelines do: Chinese is cut into words as well.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter


def main() -> None:
    """Run the four stages, one after another."""
    rows, folder = Path(sys.argv[1]), Path(sys.argv[2])
    config = MinhashConfig()
    language = "zho"

    def stage(*steps: object, tasks: int = 1) -> None:
        LocalPipelineExecutor(
            list(steps), tasks=tasks, workers=1, skip_completed=False, logging_dir=str(folder / "logs")
        ).run()

    def reader() -> JsonlReader:
        return JsonlReader(str(rows.parent), glob_pattern=rows.name)

    began = time.perf_counter()
    stage(reader(), MinhashDedupSignature(str(folder / "signatures"), config, language=language))
    stage(
        MinhashDedupBuckets(str(folder / "signatures"), str(folder / "buckets"), config=config),
        tasks=config.num_buckets,
    )
    stage(MinhashDedupCluster(str(folder / "buckets"), str(folder / "remove"), config=config))
    stage(
        reader(),
        MinhashDedupFilter(str(folder / "remove")),
        JsonlWriter(str(folder / "kept"), output_filename="${rank}.jsonl", compression=None),
    )
    print(json.dumps({"seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
