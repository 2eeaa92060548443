"""Personal data in texts: found with places, kinds and reasons; masked for good, consistently or reversibly.

This room knows the forms of personal data of China, Hong Kong, Macau and Taiwan, of the English-speaking world, and of
the internet. It does not know faces, voices, or people who are told by circumstances only.
"""

from feilun.curation.personal.find import Finder
from feilun.curation.personal.spans import KINDS, USUAL, Kind, Span

__all__ = ["KINDS", "USUAL", "Finder", "Kind", "Span"]
