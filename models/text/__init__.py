"""Texts before any model: cleaning, rules, vocabularies, pairs."""
