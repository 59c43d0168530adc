"""Restrictions in certificates that a client must obey: name constraints, and critical extensions."""

from __future__ import annotations

from typing import Final

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

# What `chain` and this module act on, and what restricts policies that no mail client asks for.
_KNOWN: Final = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.NAME_CONSTRAINTS,
        ExtensionOID.CERTIFICATE_POLICIES,
        ExtensionOID.POLICY_MAPPINGS,
        ExtensionOID.POLICY_CONSTRAINTS,
        ExtensionOID.INHIBIT_ANY_POLICY,
        ExtensionOID.CRL_DISTRIBUTION_POINTS,
    }
)


def unknown_critical(certificate: x509.Certificate) -> str:
    """Returns the number of a critical extension that clients do not know; "" if there is none (RFC 5280 §4.2)."""
    return next((one.oid.dotted_string for one in certificate.extensions if one.critical and one.oid not in _KNOWN), "")


def forbidden_name(authority: x509.Certificate, leaf: x509.Certificate) -> str:
    """Returns a host name or address of the leaf that an authority may not certify; "" if there is none.

    RFC 5280 §4.2.1.10.
    """
    try:
        limits = authority.extensions.get_extension_for_class(x509.NameConstraints).value
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ""
    for name in names:
        if not isinstance(name, (x509.DNSName, x509.IPAddress)):
            continue
        permitted = [one for one in limits.permitted_subtrees or () if isinstance(one, type(name))]
        excluded = [one for one in limits.excluded_subtrees or () if isinstance(one, type(name))]
        if any(_is_in(name, one) for one in excluded) or (
            permitted and not any(_is_in(name, one) for one in permitted)
        ):
            return str(name.value)
    return ""


def _is_in(name: x509.GeneralName, subtree: x509.GeneralName) -> bool:
    if isinstance(name, x509.IPAddress):
        return isinstance(subtree, x509.IPAddress) and name.value in subtree.value  # type: ignore[operator]
    host, domain = str(name.value).lower(), str(subtree.value).lower().removeprefix(".")
    return not domain or host == domain or host.endswith(f".{domain}")
