"""The numbered steps that bring a database up to date. Knows tables of the past; does not know the nouns."""
