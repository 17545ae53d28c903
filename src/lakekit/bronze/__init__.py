"""Bronze: what each source said, appended once."""
