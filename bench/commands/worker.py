"""`bench worker`: this host makes load for a run on another."""

import asyncio
import sys

import click

from bench.commands.driving import INTERRUPTED, drive
from bench.commands.options import address, duration


@click.command()
@click.option("--master", required=True, metavar="HOST[:PORT]", help="Where the run listens.")
@click.option("--wait", default="10s", show_default=True, metavar="DURATION",
              help="How long to look for a master before giving up.")  # fmt: skip
def worker(master: str, wait: str) -> None:
    """Make load for a run on another host, which waits for workers with --join.

    \b
    Example:
      bench worker --master 192.0.2.10
    """
    from bench.load.joining import DEFAULT_PORT, work

    host, port = address(master, "--master", DEFAULT_PORT)
    wait_s = duration(wait, "--wait")
    try:
        drive(work(host, port, wait_s, lambda text: click.echo(text, err=True)))
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo("bench: interrupted", err=True)
        sys.exit(INTERRUPTED)
