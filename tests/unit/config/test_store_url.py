"""Replacement of `store.url` in the text of a configuration."""

from __future__ import annotations

import tomllib

from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.loader import example
from emailsys.config.store_url import NotReplaceable, with_store_url

URL = 'postgresql://mail:{file:/run/pass"word}@db/mail'


class StoreURLTests(SynchronousTestCase):
    def replaced(self, text: str) -> str:
        after = with_store_url(text, URL)
        wanted = tomllib.loads(text)
        wanted.setdefault("store", {})["url"] = URL
        self.assertEqual(tomllib.loads(after), wanted)
        return after

    def test_only_the_line_of_the_key_changes(self) -> None:
        for before in ('url = "sqlite:////srv/a # b.sqlite"  # the store', "  url='sqlite:///a'"):
            text = f'hostname = "a"\n[store]\n# a comment\n{before}\nhistory_days = 3\n[web]\nurl = "x"\n'
            after = self.replaced(text)
            pairs = list(zip(text.splitlines(), after.splitlines(), strict=True))
            self.assertEqual([old for old, new in pairs if old != new], [before])
        self.assertIn("# the store", self.replaced('[store]\nurl = "sqlite:///a"  # the store\n'))

    def test_a_key_that_is_missing_is_added(self) -> None:
        for text in (example(), "", 'hostname = "a"\n', "[ store ] # here\nhistory_days = 3\n", "[web]\n"):
            after = self.replaced(text)
            self.assertEqual([line for line in text.splitlines() if line not in after.splitlines()], [])

    def test_a_key_with_a_dot_is_replaced_where_it_stands(self) -> None:
        self.replaced('hostname = "a"\nstore.url = "sqlite:///a"  # here\n[web]\n')

    def test_a_text_that_is_written_in_another_way_is_left_to_its_author(self) -> None:
        for text in (
            'store = { url = "sqlite:///a" }\n',
            "store.history_days = 3\n",
            '[store]\nurl = """sqlite:///a"""\n',
            '[store]\n"url" = "sqlite:///a"\n',
        ):
            self.assertRaises(NotReplaceable, with_store_url, text, URL)
