"""What the judge of the campaign holds against conditions, keys, digests, families, schedules and rules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise

from tests.campaign.condition_judge import FINAL, RunJudge, Verdict
from tests.campaign.condition_ledger import ENDS, NEVER, Act, Case, Run, Wish, World
from tests.campaign.condition_stories import BELL

FAILED = frozenset(("cancelled", "expired", "skipped", "dead"))


class PlanJudge:
    """Judges tasks by their wishes, and groups of tasks by what ties them."""

    def __init__(self, world: World, verdict: Verdict, runs: RunJudge) -> None:
        self.world, self.verdict, self.runs = world, verdict, runs

    def judge(self) -> None:
        """All of them."""
        groups: dict[str, dict[str, list[Case]]] = {
            "line": defaultdict(list),
            "unique": defaultdict(list),
            "digest": defaultdict(list),
        }
        for case in list(self.world.cases.values()):
            if case.wish is None:
                continue
            self._facts(case, case.wish)
            self._awaits(case, case.wish)
            self._held(case, case.wish)
            self._halted(case, case.wish)
            self._family(case, case.wish)
            for name, found in groups.items():
                if key := getattr(case.wish, name):
                    found[key].append(case)
            if case.word in ("rejected", "refused") and case.runs:
                self.verdict.say("UNIQUE", case.id, f"{case.word}, and run all the same")
        for key, cases in groups["line"].items():
            self._line(key, sorted(cases, key=lambda case: case.wish.place if case.wish else 0))
        for key, cases in groups["unique"].items():
            self._unique(key, cases)
        for key, cases in groups["digest"].items():
            self._digest(key, cases)
        self._slots()
        self._rules()

    def _seen(self, fact: str, above: int = -1) -> tuple[float, float]:
        """When an event of a fact was sent first, and when the first one had been answered."""
        acts = [act for act in self.world.emits.get(fact, ()) if act.more.get("n", 0) > above]
        return min((act.sent for act in acts), default=NEVER), min((act.answered for act in acts), default=NEVER)

    def _facts(self, case: Case, wish: Wish) -> None:
        skipped = next((told.at for told in case.told if told.event == "skipped"), 0.0)
        if wish.unless:
            sent, answered = self._seen(wish.unless)
            for run in case.runs.values():
                if answered < run.sent and not wish.digest:
                    self.verdict.say("UNLESS", case.id, f"claimed {run.sent - answered:.1f} ms after its event")
            if skipped and sent > skipped + 1 and not wish.digest:
                self.verdict.say("SKIPPED", case.id, "without its event")
        if wish.only_if:
            sent, answered = self._seen(wish.only_if, wish.above)
            for run in case.runs.values():
                if sent > run.claimed + 1:
                    self.verdict.say("ONLY-IF", case.id, "claimed before its event")
            if skipped and answered < skipped - 2:
                self.verdict.say("SKIPPED", case.id, f"{skipped - answered:.1f} ms after its event was there")
        for fact in wish.cancel_on if not wish.digest else ():
            _, answered = self._seen(fact)
            for run in case.runs.values():
                if answered < run.sent:
                    self.verdict.say("CANCELLED", case.id, f"claimed {run.sent - answered:.1f} ms after its event")
                for start in run.starts:
                    if answered < NEVER:
                        self.runs.heard_late(case, run, start, answered)

    def _awaits(self, case: Case, wish: Wish) -> None:
        if not wish.awaits:
            return
        choose = min if wish.any else max
        seen = [self._seen(fact) for fact in wish.awaits]
        sent, answered = choose(one[0] for one in seen), choose(one[1] for one in seen)
        till = case.sent + wish.within_ms if wish.within_ms else NEVER
        for run in case.runs.values():
            if sent > run.claimed + 1 and not (wish.then_runs and run.claimed >= till - 1):
                self.verdict.say("AWAITED", case.id, "claimed before its event")
        if case.final == "expired" and case.reason == "no event" and answered < till:
            self.verdict.say("UNHEARD", case.id, f"expired, its event had come {till - answered:.1f} ms before")

    def _held(self, case: Case, wish: Wish) -> None:
        if not wish.held:
            return
        confirms = [act for act in case.stops if act.more["op"] == "confirm"]
        sent, till = min((act.sent for act in confirms), default=NEVER), case.sent + wish.within_ms
        for run in case.runs.values():
            if sent > run.claimed + 1 and not (wish.then_runs and run.claimed >= till - 1):
                self.verdict.say("HELD", case.id, "claimed before it was confirmed")
        if any(act.word == "confirmed" and act.answered < NEVER for act in confirms) and case.final == "expired":
            self.verdict.say("UNHEARD", case.id, f"expired ({case.reason}) though it was confirmed")

    def _halted(self, case: Case, wish: Wish) -> None:
        begun: Act | None = None
        for act in self.world.halts.get(wish.halt, ()) if wish.halt else ():
            if act.more["op"] == "pause":
                begun = act
            for run in case.runs.values() if begun is not None and begun is not act else ():
                assert begun is not None
                if begun.answered < run.sent and run.claimed < min(act.sent, begun.more["until"]) - 1:
                    story = f"claimed {run.sent - begun.answered:.1f} ms after its key was paused"
                    self.verdict.say("PAUSED", case.id, story)

    def _family(self, case: Case, wish: Wish) -> None:
        for run in case.runs.values() if wish.parents else ():
            if self.world.faults.taken(run.claimed):
                continue
            failed = missing = 0
            for name in wish.parents:
                parent = self.world.case(name)
                if not parent.made and not parent.runs:
                    missing += bool(parent.word)  # it counts as one that failed
                    continue
                over = parent.over()
                if over > run.claimed + 1 and not self.world.faults.taken(over):
                    self.verdict.say("PARENT", case.id, f"claimed {over - run.claimed:.1f} ms before {name} had ended")
                failed += parent.final in FAILED
            strict = wish.on == "success" and wish.otherwise != "run"
            if strict and missing:
                self.verdict.say("PARENTLESS", case.id, f"{missing} of {', '.join(wish.parents)} were never made")
            if (strict and failed) or (wish.on == "failure" and not failed + missing):
                self.verdict.say("PARENT", case.id, f"run on {wish.on} with {failed} failed ({wish.otherwise})")

    def _line(self, key: str, cases: list[Case]) -> None:
        """Each starts after all before it have ended."""
        before: list[Case] = []
        for case in cases:
            first = case.first()
            if first is not None:
                for one in before:
                    over = one.over()
                    if one.acked == NEVER or self.world.faults.taken(over) or self.world.faults.taken(first.claimed):
                        continue
                    if over > first.claimed + 1:
                        how = f"{over - first.claimed:.1f} ms before the end" if over < NEVER else "without any end"
                        self.verdict.say("ORDER", case.id, f"claimed {how} of {one.id} in {key}")
            before.append(case)

    def _unique(self, key: str, cases: list[Case]) -> None:
        """No two run at once with live leases, where the mode says so."""
        if not cases[0].wish or cases[0].wish.mode not in ("reject", "keep_last"):
            return
        spans = []
        for case in cases:
            for run in case.runs.values():
                if run.starts and not self.world.faults.taken(run.claimed):
                    spans.append((run.claimed, self._released(case, run), case.id))
        spans.sort()
        for at, (begin, _, name) in enumerate(spans):
            for other_begin, other_end, other in spans[:at]:
                if other != name and other_begin <= begin < other_end - 1:
                    story = f"claimed {other_end - begin:.1f} ms before the run of {other} had ended"
                    self.verdict.say("UNIQUE", name, f"{story}, {cases[0].wish.mode} {key}")

    def _released(self, case: Case, run: Run) -> float:
        """The earliest moment at which the claim of a run had ended."""
        ends = [case.reaped_after(run)]
        if run.asked_at < NEVER and run.settled != "lost":
            ends.append(run.asked_at)
        if case.finished:
            ends.append(case.finished)
        found = min(ends)
        return found if found < NEVER else run.claimed

    def _digest(self, key: str, cases: list[Case]) -> None:
        """Each payload is in one run that completed, or its task has an end of its own."""
        inside: dict[str, set[str]] = defaultdict(set)
        seen: dict[str, list[Case]] = defaultdict(list)
        for case in cases:
            kinds = {tuple(run.items) for run in case.runs.values() if run.starts}
            saw = [set(run.items) for run in case.ordered() if run.starts]
            # a run of which Redis was not told that it had begun counts for nothing: an item may have ended meanwhile
            if not all(later <= earlier for earlier, later in pairwise(saw)) and not self._lossy(case):
                self.verdict.say("DIGEST", case.id, f"its runs saw {[len(items) for items in saw]} items")
            for tag in {tag for items in kinds for tag in items}:
                seen[tag].append(case)
                if case.final == "completed" or (case.final == "missing" and _completed(case)):
                    inside[tag].add(case.id)
        for case in cases:
            if not case.made or case.acked == NEVER or self._lossy(case):
                continue
            where = inside.get(case.id, set())
            if len(where) > 1:
                self.verdict.say("TWICE", case.id, f"its payload is in {len(where)} digests of {key}")
            own = case.final in FAILED and not case.reason.startswith("merged into")
            told = any(one.final in FAILED for one in seen.get(case.id, ()))
            if not where and not own and not told and case.final in FINAL:
                self.verdict.say("ITEM", case.id, f"in no run: {case.final} ({case.reason}), {self._fate_of(case)}")
            self._despite(case, seen.get(case.id, ()))

    def _despite(self, case: Case, seen: Iterable[Case]) -> None:
        """A payload that was handed over although its own conditions had ended its task before that."""
        wish = case.wish
        assert wish is not None
        facts = [*wish.cancel_on, *([wish.unless] if wish.unless else [])]
        ended = min((self._seen(fact)[1] for fact in facts), default=NEVER)
        stopped = min((act.answered for act in case.stops if act.word == "cancelled"), default=NEVER)
        for digest in seen:
            first = digest.first()
            if first is not None and min(ended, stopped) < first.due - 2:
                what = "its event" if ended < first.due - 2 else "it was cancelled"
                story = f"handed over in {digest.id}, {first.due - min(ended, stopped):.0f} ms after {what}"
                self.verdict.say("DESPITE", case.id, story)

    def _fate_of(self, case: Case) -> str:
        into = self.world.cases.get(case.reason.removeprefix("merged into "))
        return f"whose end was {into.final} ({into.reason})" if into is not None and into is not case else "on its own"

    def _lossy(self, case: Case) -> bool:
        times = [case.over(), *(run.claimed for run in case.runs.values())]
        return any(self.world.faults.taken(at) for at in times)

    def _slots(self) -> None:
        """Each slot made a task, or was told of as missed, left out or dropped, or waits."""
        for name, found in self.world.schedules.items():
            slots = [int(slot) for slot in found["slots"].split()]
            count = {word: int(found.get(word) or 0) for word in ("missed", "skipped", "dropped")}
            waiting = len((found.get("buffer") or "").split())
            planned = (int(found["slot"]) - int(found["first"])) // int(found["every"])
            if len(slots) + sum(count.values()) + waiting != planned:
                self.verdict.say("SLOT", name, f"{planned} slots: {len(slots)} made, {count}, {waiting} wait")
            for slot in slots:
                case = self.world.case(f"{name}@{slot}")
                for run in case.runs.values():
                    if run.claimed < slot:
                        self.verdict.say("EARLY", case.id, f"{slot - run.claimed:.0f} ms before its slot")

    def _rules(self) -> None:
        for fact, acts in self.world.emits.items():
            for act in acts if fact.startswith(BELL + ":") else ():
                case = self.world.case(f"ring:{act.more['event']}")
                if act.answered < NEVER and not case.runs and not self.world.faults.taken(act.answered):
                    self.verdict.say("RULE", case.id, f"its event was acknowledged, its task never ran ({case.final})")


def _completed(case: Case) -> bool:
    return any(run.asked == "complete" and run.asked in ENDS and run.settled != "lost" for run in case.runs.values())


def verdict_of(world: World) -> Verdict:
    """All that the ledger proves."""
    verdict = Verdict()
    runs = RunJudge(world, verdict)
    runs.judge()
    PlanJudge(world, verdict, runs).judge()
    return verdict
