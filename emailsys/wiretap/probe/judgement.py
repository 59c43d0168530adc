"""Verdicts about what a server accepts: versions, cipher suites, groups, compression, renegotiation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from emailsys.wiretap.probe.offers import Accepted, Groups
from emailsys.wiretap.tls.handshake import Handshake
from emailsys.wiretap.tls.hello import EXTENDED_MASTER_SECRET, RENEGOTIATION_INFO
from emailsys.wiretap.tls.names import (
    GROUPS,
    SSL3,
    TLS10,
    TLS11,
    TLS12,
    TLS13,
    VERSIONS,
    WEAK_GROUPS,
    is_post_quantum,
    name_in,
)
from emailsys.wiretap.tls.suites import Suite, suite
from emailsys.wiretap.verdict import Finding, Verdict

# Bits of a prime of DHE. RFC 9325 §4.2.1 requires 2,048; those of 768 and less were broken (Logjam).
_LEAST_PRIME: Final = 2048
_BROKEN_PRIME: Final = 768
# Names of suites in one sentence.
_NAMED: Final = 6
_ONLY_GOOD: Final = "Allow only ECDHE suites with AES-GCM or ChaCha20-Poly1305 (RFC 9325 §4.2)."


def judge_versions(versions: Mapping[int, Accepted]) -> list[Finding]:
    """Returns a finding for each version that was offered."""
    found = []
    is_current = any(versions[version].suites for version in (TLS12, TLS13) if version in versions)
    for version, accepted in versions.items():
        name, check = VERSIONS[version], f"version {VERSIONS[version]}"
        if accepted.flaw and not accepted.suites:
            found.append(Finding(check, Verdict.UNTESTED, f"{name} could not be tested: {accepted.flaw}"))
        elif accepted.suites and version == SSL3:
            words = f"{name} is accepted. Anybody on the way can read parts of the connection (POODLE, RFC 7568)."
            found.append(Finding(check, Verdict.BAD, words, "Switch SSL 3 off."))
        elif accepted.suites and version in (TLS10, TLS11):
            words = f"{name} is accepted. It is outdated (RFC 8996)."
            found.append(Finding(check, Verdict.WEAK, words, "Require TLS 1.2, if no old client needs this version."))
        elif accepted.suites:
            found.append(Finding(check, Verdict.GOOD, f"{name} is accepted, with {_count(accepted.suites)}."))
        elif version < TLS12:
            found.append(Finding(check, Verdict.GOOD, f"{name} is not accepted."))
        elif version == TLS12 and not is_current and any(one.suites for one in versions.values()):
            words = "Neither TLS 1.2 nor TLS 1.3 is accepted. Clients of today refuse what is left (RFC 8996)."
            found.append(Finding(check, Verdict.BAD, words, "Upgrade the TLS library, or switch TLS 1.2 and 1.3 on."))
        elif version == TLS13:
            words = f"{name} is not accepted. It is faster, and hides the certificate."
            found.append(Finding(check, Verdict.WEAK, words, "Upgrade the TLS library, or switch TLS 1.3 on."))
        else:
            found.append(Finding(check, Verdict.NOTE, f"{name} is not accepted. Older clients need it."))
        if accepted.flaw and accepted.suites:
            words = f"The list of suites of {name} may be incomplete: {accepted.flaw}"
            found.append(Finding(f"suites of {name}", Verdict.UNTESTED, words))
    return found


def _count(suites: Sequence[int]) -> str:
    return "1 cipher suite" if len(suites) == 1 else f"{len(suites)} cipher suites"


def judge_suites(versions: Mapping[int, Accepted]) -> list[Finding]:
    """Returns findings about the kinds of suites that are accepted."""
    used = {code: suite(code) for accepted in versions.values() for code in accepted.suites}.values()
    if not used:
        return []
    anonymous = [one for one in used if one.is_anonymous]
    broken = [one for one in used if one.flaws and one not in anonymous]
    static = [one for one in used if not one.has_forward_secrecy and one not in broken]
    old = [one for one in used if not one.is_aead and one not in (*anonymous, *broken, *static)]
    found = []
    if broken:
        flaws = "; ".join(dict.fromkeys(flaw for one in broken for flaw in one.flaws))
        words = f"Broken cipher suites are accepted: {_names(broken)}. Why: {flaws}."
        found.append(Finding("broken suites", _worst(broken), words, _ONLY_GOOD))
    else:
        found.append(Finding("broken suites", Verdict.GOOD, "No broken cipher suite is accepted."))
    if anonymous:
        words = f"Suites without a certificate are accepted: {_names(anonymous)}. Anybody can pose as this server to "
        words += "a client that offers them."
        found.append(Finding("anonymous suites", Verdict.WEAK, words, "Exclude them: in OpenSSL's words, !aNULL."))
    if static:
        words = f"Suites without forward secrecy are accepted: {_names(static)}. Who gets the server's key later can "
        words += "read recordings of today."
        found.append(Finding("static RSA", Verdict.WEAK, words, "Exclude them: in OpenSSL's words, !kRSA."))
    else:
        words = "All accepted cipher suites have forward secrecy: keys are made for each connection."
        found.append(Finding("static RSA", Verdict.GOOD, words))
    if old:
        words = f"Suites in which encryption and integrity are not one (CBC) are accepted: {_names(old)}."
        found.append(Finding("CBC suites", Verdict.NOTE, words, _ONLY_GOOD))
    return found


def _worst(broken: Sequence[Suite]) -> Verdict:
    """3DES and IDEA need hours and hundreds of gigabytes; with the others, an attacker reads or alters at once."""
    return Verdict.WEAK if all(flaw.endswith("(Sweet32)") for one in broken for flaw in one.flaws) else Verdict.BAD


def _names(suites: Sequence[Suite]) -> str:
    names = [one.openssl or one.name for one in suites]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def judge_groups(groups: Groups, versions: Mapping[int, Accepted]) -> list[Finding]:
    """Returns findings about the key exchange."""
    found = []
    if groups.flaw:
        found.append(Finding("groups", Verdict.UNTESTED, f"The list of groups may be incomplete: {groups.flaw}"))
    weak = [name_in(GROUPS, code) for code in groups.groups if code in WEAK_GROUPS]
    bits = min(groups.primes, default=0)
    if weak:
        words = f"Weak groups are accepted: {', '.join(weak)}."
        found.append(Finding("weak groups", Verdict.WEAK, words, "Allow X25519, P-256 and P-384 only."))
    if 0 < bits < _LEAST_PRIME:
        words = f"DHE has a prime of {bits} bits, which a state may break (Logjam). RFC 9325 §4.2.1 requires 2,048."
        verdict = Verdict.BAD if bits <= _BROKEN_PRIME else Verdict.WEAK
        found.append(Finding("weak groups", verdict, words, "Use ffdhe2048 or larger, or exclude DHE suites."))
    if groups.groups and not weak and not 0 < bits < _LEAST_PRIME:
        found.append(Finding("weak groups", Verdict.GOOD, "No weak group is accepted."))
    hybrids = [name_in(GROUPS, code) for code in groups.groups if is_post_quantum(code)]
    if hybrids:
        words = f"Post-quantum key exchange is accepted: {', '.join(hybrids)}."
        found.append(Finding("post-quantum", Verdict.GOOD, words))
    elif TLS13 in versions and versions[TLS13].suites and not groups.flaw:
        words = "No post-quantum key exchange. A quantum computer of later years could read recordings of today."
        found.append(Finding("post-quantum", Verdict.NOTE, words, "Upgrade to OpenSSL 3.5, which has X25519MLKEM768."))
    return found


def judge_hello(versions: Mapping[int, Accepted]) -> list[Finding]:
    """Returns findings about what the server's hello of TLS 1.2 or older says beside version and suite."""
    older = [one for version, one in versions.items() if version <= TLS12 and one.first.hello is not None]
    if not older:
        return []
    hello = max(older, key=lambda one: one.version).first.hello
    assert hello is not None
    found = []
    if RENEGOTIATION_INFO in hello.extensions:
        found.append(Finding("renegotiation", Verdict.GOOD, "Secure renegotiation is supported (RFC 5746)."))
    else:
        words = "Secure renegotiation is missing: an attacker can put commands before those of the client (RFC 5746)."
        found.append(Finding("renegotiation", Verdict.BAD, words, "Upgrade the TLS library."))
    if hello.version > SSL3 and EXTENDED_MASTER_SECRET not in hello.extensions:
        words = "The extended master secret is missing (RFC 7627)."
        found.append(Finding("master secret", Verdict.NOTE, words, "Upgrade the TLS library."))
    return found


def judge_compression(is_accepted: bool) -> Finding:
    """Returns the finding about compression in TLS."""
    if is_accepted:
        words = "TLS compresses: the size of what is encrypted tells secrets in it (CRIME)."
        return Finding("compression", Verdict.BAD, words, "Switch compression in TLS off.")
    return Finding("compression", Verdict.GOOD, "TLS does not compress.")


def judge_handshake(handshake: Handshake) -> list[Finding]:
    """Returns findings about the handshake of a client of today."""
    good = handshake.forward_secrecy.startswith("yes")
    advice = "" if good else _ONLY_GOOD
    verdict = Verdict.GOOD if good else Verdict.WEAK
    is_current = handshake.version_code >= TLS12
    words = f"{'A client of today' if is_current else 'A client that allows old versions'} gets {handshake.summary()}."
    return [
        Finding("handshake", Verdict.GOOD if is_current else Verdict.BAD, words),
        Finding(
            "forward secrecy",
            verdict,
            f"{handshake.forward_secrecy[:1].upper()}{handshake.forward_secrecy[1:]}.",
            advice,
        ),
    ]
