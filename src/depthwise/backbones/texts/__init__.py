"""Encoders of texts: tokens in, hidden states or one vector out."""
