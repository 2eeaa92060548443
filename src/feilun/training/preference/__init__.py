"""Preference training's shared parts: packs of answers that share a prompt, their odds, the losses, what is remembered.

The room knows prompts with several answers, losses, references, graders and samples of the present model. It does not
know recipes (those are ``methods``), optimisers, checkpoints, datasets or jobs.
"""
