"""The engines, and the words in which everything above speaks to them."""
