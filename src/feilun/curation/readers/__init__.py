"""Readers: the bytes of a file of any format -> blocks of text, tables and conversations, each with its place.

This room knows file formats and what the libraries that read them raise. It does not know which file may be read, nor
what a document means: each reader takes bytes and a list of notes (which cap was met) and gives blocks or Unreadable.
"""
