"""Figures that pages and notebooks share: pure functions from events, results and atlases to plotly's JSON."""
