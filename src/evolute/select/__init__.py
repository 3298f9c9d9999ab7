"""Select: which rows one would sign for. Each step measures a stream of rows, and keeps and drops with evidence.

Steps are functions in modules of their own: `from evolute.select.duplicates import near_duplicates`.
"""
