"""The files of models: which there are, and fetching them."""
