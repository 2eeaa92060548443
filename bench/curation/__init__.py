"""Curation against data-juicer and datatrove on the same rows: ``make bench-curation``."""
