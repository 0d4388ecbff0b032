"""What the verbs of the command line print: one file a noun."""
