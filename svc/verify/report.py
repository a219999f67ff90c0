"""The verdict for people, and for programs."""

from typing import Any

from svc.verify.verdict import Fault, Verdict

_CLEAN, _FOUND = 0, 1


def to_text(verdict: Verdict) -> str:
    """Totals, counts, and what was kept of the findings."""
    totals = "   ".join(f"{name} {count:,}" for name, count in verdict.totals().items())
    counts = "   ".join(f"{fault} {verdict.counts[fault]:,}" for fault in Fault)
    lines = [totals, counts]
    if verdict.problems:
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(verdict.problems.items()))
        lines.append(f"problems by kind: {kinds}")
    for fault in Fault:
        kept = [finding for finding in verdict.findings if finding.fault is fault]
        lines += map(str, kept)
    if sum(verdict.counts.values()) > len(verdict.findings) > 0 and verdict.keep == 1:
        lines.append("the first of each kind; `--all` for more")
    return "\n".join(lines)


def to_dict(verdict: Verdict, settled: bool) -> dict[str, Any]:
    """The same for `--json`."""
    return {
        "clean": verdict.clean,
        "settled": settled,
        **verdict.totals(),
        **{str(fault): verdict.counts[fault] for fault in Fault},
        "problem_kinds": dict(sorted(verdict.problems.items())),
        "findings": [
            {
                "fault": str(finding.fault),
                "conversation": finding.conversation_id,
                "seq": finding.seq,
                "text": finding.text,
                "ledger": finding.ledger,
            }
            for finding in verdict.findings
        ],
    }


def exit_code(verdict: Verdict) -> int:
    """0 when nothing is wrong, else 1."""
    return _CLEAN if verdict.clean else _FOUND
