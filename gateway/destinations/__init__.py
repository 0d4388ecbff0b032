"""Where objects go, one file a kind."""
