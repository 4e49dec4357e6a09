"""`python -m relscale`, for the interpreter of a cluster's nodes: the `relscale` command."""

from relscale.cli import main

if __name__ == "__main__":
    main()
