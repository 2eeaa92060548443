"""What can be told about texts and labels by counting: characters, lines, words, likeness, doubt.

This room knows texts, labels and arrays. It does not know rows, operators, or what follows from a figure.
"""
