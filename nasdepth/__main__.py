"""`python -m nasdepth` is the command `nasdepth`."""

from nasdepth.cli import main

if __name__ == "__main__":
    main()
