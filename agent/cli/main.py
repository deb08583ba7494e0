"""The entry point of the `agent` command."""


def main() -> None:
    """Run the command line."""
