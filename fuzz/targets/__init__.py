"""A target a file: `seeds()`, and `check(data)`, which raises whatever is wrong with what becomes of these bytes."""
