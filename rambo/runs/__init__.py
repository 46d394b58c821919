"""The run on disk: workspace, record, artifacts, line, worker processes. Imports no torch."""
