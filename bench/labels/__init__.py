"""Label errors ranked by us and by cleanlab: ``python bench/labels``."""
