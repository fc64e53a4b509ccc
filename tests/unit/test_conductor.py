import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from bench.analysis.verdict import Verdict
from bench.conductor.run import _Attempt, _trials, begin_folder
from bench.conductor.trial import while_faults_strike
from bench.errors import RunError
from bench.manifest import TrialStatus
from bench.plan import Plan, PlannedTrial
from bench.planning import make_plan
from bench.profile import Profile


class Load:
    async def finished(self) -> Mapping[str, Any]:
        await asyncio.sleep(0)  # the nemesis gets its turn
        return {"negative_deltas": 0}


class Broken:
    async def run(self) -> None:
        raise ZeroDivisionError("a defect")


class Well:
    async def run(self) -> None: ...


async def test_a_nemesis_that_breaks_fails_the_run_and_is_not_swallowed() -> None:
    with pytest.raises(RunError, match="the nemesis broke: ZeroDivisionError: a defect"):
        await while_faults_strike(Load(), Broken())  # type: ignore[arg-type]
    assert await while_faults_strike(Load(), Well()) == {"negative_deltas": 0}  # type: ignore[arg-type]


WELL, NOISY = Verdict("sut_bound", ""), Verdict("noisy", "steal")
TOO_FAST = Verdict("generator_bound", "above the ceiling", lasting=True)


def two_trials() -> Plan:
    return make_plan(
        Profile.model_validate(
            {
                "name": "x",
                "generations": ["monolith"],
                "trials": 2,
                "population": {"clients": 2},
                "load": {"stages": [{"name": "s", "kind": "steady", "duration": "1s", "rate": "1/s"}]},
            }
        )
    )


class Onlooker:
    def __init__(self) -> None:
        self.begun: list[tuple[int, int, int | None]] = []
        self.notes: list[str] = []

    def trial(self, plan: Plan, planned: PlannedTrial, *, retry_of: int | None = None) -> None:
        self.begun.append((planned.trial, planned.seed, retry_of))

    def note(self, text: str) -> None:
        self.notes.append(text)


async def tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verdicts: list[tuple[TrialStatus, Verdict | None]]
) -> tuple[Onlooker, str]:
    """Two planned trials whose tries end so, one after the other; who looked on, and how it ended."""
    ends: Iterator[tuple[TrialStatus, Verdict | None]] = iter(verdicts)

    async def scripted(_: Plan, __: _Attempt, *___: Any) -> tuple[TrialStatus, Verdict | None]:
        return next(ends)

    monkeypatch.setattr("bench.conductor.run._trial", scripted)
    folder, onlooker = begin_folder(two_trials(), tmp_path, tmp_path), Onlooker()
    await _trials(two_trials(), folder, onlooker, None)  # type: ignore[arg-type]
    assert next(ends, None) is None
    return onlooker, folder.manifest().reached


async def test_a_void_trial_is_retried_under_a_number_of_its_own_with_the_same_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, reached = await tried(
        tmp_path, monkeypatch, [("void", NOISY), ("void", NOISY), ("complete", WELL), ("complete", WELL)]
    )
    one, two = two_trials().trials
    assert seen.begun == [(1, one.seed, None), (3, one.seed, 1), (4, one.seed, 1), (2, two.seed, None)]
    assert reached == "2 of 2 trials"
    assert seen.notes[0] == "void, noisy: steal; trying again (1 of 3 at most)"


async def test_retries_end_after_three_and_the_run_says_so_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, reached = await tried(tmp_path, monkeypatch, [*[("void", NOISY)] * 4, ("complete", WELL)])  # type: ignore[list-item]
    assert [number for number, _, _ in seen.begun] == [1, 3, 4, 5, 2]
    assert reached == "1 of 2 trials, 1 void"
    assert seen.notes[-1].endswith("given up after 3 retries")


async def test_what_would_be_void_again_and_a_lost_worker_are_not_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, reached = await tried(tmp_path, monkeypatch, [("void", TOO_FAST), ("void", None)])
    assert [number for number, _, _ in seen.begun] == [1, 2]
    assert reached == "0 of 2 trials, 2 void"
