"""What calls leave behind: a log on disk before anybody is told, sums of their use, stored responses.

Knows files and rows. Does not know who may call, nor how a call is answered.
"""
