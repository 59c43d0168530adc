"""Plays lessons: without and with the protection, and measures each."""

from __future__ import annotations

import time
from collections.abc import Callable

from emailsys.lab.base.lesson import Lesson, Report
from emailsys.lab.base.stage import Pki, Stage, Systems
from emailsys.lab.base.values import LessonFailed, Side


def play_side(lesson: Lesson, is_protected: bool, systems: Systems, pki: Pki) -> Side:
    """Plays one side of a lesson.

    @raise LessonFailed: it could not be played to its end.
    """
    began = time.monotonic()
    try:
        with Stage(systems, pki) as stage:
            result = lesson.play(stage, is_protected)
    except OSError as error:
        # A connection that was refused, broken or silent.
        raise LessonFailed(f"{error.strerror or error}") from error
    name = lesson.protection if is_protected else lesson.without
    return Side(is_protected, name, result, time.monotonic() - began)


def play(lesson: Lesson, systems: Systems, pki: Pki, tell: Callable[[Side], None] = lambda side: None) -> Report:
    """Plays a lesson without its protection, then with it.

    @param tell: is called after each side.
    @raise LessonFailed: it could not be played to its end.
    """
    sides = []
    for is_protected in (False, True):
        side = play_side(lesson, is_protected, systems, pki)
        sides.append(side)
        tell(side)
    return Report(lesson, sides)
