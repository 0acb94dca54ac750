"""Files written whole or not at all, the command line, and progress."""
