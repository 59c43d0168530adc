"""Validation of a certificate chain, step by step, each step with its verdict."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import extract_patterns
from service_identity.hazmat import DNS_ID, IPAddress_ID, verify_service_identity

from emailsys.mail.quantities import counted
from emailsys.wiretap.tls.anchors import Anchors
from emailsys.wiretap.tls.certificates import NOT_READABLE, Facts, facts_of, load
from emailsys.wiretap.tls.names import clean
from emailsys.wiretap.tls.restrictions import forbidden_name, unknown_critical
from emailsys.wiretap.verdict import Finding, Verdict, worst

# A certificate that ends within this time is reported. Let's Encrypt's live 90 days and are renewed 30 before the end.
_SOON: Final = timedelta(days=14)
_LONGEST_PATH: Final = 10
_Extension = TypeVar("_Extension", bound=x509.ExtensionType)
# NIST SP 800-57 part 1 §5.6.1; the Baseline Requirements of browsers §6.1.5.
_LEAST_BITS: Final = {"RSA": 2048, "DSA": 2048, "ECDSA": 224}
_BROKEN_BITS: Final = {"RSA": 1024, "DSA": 1024, "ECDSA": 160}
_BROKEN_HASHES: Final = ("md5", "sha1")
_UNVERIFIABLE: Final = (InvalidSignature, *NOT_READABLE)


@dataclass(frozen=True, slots=True)
class _Step:
    """A certificate of the path and what it says."""

    certificate: x509.Certificate
    facts: Facts
    is_anchor: bool = False


@dataclass(frozen=True, slots=True)
class Validation:
    """The result of a validation.

    @ivar steps: the findings in the order of the path, the server's certificate first. `about` is the subject.
    @ivar path: the subjects from the server's certificate to the trust anchor, as far as there is a path.
    """

    steps: tuple[Finding, ...]
    path: tuple[str, ...]

    @property
    def is_valid(self) -> bool:
        """Whether a client that verifies certificates accepts the chain for this name."""
        return worst(self.steps) is not Verdict.BAD


def validate(chain: Sequence[bytes], name: str, at: datetime, anchors: Anchors) -> Validation:
    """Validates a chain as a client does. Revocation is not checked. Never raises, whatever the chain holds.

    @param chain: DER, the server's certificate first.
    @param name: the host name or IP address that the client expects; "" if it expects none.
    @param at: now, with a time zone.
    """
    sent = [step for step in map(_step, chain) if step is not None]
    if not sent:
        words = "The server sent a certificate that cannot be read." if chain else "The server sent no certificate."
        return Validation((Finding("certificate", Verdict.BAD, words, "Install a certificate on the server."),), ())
    path = _path(sent, anchors)
    found = [_names(path[0], name), _purpose(path[0])]
    for depth, step in enumerate(path):
        if depth:
            found.append(_authority(step, depth))
        found += _restrictions(step, path[0])
        found.append(_dates(step, at))
        found.append(_key(step))
        if not step.is_anchor:
            found.append(_hash(step))
            found += _issued_by(step, path[depth + 1] if depth + 1 < len(path) else None)
    found.append(_anchor(path, anchors))
    found += _surplus(sent, path)
    return Validation(tuple(found), tuple(step.facts.subject for step in path))


def _step(der: bytes) -> _Step | None:
    certificate = load(der)
    facts = None if certificate is None else facts_of(certificate)
    return None if certificate is None or facts is None else _Step(certificate, facts)


def _path(sent: Sequence[_Step], anchors: Anchors) -> list[_Step]:
    """From the server's certificate to a trust anchor, or as far as certificates lead."""
    path = [sent[0]]
    while len(path) < _LONGEST_PATH:
        last = path[-1]
        if last.certificate in anchors:
            path[-1] = _Step(last.certificate, last.facts, True)
            return path
        trusted = [anchor for anchor in anchors.named(last.certificate.issuer) if _signed(last.certificate, anchor)]
        facts = facts_of(trusted[0]) if trusted else None
        if facts is not None:
            return [*path, _Step(trusted[0], facts, True)]
        used = [step.certificate for step in path]
        issuers = [
            step
            for step in sent
            if step.certificate not in used and step.certificate.subject == last.certificate.issuer
        ]
        if not issuers:
            return path
        path.append(next((step for step in issuers if _signed(last.certificate, step.certificate)), issuers[0]))
    return path


