"""The paper's mathematics: tensors and callables, no configs, no files."""
