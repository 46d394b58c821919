"""Train many small classifiers, anywhere."""
