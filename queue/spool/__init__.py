"""The spool: files for the objects, one SQLite database for what is known about them."""
