"""The background process that works on a run."""
