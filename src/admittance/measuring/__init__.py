"""Looks at an app's files where they lie. Client and integrity service share it: they must see the same."""
