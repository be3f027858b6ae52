"""`python -m deploy.cli`, which `./ithaca` runs."""

from deploy.cli.main import main

main()
