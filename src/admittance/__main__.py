"""`python -m admittance` is `admit`."""

from admittance.cli import run

if __name__ == "__main__":
    run()
