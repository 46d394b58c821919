"""Atomic files, SQLite, and results of trained subsets shared by all runs."""
