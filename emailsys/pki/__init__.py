"""Development CA: creates, renews and reads certificates by the recipe in certs/."""

from emailsys.pki.certificates import CertificateFacts, certificate_facts, read_certificate
from emailsys.pki.development import DevelopmentPKI, IssuedFiles, ensure_development_ca, find_damage, make_variant
from emailsys.pki.recipe import PKIError, Recipe, ServerRecipe, read_recipe, recipe_path

__all__ = [
    "CertificateFacts",
    "DevelopmentPKI",
    "IssuedFiles",
    "PKIError",
    "Recipe",
    "ServerRecipe",
    "certificate_facts",
    "ensure_development_ca",
    "find_damage",
    "make_variant",
    "read_certificate",
    "read_recipe",
    "recipe_path",
]
