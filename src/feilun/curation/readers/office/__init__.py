"""Office documents: Word, Excel and PowerPoint files, of today and of the years before 2007 -> blocks.

This room knows the packages (zip, OLE) of such files and their parts. It does not know what their tables mean.
"""
