"""Replay against forgetting: what the base itself says to lists of prompts is looked after while something is learnt.

The room knows prompts and the base's answers to them. It does not know how they are mixed into a run.
"""
