"""`bench calibrate`: how much load this machine's generator can make."""

import asyncio
import sys
from pathlib import Path

import click

from bench.commands.console import console_of
from bench.commands.driving import INTERRUPTED, drive
from bench.commands.options import duration
from bench.project import PROJECT


@click.command()
@click.option("--protocol", type=click.Choice(["xmpp", "http", "websocket"]), multiple=True,
              help="Only this one; may be given again. Default: all.")  # fmt: skip
@click.option("--again", is_flag=True, help="Measure anew what is known already.")
@click.option("--offer", default="3s", show_default=True, metavar="DURATION",
              help="For how long each rate is offered.")  # fmt: skip
@click.pass_obj
def calibrate(results: Path, protocol: tuple[str, ...], again: bool, offer: str) -> None:
    """Find how much load this machine's generator can make, protocol by protocol.

    The answers are kept under results/calibration/, and runs judge themselves by them.

    \b
    Example:
      bench calibrate
      bench calibrate --protocol xmpp --again
    """
    from bench.calibration import PROTOCOLS, Calibration
    from bench.conductor import calibrating
    from bench.report.calibration import rung_line, show_calibrations
    from bench.report.progress import SearchProgress

    offer_s = duration(offer, "--offer")
    found: list[Calibration] = []

    async def all_of_them() -> None:
        with SearchProgress(console_of()) as watcher:
            for client in [one for one in PROTOCOLS if not protocol or one in protocol]:
                known = None if again else calibrating.known(results, PROJECT, client)
                found.append(
                    known
                    or await calibrating.calibrate(
                        client,
                        results,
                        PROJECT,
                        watcher,
                        lambda client, rung: watcher.result(rung_line(client, rung)),
                        offer_s=offer_s,
                    )
                )

    try:
        drive(all_of_them())
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo("bench: interrupted; the protocols that were done are kept", err=True)
        sys.exit(INTERRUPTED)
    console_of().print(show_calibrations(found))
