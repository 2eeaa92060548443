"""How texts are read rather than written: token trees, and weights for many tokens at once.

This room knows ids and weights. It does not know texts, exams or what likelihoods are for.
"""