def _signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except _UNVERIFIABLE:
        return False
    return True


def _names(leaf: _Step, name: str) -> Finding:
    about, has = leaf.facts.subject, ", ".join(leaf.facts.names[:10]) or "no name at all"
    if not name:
        return Finding("names", Verdict.NOTE, f"No name was expected; the certificate is for {has}.", about=about)
    identity = _identity(name)
    try:
        verify_service_identity(list(extract_patterns(leaf.certificate)), [identity] if identity else [], [])
        matches = identity is not None
    except (VerificationError, CertificateError, *NOT_READABLE):
        matches = False
    if matches:
        return Finding("names", Verdict.GOOD, f"The certificate is for {clean(name)}.", about=about)
    return Finding(
        "names",
        Verdict.BAD,
        f"The certificate is for {has}, not for {clean(name)}.",
        f"Get a certificate with the name {clean(name)}, or use a name that it has.",
        about,
    )


def _identity(name: str) -> DNS_ID | IPAddress_ID | None:
    try:
        return IPAddress_ID(str(ipaddress.ip_address(name.strip("[]"))))
    except ValueError:
        pass
    try:
        return DNS_ID(name.removesuffix("."))
    except (ValueError, TypeError):
        return None


def _dates(step: _Step, at: datetime) -> Finding:
    about, begin, end = step.facts.subject, step.facts.not_before, step.facts.not_after
    if at < begin:
        words = f"It is not valid before {begin:%Y-%m-%d %H:%M} UTC."
        return Finding("dates", Verdict.BAD, words, "Check the clock of this computer and the certificate.", about)
    if at > end:
        return Finding("dates", Verdict.BAD, f"It expired on {end:%Y-%m-%d %H:%M} UTC.", "Renew it.", about)
    if end - at < _SOON and not step.is_anchor:
        words = f"It expires in {counted((end - at).days, 'day')}, on {end:%Y-%m-%d %H:%M} UTC."
        return Finding("dates", Verdict.WEAK, words, "Renew it now, and let a program renew it in future.", about)
    return Finding("dates", Verdict.GOOD, f"It is valid until {end:%Y-%m-%d}.", about=about)


