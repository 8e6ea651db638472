"""Reading a revision file without running it."""
