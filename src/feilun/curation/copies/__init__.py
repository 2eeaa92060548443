"""Copies: rows that say the same as other rows, as an older version of them, or as an exam.

This room knows what makes two texts the same, nearly the same, or versions of each other, and finds such among millions
without holding their texts. It does not know where rows come from, in which order steps run, nor how shards and
processes are laid out.
"""
