"""How it is found out whether an archive has what was sent to it, and has it unaltered."""
