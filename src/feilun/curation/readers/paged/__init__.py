"""Pages: documents that only say where signs lie on paper, and pictures of such pages -> blocks.

This room knows PDF, pictures and the layout of pages. It does not know what the text means.
"""
