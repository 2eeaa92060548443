"""Training methods: each a flat recipe, ``train(plan)``, over the loop and the losses of the room above.

A recipe knows its own samples and its own loss. It does not know jobs, datasets, exams or how a run is resumed.
"""
