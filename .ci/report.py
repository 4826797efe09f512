"""Say what the tests came to: ``report.py FIRST.json SECOND.json [LACKING…]``, two accounts of tests/suite.py.

Fails where a test was skipped in both runs for a reason that this machine could have met. ``LACKING`` names what it
could not: ``data``, ``apt``, ``npm``.

``report.py --passed-alone ACCOUNT.json ALONE.json`` counts what failed beside other tests, and passed alone, as passed.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path

NOT_HERE = {
    "FULL_PARITY=1": "takes minutes, and is run by hand",
    "this onnxruntime has (CUDA|TensorRT)": "is about a machine without",
    "there is a camera": "is about a machine without",
    "other systems need no help": "is about Windows",
    "DEEPLABCUT_PYTHON": "DeepLabCut takes an environment of gigabytes; run by hand",
}
"""Reasons of a skip that no machine has to meet, as patterns, and why."""
LACKING = {
    "data": "the golden data is not at",
    "apt": "slurm-wlm|aravis|Chromium|RTSP server|compiler|g\\+\\+|Octave|cc\\)",
    "npm": "Node.js",
}


def main(first_path: str, second_path: str, *lacking: str) -> int:
    """Print the counts, and return 1 where something was skipped that need not be."""
    first, second = (json.loads(Path(path).read_text(encoding="utf-8")) for path in (first_path, second_path))
    excused = {**NOT_HERE, **{LACKING[what]: f"this machine has no {what}" for what in lacking}}
    for reason, count in Counter(second["skipped"].values()).most_common():
        print(f"{count} skipped: {reason} ({_excuse(reason, excused) or 'WHICH THIS MACHINE COULD HAVE MET'})")
    unmet = {name: reason for name, reason in second["skipped"].items() if _excuse(reason, excused) is None}
    for name, reason in unmet.items():
        print(f"SKIPPED TWICE {name}: {reason}")
    print(
        f"{first['passed']} passed at first; {len(first['skipped'])} tests or files were skipped, "
        f"of which {second['passed']} tests then passed"
    )
    failed = len(first["failed"]) + len(second["failed"])
    print(f"{first['passed'] + second['passed']} passed, {failed} failed, {len(second['skipped'])} skipped for good")
    return 1 if unmet or failed else 0


def passed_alone(account_path: str, alone_path: str) -> int:
    """Write into an account that all its failed tests have passed alone, and say which they are."""
    account, alone = (json.loads(Path(path).read_text(encoding="utf-8")) for path in (account_path, alone_path))
    if alone["failed"] or alone["passed"] < len(account["failed"]):
        print(f"{len(account['failed'])} tests failed, of which {alone['passed']} passed alone")
        return 1
    for name in account["failed"]:
        print(f"PASSED ALONE {name}")
    changed = {**account, "passed": account["passed"] + len(account["failed"]), "failed": []}
    Path(account_path).write_text(json.dumps(changed, indent=1), encoding="utf-8")
    return 0


def _excuse(reason: str, excused: dict[str, str]) -> str | None:
    return next((why for pattern, why in excused.items() if re.search(pattern, reason)), None)


if __name__ == "__main__":
    sys.exit(passed_alone(*sys.argv[2:]) if sys.argv[1] == "--passed-alone" else main(*sys.argv[1:]))
