"""How much personal data is found, and how fast."""
