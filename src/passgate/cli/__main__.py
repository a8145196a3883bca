"""`python -m passgate.cli`: the same as the console script `passgate`. Nothing else lives here."""

from passgate.cli import main

if __name__ == "__main__":
    main()