def _purpose(leaf: _Step) -> Finding:
    about = leaf.facts.subject
    try:
        purposes = _extension(leaf.certificate, x509.ExtendedKeyUsage)
    except NOT_READABLE:
        return Finding("purpose", Verdict.BAD, "Its extensions cannot be read.", "Get another certificate.", about)
    if purposes is None:
        return Finding("purpose", Verdict.GOOD, "It does not restrict what it is used for.", about=about)
    if {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(purposes):
        return Finding("purpose", Verdict.GOOD, "It is made for servers.", about=about)
    return Finding("purpose", Verdict.BAD, "It is not made for servers.", "Get a certificate for servers.", about)


def _authority(step: _Step, depth: int) -> Finding:
    """Whether the certificate may sign others: RFC 5280 §4.2.1.9 and §4.2.1.3."""
    about = step.facts.subject
    bad = None
    try:
        constraints = _extension(step.certificate, x509.BasicConstraints)
        usage = _extension(step.certificate, x509.KeyUsage)
        if constraints is None or not constraints.ca:
            # Anchors of the first version have no extensions. That they are trusted is their permission.
            is_trusted = step.is_anchor and constraints is None
            bad = None if is_trusted else "It is no authority and may not sign certificates."
        elif constraints.path_length is not None and depth - 1 > constraints.path_length:
            bad = f"It may have {constraints.path_length} authorities below it, and has {depth - 1}."
        elif usage is not None and not usage.key_cert_sign:
            bad = "Its key may not sign certificates."
    except NOT_READABLE:
        bad = "Its extensions cannot be read."
    if bad:
        return Finding("purpose", Verdict.BAD, bad, "Get a certificate from a proper authority.", about)
    return Finding("purpose", Verdict.GOOD, "It is an authority and may sign certificates.", about=about)


def _restrictions(step: _Step, leaf: _Step) -> list[Finding]:
    """Return the findings for which a client that obeys the restrictions of a certificate refuses the chain."""
    try:
        number = unknown_critical(step.certificate)
        name = "" if step is leaf else clean(forbidden_name(step.certificate, leaf.certificate))
    except NOT_READABLE:
        # The steps `purpose` have said so.
        return []
    bad = []
    if number:
        bad.append(f"It has a critical extension that clients do not know ({number}).")
    if name:
        bad.append(f"It is no authority for {name} (name constraints).")
    return [Finding("restrictions", Verdict.BAD, one, "Get another certificate.", step.facts.subject) for one in bad]


def _extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _key(step: _Step) -> Finding:
    about, kind, bits = step.facts.subject, step.facts.key.split()[0], step.facts.key_bits
    if bits and bits < _BROKEN_BITS.get(kind, 0):
        words, verdict = f"{step.facts.key} can be broken.", Verdict.BAD
    elif bits and bits < _LEAST_BITS.get(kind, 0):
        words, verdict = f"{step.facts.key} is shorter than the {_LEAST_BITS[kind]} bits of today.", Verdict.WEAK
    elif not bits:
        return Finding("key size", Verdict.NOTE, f"It has {step.facts.key}, which is not judged.", about=about)
    else:
        return Finding("key size", Verdict.GOOD, f"{step.facts.key} is strong enough.", about=about)
    return Finding("key size", verdict, words, "Make a new key: ECDSA on P-256, or RSA with 2048 bits.", about)


def _hash(step: _Step) -> Finding:
    about, signature = step.facts.subject, step.facts.signature
    if any(name in signature for name in _BROKEN_HASHES):
        words = f"It is signed with {signature}, whose hash is broken: others can make a certificate that matches."
        return Finding("hash", Verdict.BAD, words, "Get a certificate that is signed with SHA-256.", about)
    return Finding("hash", Verdict.GOOD, f"It is signed with {signature}.", about=about)


def _issued_by(step: _Step, issuer: _Step | None) -> list[Finding]:
    about, facts = step.facts.subject, step.facts
    if issuer is not None:
        found = [Finding("issuer", Verdict.GOOD, f"It was issued by {issuer.facts.subject}.", about=about)]
    elif step.certificate.issuer == step.certificate.subject:
        issuer = step
        found = [Finding("issuer", Verdict.NOTE, "It was issued by itself (self-signed).", about=about)]
    else:
        words = f"Its issuer, {facts.issuer}, is neither in what the server sent nor among the trusted authorities."
        advice = "Configure the server to send the intermediate certificates too."
        return [Finding("issuer", Verdict.BAD, words, advice, about)]
    if any(name in facts.signature for name in _BROKEN_HASHES):
        # The library no longer computes them. The step `hash` has already judged the certificate.
        found.append(Finding("signature", Verdict.UNTESTED, f"{facts.signature} proves nothing.", about=about))
    elif _signed(step.certificate, issuer.certificate):
        found.append(Finding("signature", Verdict.GOOD, "The signature of its issuer is correct.", about=about))
    else:
        words = f"The signature is not by the key of {issuer.facts.subject}."
        found.append(Finding("signature", Verdict.BAD, words, "Install the certificates that belong together.", about))
    return found


def _anchor(path: Sequence[_Step], anchors: Anchors) -> Finding:
    last = path[-1]
    about, source = last.facts.subject, anchors.source or "no source"
    if last.is_anchor:
        return Finding("trust anchor", Verdict.GOOD, f"It is trusted ({source}).", about=about)
    words = f"The path ends here, and this certificate is not among the {len(anchors)} trusted ones of {source}."
    advice = "Get a certificate of an authority that clients trust, or name its file with --ca."
    return Finding("trust anchor", Verdict.BAD, words, advice, about)


def _surplus(sent: Sequence[_Step], path: Sequence[_Step]) -> list[Finding]:
    used = [step.certificate for step in path]
    unused = [step.facts.subject for step in sent if step.certificate not in used]
    if not unused:
        return []
    words = f"The server also sent certificates that are of no use here: {', '.join(unused[:5])}."
    return [Finding("chain", Verdict.NOTE, words, "Leave them out; they make each handshake larger.")]
