"""Bookmarks compared and swapped, and what changed in a table since it was last read."""
