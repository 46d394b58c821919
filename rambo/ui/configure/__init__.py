"""The page Configure: a form from the config tree, its checks, and what a run would cost."""
