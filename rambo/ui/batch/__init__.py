"""The page Batch: what was chosen, why, what if not, and the hand-over."""
