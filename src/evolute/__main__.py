"""`python -m evolute` is `evolute`."""

from evolute.cli import program

if __name__ == "__main__":
    program()
