"""The steps that decide what becomes of a received instance, in their order."""
