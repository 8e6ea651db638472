"""The SQL of a revision, without a database."""
