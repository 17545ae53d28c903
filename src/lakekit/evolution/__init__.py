"""What happens when an incoming schema differs from a table's."""
