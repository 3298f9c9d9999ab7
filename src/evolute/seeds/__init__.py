"""Read instructions from whatever the user has, without being told the format or the shape.

Rows stream from a file, a folder, standard input or the Hugging Face hub, and come out as `Seed` records. What is
recognised, and what counts as a bad row, is written down in docs/seeds.md.
"""

from evolute.seeds.options import BadRow, Recognised, SeedOptions
from evolute.seeds.reader import SeedReader

__all__ = ["BadRow", "Recognised", "SeedOptions", "SeedReader"]
