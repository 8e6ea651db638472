"""Drives Alembic inside the user's image: inspects a project, or runs a migration planned by the operator.

Its only network traffic is to the user's database, opened by the project's own env.py (and once more, the same way, for a lock).
Python 3.7 or newer, the standard library and the image's own Alembic (1.6 or newer). Everything is read from the environment;
the outcome is the termination message (report.py) and, for an inspection, frames in the log (frames.py).
It shares its process with code it does not know (env.py, revision files), so it keeps its own file descriptors and absolute paths,
records its verdicts before it raises them, and trusts rows read back from the database rather than the absence of an exception.
"""
