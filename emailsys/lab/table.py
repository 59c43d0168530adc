"""The table of lessons: each module of `emailsys.lab.lessons` adds its own."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from emailsys.lab import lessons
from emailsys.lab.base.lesson import Lesson


def all_lessons() -> list[Lesson]:
    """Returns all lessons in their order."""
    found: list[Lesson] = []
    for module in pkgutil.iter_modules(lessons.__path__):
        found += import_module(f"{lessons.__name__}.{module.name}").LESSONS
    return sorted(found, key=lambda lesson: lesson.order)
