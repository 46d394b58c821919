"""Datasets: prepared folders, the catalog of what can be prepared, and frozen features."""
