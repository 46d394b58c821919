"""The page Data: the images, where a dataset stands, and the pools a run cuts it into."""
