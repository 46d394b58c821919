"""`python -m rambo` in a checkout; what is installed has the script `rambo`. The commands are in `rambo.commands`."""

import os
import sys

# Before numpy or torch start their thread pools: one thread a process.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from rambo.storage import places

places.require_posix()

from rambo.commands.line import main

if __name__ == "__main__":
    sys.exit(main())
