"""Report: one page on how a run went, for a person to look at."""
