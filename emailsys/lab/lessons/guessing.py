"""Lesson: a dictionary of passwords."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from emailsys.config.settings import Settings
from emailsys.lab.attackers.clients import guess_passwords
from emailsys.lab.base.lesson import Lesson, prose
from emailsys.lab.base.stage import CAROL, Stage
from emailsys.lab.base.values import Result, Step

_LIMIT: Final = 4
# The beginning of any list of common passwords; carol's is the last one here.
_WORDS: Final = (
    "123456",
    "password",
    "qwerty",
    "111111",
    "letmein",
    "iloveyou",
    "dragon",
    "monkey",
    "football",
    "princess",
    "welcome",
    "sunshine",
)


def limits_loopback(settings: Settings) -> Settings:
    """Counts failed logins of this machine too, to a lower limit than usual."""
    return replace(settings, limits=replace(settings.limits, exempt_loopback=False, max_failed_logins=_LIMIT))


def _play(stage: Stage, is_protected: bool) -> Result:
    system = stage.system(limits_loopback) if is_protected else stage.system()
    found = guess_passwords(system.ports["pop3s"], stage.trusting, CAROL, _WORDS)
    shown = [found.views[0], found.views[-1]] if len(found.views) > 1 else list(found.views)
    harmed = found.password is not None
    if harmed:
        text = "The attacker tries one common password after the other. The server checks each of them."
        evidence = f"try {found.tries} was {found.password!r}, and the server said {found.last_reply!r}"
    else:
        text = prose(f"""After {_LIMIT} failed logins the server checks no more passwords from this network: the right
            one gets the same answer as the wrong ones. The tries of the attacker are worth nothing.""")
        evidence = f"{found.tries} tries, the last one with the right password, and no login: {found.last_reply!r}"
    return Result([Step("What the attacker sees", text, [view.conversation() for view in shown])], harmed, evidence)


LESSONS: Final = [
    Lesson(
        name="password-guessing",
        title="A dictionary of passwords",
        order=90,
        minutes=10,
        question="Did the attacker find the password?",
        without="no limit for failed logins (as for this machine by default)",
        protection=f"limits.max_failed_logins = {_LIMIT}",
        happens=prose("""Carol's password is a common word. The attacker has a list of common passwords, and tries them
            over POP3S. TLS does not help: the attacker is an ordinary client."""),
        why=prose("""People choose the same passwords, so a short list opens some accounts of every large system. The
            attacker needs no person: a program can try one word after the other all day."""),
        protects=prose("""Limits for failed logins, by network, so that an attacker from elsewhere can't lock out the
            owner. Slow hashes (argon2id) help only if the file of hashes is stolen. Best is a password that is in no
            list: `emailsys user add` refuses common ones."""),
        real=prose("""The daemon, its limit and each login are real. This machine usually has no limits, so the lesson
            sets limits.exempt_loopback = false, and the limit to 4 instead of 10. Carol's password was stored without
            the check for common passwords."""),
        rfcs=("RFC 9106", "NIST SP 800-63B §5.2.2"),
        ask=(
            "The attacker has 10,000 infected computers. What does the limit help then?",
            "Why is it bad to lock the account after 4 failures, for everybody?",
        ),
        play=_play,
    )
]
