"""What a comparison looks like: in a terminal, 80 columns, and as Markdown for a pull request.

Everything shown is in the Comparisons given; nothing is computed here but the text.
"""

from collections.abc import Iterator, Sequence
from functools import partial

from rich import box
from rich.console import Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from bench.analysis.comparison import Comparison, Pair, Row
from bench.analysis.judgement import Word
from bench.report.format import MISSING, number, times
from bench.report.prose import item
from bench.report.roomy import Roomy
from bench.report.whole import Whole

COLUMNS = (
    ("figure", 16),
    ("baseline", 8),
    ("contender", 9),
    ("ratio", 6),
    ("95 %", 11),
    ("p", 6),
    ("n", 5),
    ("verdict", 12),
)
"""Headings and least widths, 80 with the gaps. `95 %` is the ratio's interval, p is after Holm."""
FIGURE_NAMES = {
    "tps": "TPS, 1/s",
    "response_p50_ms": "response p50, ms",
    "response_p99_ms": "response p99, ms",
    "time_to_recover_s": "recovery, s",
    "cpu_us_per_transaction": "CPU, µs/send",
    "delivery_p99_ms": "delivery p99, ms",
    "slo_share": "SLO share",
    "lost": "lost messages",
}
STYLES: dict[Word, str] = {"better": "bold green", "worse": "bold red", "equivalent": "bold"}
MARKS: dict[Word, str] = {"better": "✅", "worse": "❌", "equivalent": "🟰"}
SHORT: dict[Word, str] = {"descriptive only": "descriptive", "no figure": "–"}


def render_comparisons(comparisons: Sequence[Comparison]) -> RenderableType:
    """Each contender beside the baseline: the verdict first, then figure by figure, then what to know."""
    return Group(*(part for comparison in comparisons for part in _parts(comparison)))


def markdown(comparisons: Sequence[Comparison]) -> str:
    """The same as GitHub's Markdown, a table a pair, ending with a line end."""
    return "\n".join(line for comparison in comparisons for line in _markdown(comparison)) + "\n"


def _parts(comparison: Comparison) -> Iterator[RenderableType]:
    yield Whole(f"baseline   {comparison.baseline}")
    yield Whole(f"contender  {comparison.contender}")
    for pair in comparison.pairs:
        yield Text.assemble("\n", (f"{_heading(pair)}: ", "bold"), (pair.word, STYLES.get(pair.word, "bold")))
        yield Roomy(partial(_table, pair))
        yield from (item(text) for text in _remarks(pair))
    for heading, lines in _about(comparison):
        yield Text(f"\n{heading}", style="bold")
        yield from (item(line) for line in lines)


def _table(pair: Pair, roomy: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0, show_edge=False)
    for heading, width in COLUMNS:
        justify: JustifyMethod = "left" if heading in ("figure", "verdict") else "right"
        table.add_column(heading, justify=justify, min_width=width if roomy else None, overflow="fold")
    for row in pair.rows:
        *cells, word = _cells(row)
        style = STYLES.get(row.judgement.word, "")
        table.add_row(*cells, Text(word, style=style), style=None if row.primary or style else "dim")
    return table


def _cells(row: Row) -> tuple[str, ...]:
    judged = row.judgement
    interval = MISSING if judged.interval is None else "–".join(number(end) for end in judged.interval)
    return (
        FIGURE_NAMES[row.figure],
        number(row.baseline),
        number(row.contender),
        times(judged.ratio),
        interval,
        number(judged.p_holm),
        (" v " if max(row.trials) < 10 else "v").join(map(str, row.trials)),
        SHORT.get(judged.word, judged.word),
    )


def _heading(pair: Pair) -> str:
    one, other = pair.baseline, pair.contender
    if one.generation == other.generation:
        return one.generation
    return f"{other.generation} beside {one.generation}"


def _remarks(pair: Pair) -> Iterator[str]:
    """What the table cannot say: the margins, what would settle what is open, what forbids a word."""
    margins = {_name(row): row.judgement.margin for row in pair.rows if row.judgement.margin is not None}
    if margins:
        by_margin: dict[str, list[str]] = {}
        for name, margin in margins.items():
            by_margin.setdefault(f"±{margin * 100:.0f} %", []).append(name)
        said = "; ".join(f"{margin} for {', '.join(names)}" for margin, names in by_margin.items())
        yield f"margin {said}: at least 5 %, and twice what trials of one system scatter by"
    by_text: dict[str, list[str]] = {}
    for row in pair.rows:
        text = _remark(row)
        if text and (row.primary or row.judgement.word in STYLES):
            by_text.setdefault(text, []).append(_name(row))
    yield from (f"{', '.join(names)}: {text}" for text, names in by_text.items())
    yield from pair.reasons


def _name(row: Row) -> str:
    return FIGURE_NAMES[row.figure].partition(",")[0]


def _remark(row: Row) -> str:
    judged = row.judgement
    further = judged.further_trials
    if further is None:
        return judged.reason
    trials = f"{further} more trial{'s' if further > 1 else ''} a side"
    told = judged.word != "descriptive only"
    more = f"about {trials} would settle it" if told else f"it takes {trials} at least to tell"
    return f"{judged.reason}; {more}" if judged.reason else more


def _about(comparison: Comparison) -> Iterator[tuple[str, Sequence[str]]]:
    if comparison.allowed:
        yield f"Compared between {' and '.join(comparison.between)}", [str(d) for d in comparison.allowed]
    if comparison.lacking:
        yield "What this comparison lacks", comparison.lacking
    if comparison.differing:
        yield "Forced: these runs are not comparable, they differ in", [str(d) for d in comparison.differing]


def _markdown(comparison: Comparison) -> Iterator[str]:
    word, names = comparison.word, (comparison.contender, comparison.baseline)
    yield f"### {MARKS.get(word, '❔')} {word}: {' beside '.join(f'`{_code(name)}`' for name in names)}"
    for pair in comparison.pairs:
        yield f"\n**{_heading(pair)}: {pair.word}**\n"
        yield f"| {' | '.join(heading for heading, _ in COLUMNS)} |"
        yield "|---|--:|--:|--:|--:|--:|--:|---|"
        for row in pair.rows:
            *cells, shown = _cells(row)
            bold = f"**{shown}**" if row.judgement.word in STYLES else shown
            yield f"| {' | '.join((*cells, bold))} |"
        yield ""
        yield from (f"- {_plain(text)}" for text in _remarks(pair))
    for heading, lines in _about(comparison):
        yield f"\n**{heading}**\n"
        yield from (f"- {_plain(line)}" for line in lines)


def _code(text: str) -> str:
    """Text for between backticks."""
    return " ".join(text.replace("`", "'").split())


def _plain(text: str) -> str:
    """Text that Markdown and HTML take as it stands."""
    escaped = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{letter}" if letter in "\\`*_[]|#@" else letter for letter in escaped)
