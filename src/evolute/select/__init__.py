"""Select: which rows one would sign for. Each step measures a stream of rows, and keeps and drops with evidence."""
