"""The page Train: a run as it goes, from its events."""
