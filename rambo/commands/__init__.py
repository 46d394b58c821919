"""The command line's commands, a module a family: the options each takes, and what it does."""
