"""The loops: each takes one state of the spool and gives the next."""
