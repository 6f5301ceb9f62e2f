"""Sentence similarity, paraphrase and entailment."""
