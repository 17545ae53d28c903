"""Gold: the star. Dimensions with history, facts that find their member."""
