"""Speed, measured: ratios side by side in one run. `python -m benchmarks`; `RESULTS.md` holds what was measured.

Read `measure.py` first: every benchmark is a module with `measure() -> list[Measure]`.
"""

import os

# One thread a process, set before numpy and torch start their pools.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"
