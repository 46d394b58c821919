"""Speed, measured: ratios side by side in one run, in CPU seconds. `RESULTS.md` holds what was measured."""
