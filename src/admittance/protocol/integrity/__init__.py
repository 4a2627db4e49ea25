"""App integrity: which parts of an app are asked for, and what the answer to that is."""
