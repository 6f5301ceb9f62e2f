"""Trees of files: folders, archives, and what is read from their files."""
