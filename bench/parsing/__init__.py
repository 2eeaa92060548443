"""Words of documents found by our readers and by others: ``python bench/parsing``."""
