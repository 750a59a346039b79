# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether what strangers send is as expected, found out within the deadline. This file is PRIVATE to the collection."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Optional, Pattern

from ..._core import command
from ..deadline import Deadline
from ..outcome import CheckFailed
from ..spec.options import Options

# Python's matcher holds the interpreter until it is done, which for a pattern with a repetition and a text made for
# it can be never. Such a pattern is tried in a process of its own, which can be killed.
_REPEATS = frozenset("*+{")
_CHILD = (
    "import re,sys\n"
    "pattern=sys.stdin.buffer.read(int(sys.argv[1])).decode('utf-8','surrogatepass')\n"
    "text=sys.stdin.buffer.read().decode('utf-8','surrogatepass')\n"
    "sys.exit(0 if re.search(pattern,text) else 1)\n"
)


@dataclass(frozen=True)
class ExpectedText:
    """What an answer has to hold; without any part, nothing."""

    part: Optional[bytes] = None
    pattern: Optional[Pattern[str]] = None

    @property
    def is_given(self) -> bool:
        return self.part is not None or self.pattern is not None

    def __str__(self) -> str:
        words: list[Optional[str]] = [
            None if self.part is None else repr(self.part.decode("utf-8", "replace")),
            None if self.pattern is None else f"a match of {self.pattern.pattern!r}",
        ]
        return " and ".join(word for word in words if word)

    def is_in(self, answer: bytes, deadline: Deadline) -> bool:
        """Whether the answer so far is the expected one."""
        if not answer:
            return False
        if self.part is not None and self.part not in answer:
            return False
        return self.pattern is None or search(self.pattern, answer.decode("utf-8", "replace"), deadline, "the answer")


def parse_expected_text(options: Options) -> ExpectedText:
    part = options.text("expect")
    return ExpectedText(None if part is None else part.encode(), options.pattern("expect_regex"))


def search(pattern: Pattern[str], text: str, deadline: Deadline, what: str) -> bool:
    """Whether the pattern is found in text."""
    if _REPEATS.isdisjoint(pattern.pattern):
        return pattern.search(text) is not None
    return _search_apart(pattern, text, deadline, what)


def _search_apart(pattern: Pattern[str], text: str, deadline: Deadline, what: str) -> bool:
    source = pattern.pattern.encode("utf-8", "surrogatepass")
    argv = [sys.executable or "python3", "-I", "-S", "-c", _CHILD, str(len(source))]
    try:
        both = source + text.encode("utf-8", "surrogatepass")
        code = command.run(argv, max(0.001, deadline.remaining()), source=both).code
    except command.TimeLimitPassed as error:
        raise CheckFailed("timeout", f"matching {pattern.pattern!r} against {what} did not end in time") from error
    if code not in (0, 1):
        raise CheckFailed("error", f"matching {pattern.pattern!r} against {what} failed")
    return code == 0
