"""What stands around the text of a page: site furniture and spam.

This room knows the shape of pages and the stock phrases of sites. It does not know HTML, nor damage within texts.
"""

from feilun.curation.repair.page.furniture import Furniture, line_key, pruned
from feilun.curation.repair.page.spam import Spam

__all__ = ["Furniture", "Spam", "line_key", "pruned"]
