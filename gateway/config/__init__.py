"""The settings: a typed model, and one way to load it with all its errors at once."""
