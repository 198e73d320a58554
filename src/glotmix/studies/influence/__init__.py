"""Influence across languages: classifiers tuned on several languages, scored, and trained again without some texts."""
