"""The page Studies: the paper's tables and figures, set up, watched and read."""
