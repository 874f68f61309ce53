"""What became of each mutant: kept in a file, drawn from by lot, and printed as the table of tests/README.md."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from tests.mutants.rules import Mutant, mutants
from tests.mutants.survivors import EQUIVALENT, UNNOTICED

Result = dict[str, str]  # verdict: caught | survived | invalid (it does not load); by; of: the digest of its text


def kept(path: Path) -> dict[str, Result]:
    """What earlier runs found of the mutants that there are now."""
    found: dict[str, Result] = json.loads(path.read_text()) if path.exists() else {}
    return {m.name: found[m.name] for m in mutants() if m.name in found and found[m.name].get("of") == digest(m)}


def keep(path: Path, found: dict[str, Result]) -> None:
    """Write all of it, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(found, indent=1, sort_keys=True))
    fresh.replace(path)


def digest(mutant: Mutant) -> str:
    """A verdict holds for this text."""
    return hashlib.sha256(mutant.text.encode()).hexdigest()[:16]


def unnumbered(name: str) -> str:
    """The name without its line, as survivors.py has it."""
    file, _, rest = name.partition(":")
    return f"{file} {rest.partition(' ')[2]}"


def stale() -> list[str]:
    """What survivors.py lists and no mutant is called."""
    there = {unnumbered(mutant.name) for mutant in mutants()}
    return sorted((EQUIVALENT | UNNOTICED).keys() - there)


def sample(wanted: Sequence[Mutant], most: int, seed: int) -> list[Mutant]:
    """About so many, of every file its share and at least one; a change in one file leaves those of another."""
    of: dict[str, list[Mutant]] = defaultdict(list)
    for mutant in wanted:
        of[mutant.file].append(mutant)
    taken = set()
    for mutants_of in of.values():
        lots = {mutant: hashlib.sha256(f"{seed} {unnumbered(mutant.name)}".encode()).digest() for mutant in mutants_of}
        taken.update(sorted(mutants_of, key=lots.__getitem__)[: max(1, round(len(mutants_of) * most / len(wanted)))])
    return [mutant for mutant in wanted if mutant in taken]


def table(found: dict[str, Result]) -> str:
    """The Markdown between the markers of tests/README.md."""
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    survivors = []
    for name, result in sorted(found.items()):
        verdict = result["verdict"]
        if verdict == "invalid":
            continue
        if verdict == "survived":
            listed = unnumbered(name)
            verdict = "equivalent" if listed in EQUIVALENT else "survived"
            reason = (EQUIVALENT | UNNOTICED).get(listed, "no test notices it yet")
            survivors.append(f"- `{name}` ({verdict}): {reason}")
        for row in (name.split(":")[0], "all", f"rule {name.split(' ')[1]}"):
            rows[row][verdict] += 1
    lines = [
        "<!-- mutants -->",
        "| of | mutants | caught | equivalent | survived | caught of the others |",
        "|---|---|---|---|---|---|",
    ]
    for row in ("all", *sorted(name for name in rows if name != "all")):
        count = rows[row]
        real = count["caught"] + count["survived"]
        share = f"{100 * count['caught'] / real:.1f} %" if real else "-"
        numbers = (count.total(), count["caught"], count["equivalent"], count["survived"])
        lines.append(f"| {row} | {' | '.join(map(str, numbers))} | {share} |")
    return "\n".join([*lines, "", "Survivors:", "", *survivors, "<!-- end of mutants -->"])
