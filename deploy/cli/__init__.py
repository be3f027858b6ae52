"""The command line, `./ithaca`: one module per group of commands."""
