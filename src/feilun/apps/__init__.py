"""Apps: sample organisations and, later, templates and solutions, as data.

It knows files that ship with the package. It does not know what reads them.
"""
