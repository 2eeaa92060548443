"""The command ``feilun``: parse, call, print.

This room knows commands, their help, and how results and errors are said in English and Chinese. It does not know how
anything is done, and imports nothing heavy until a command needs it.
"""

from feilun.cli.arguments import main

__all__ = ["main"]
