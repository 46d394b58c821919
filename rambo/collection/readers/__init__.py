"""Readers: each turns one kind of source into items with what is said of them."""
