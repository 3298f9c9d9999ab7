"""The report: one page, and its figures as files, of how a dataset came to be and what is in it."""
