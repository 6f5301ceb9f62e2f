"""Text: tokenisers, words, and files of text."""
