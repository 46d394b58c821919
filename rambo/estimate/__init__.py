"""What a run will cost, in words and numbers. Imports no torch."""
