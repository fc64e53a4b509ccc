"""What the command line says, as values; each raises UserError, or ProfileError, for what cannot be."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import UserError

if TYPE_CHECKING:
    from bench.load.driver import Crew
    from bench.plan import Plan


def plan_of(profile: Path) -> "Plan":
    """The plan of a profile's file; raises ProfileError for its mistakes."""
    from bench.planning import make_plan
    from bench.profile import load_profile

    return make_plan(load_profile(profile))


def duration(text: str, option: str) -> float:
    """A duration with its unit, in seconds; raises UserError."""
    from bench.quantities import duration_s

    try:
        return duration_s(text)
    except ValueError as error:
        raise UserError(f"{option}: {text!r}: {error}") from error


def refuse_impossible(plan: "Plan", profile: Path, ceilings_per_s: Mapping[str, float], crew: "Crew") -> None:
    """Raise ProfileError where this machine cannot do what the plan asks."""
    from bench import machine
    from bench.preflight import defects
    from bench.profile import refusal

    found = defects(
        plan,
        ceilings_per_s={} if crew.join else ceilings_per_s,  # other hosts add cores of their own
        most_files=machine.most_open_files(),
        load_processes=max(1, crew.workers + crew.join),
    )
    if found:
        raise refusal(profile, found[0].loc, found[0].what)


def crew_of(plan: "Plan", workers: int, join: int, listen: str) -> "Crew":
    """Who makes the load; raises UserError where that cannot be."""
    from bench.load.driver import Crew
    from bench.load.joining import DEFAULT_PORT

    if join and not listen:
        raise UserError("--join: needs --listen HOST, this host's address as the workers see it")
    if listen and not join:
        raise UserError("--listen: is for workers of other hosts; say with --join N how many are to come")
    if workers + join > plan.clients:
        raise UserError(
            f"--workers: {workers + join} workers for {plan.clients} clients; at most one for each client"
        )
    if join and plan.deployment != "local":
        raise UserError(
            f"deployment: {plan.deployment}: workers of other hosts (--join) cannot reach its nodes; "
            "leave --join away, or use deployment: local"
        )
    if not listen:
        return Crew(workers)
    host, port = address(listen, "--listen", DEFAULT_PORT)
    _require_own_address(host)
    return Crew(workers, join, host, port)


def address(text: str, option: str, default_port: int) -> tuple[str, int]:
    """HOST[:PORT] in parts; raises UserError."""
    host, colon, port = text.partition(":")
    if not host or (colon and not (port.isdecimal() and 0 < int(port) < 65536)):
        raise UserError(f"{option}: {text!r}: expected HOST or HOST:PORT, such as 192.0.2.10:{default_port}")
    return host, int(port) if colon else default_port


def _require_own_address(host: str) -> None:
    """Raise UserError where nothing can listen at `host` that others could be sent to."""
    import socket

    expected = "expected an address of this host by which the workers reach it"
    if host in {"0.0.0.0", "*", "::"}:
        raise UserError(f"--listen: {host} is no single address; {expected}")
    try:
        with socket.socket() as trial:
            trial.bind((host, 0))
    except OSError as error:
        raise UserError(f"--listen: {host}: {error.strerror or error}; {expected}") from error
