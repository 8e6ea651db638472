"""Starts the runner: `python3 FOLDER`, with this file and its package in the folder. The folder is on the path only while they are loaded."""

import os
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))

if __name__ == "__main__":
    sys.path.insert(0, FOLDER)
    from alembic_operator_runner.drive import main
    from alembic_operator_runner.frames import flush_standard_streams

    # What the `alembic` command would have: no folder of this program on the path.
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != FOLDER]
    status = main()
    flush_standard_streams()
    os._exit(status)  # threads that env.py left behind must not keep the pod alive
