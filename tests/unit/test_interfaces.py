"""The package of interfaces: its names are imported when they are used."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys import interfaces


class InterfacesTests(SynchronousTestCase):
    """Names of the package."""

    def test_every_name_that_the_package_promises_is_there(self) -> None:
        """Each comes from the module of its seam."""
        for name in interfaces.__all__:
            self.assertIsNotNone(getattr(interfaces, name), name)

    def test_a_name_that_it_does_not_have_is_an_attribute_error(self) -> None:
        """`hasattr`, `from ... import` and pydoc rely on it."""
        with self.assertRaises(AttributeError) as caught:
            getattr(interfaces, "IMaildropp")  # noqa: B009
        self.assertIn("module 'emailsys.interfaces' has no attribute 'IMaildropp'", str(caught.exception))
