"""The page Label: answers by keyboard or from a file, the final model, and the next round."""
