"""The page Learn: the method step by step, each step something to move."""
