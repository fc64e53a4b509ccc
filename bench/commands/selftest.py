"""`bench selftest`: whether the harness finds what it is there to find."""

import asyncio
import sys
import time
from pathlib import Path

import click

from bench.commands.console import console_of
from bench.commands.driving import INTERRUPTED, drive
from bench.errors import RunError
from bench.project import PROJECT


@click.command()
@click.pass_obj
def selftest(results: Path) -> None:
    """Prove the harness on targets that do wrong by a script: about a minute.

    Each truth is written down and must be got back: a stall, an outage, a lost, a doubled, a swapped and a
    corrupted message in each protocol, an overloaded generator, equal systems and a slower one. Exit code 1
    where one is not. What the trials left is kept under results/selftest/ until the next self-test.

    \b
    Example:
      bench selftest
    """
    from bench.analysis.selftest import Check, failed
    from bench.conductor.selftesting import selftest as prove
    from bench.report.progress import SearchProgress
    from bench.report.selftest import closing_line, show_check

    console = console_of()
    checks: list[Check] = []
    began_s = time.monotonic()

    def tell(check: Check) -> None:
        checks.append(check)
        console.print(show_check(check))

    try:
        with SearchProgress(console) as watcher:
            drive(prove(results, PROJECT, watcher, tell))
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo("bench: interrupted", err=True)
        sys.exit(INTERRUPTED)
    except ExceptionGroup as group:
        raise group.exceptions[0] from group
    console.print(f"\n{closing_line(checks, time.monotonic() - began_s)}")
    if said := failed(checks):
        raise RunError(f"selftest: {said}")
