"""Every measurement one after the other, with one table of all figures at the end.

``--readme`` puts that table into README.md; ``--only enqueue,drain`` measures a part. What takes longest comes last.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from bench import crowd, drain, enqueue, growth, http, idle, lateness, life, memory, plots, scale, schedules
from bench.common import Options, end_cleanly, options_of, parser
from bench.progress import Progress
from bench.report import Report, console, number, put, range_text, target_text

MEASUREMENTS = {
    "life": life.measure, "enqueue": enqueue.measure, "drain": drain.measure, "lateness": lateness.measure,
    "http": http.measure, "scale": scale.measure, "crowd": crowd.measure, "memory": memory.measure,
    "idle": idle.measure, "schedules": schedules.measure, "growth": growth.measure,
}  # fmt: skip
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"


def main() -> int:
    """Measure; 1 where a measurement could not be made. A missed target is no failure."""
    arguments = parser(__doc__)
    arguments.add_argument("--only", default=",".join(MEASUREMENTS), metavar="A,B", help="only these measurements")
    arguments.add_argument("--readme", action="store_true", help="put the figures into README.md")
    given = arguments.parse_args()
    names = [name.strip() for name in given.only.split(",") if name.strip()]
    if unknown := set(names) - set(MEASUREMENTS):
        arguments.error(f"no measurement {', '.join(sorted(unknown))}; there are {', '.join(MEASUREMENTS)}")
    end_cleanly()
    screen = console()
    reports, failed = run(screen, names, options_of(given))
    screen.print(summary(reports))
    drawn = plots.draw(screen, reports)
    for line in failed:
        screen.print(line, style="red", highlight=False)
    if given.readme:
        put(markdown(reports, [path.stem for path in drawn]), BEGIN, END)
    return 1 if failed else 0


def run(screen: Console, names: Sequence[str], options: Options) -> tuple[list[Report], list[str]]:
    """The reports, each printed when it is there, and a line for each measurement that could not be made."""
    reports, failed = [], []
    for position, name in enumerate(names, 1):
        with Progress(screen, f"{position}/{len(names)} {name}") as progress:
            try:
                report = MEASUREMENTS[name](options, progress)
            except Exception as error:  # one measurement that breaks must not hide the others
                failed.append(f"{name}: {type(error).__name__}: {error}")
                continue
        report.print(screen)
        report.write()
        reports.append(report)
    return reports, failed


def summary(reports: Sequence[Report]) -> Table:
    """One table of what was measured, floors left out."""
    table = Table(title="Summary", title_justify="left")
    for column in ("measured", "figure", "median", "unit", "target"):
        table.add_column(column, justify="right" if column == "median" else "left")
    for report in reports:
        for figure in report.figures:
            if not figure.floor:
                missed = figure.verdict == "missed"
                table.add_row(
                    report.name,
                    figure.name,
                    number(figure.median),
                    figure.unit,
                    target_text(figure),
                    style="yellow" if missed else "",
                )
        table.add_section()
    return table


def markdown(reports: Sequence[Report], drawn: Sequence[str] = ()) -> str:
    """Every figure and floor, the plots that were drawn, and the noise, for README.md."""
    lines = []
    for report in reports:
        lines += [f"### {report.name}: {report.title}", "", "| figure | median | lowest - highest | unit | target |"]
        lines += ["|---|---:|---:|---|---|"]
        for figure in report.figures:
            name = f"*floor: {figure.name}*" if figure.floor else figure.name
            cells = (name, number(figure.median), range_text(figure.values), figure.unit, target_text(figure))
            lines.append("| " + " | ".join(cells) + " |")
        lines += ["", *report.notes, *([""] if report.notes else []), f"{report.server}; {report.noise}.", ""]
        if report.name in drawn:
            lines += [f"![{report.title}](plots/{report.name}.svg)", ""]
    if reports:
        lines.insert(0, f"{reports[-1].at}; {reports[0].machine}.\n")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
