"""The OpenAPI document: valid, and true of the table from which requests are checked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from emailsys.web.api.schema import KEYWORDS, problems
from tests.unit.web.api.api_case import ApiCase


def schemas(value: Any, is_schema: bool = False) -> Iterator[Mapping[str, Any]]:
    """Each schema within a schema."""
    yield value
    for name in ("properties",):
        for one in value.get(name, {}).values():
            yield from schemas(one)
    for name in ("items", "additionalProperties"):
        if isinstance(value.get(name), Mapping):
            yield from schemas(value[name])


class DocumentTests(ApiCase):
    def test_the_document_is_valid(self) -> None:
        errors = list(OpenAPIV31SpecValidator(json.loads(json.dumps(self.document))).iter_errors())
        self.assertEqual([str(error)[:300] for error in errors], [])

    def test_every_operation_is_in_it_once(self) -> None:
        listed = [
            (method.upper(), path) for path, operations in self.document["paths"].items() for method in operations
        ]
        self.assertEqual(sorted(listed), sorted((one.method, one.path) for one in self.table.operations))
        names = [one.name for one in self.table.operations]
        self.assertEqual(len(set(names)), len(names))

    def test_every_parameter_of_a_path_is_described(self) -> None:
        for one in self.table.operations:
            in_path = [part[1:-1] for part in one.parts if part.startswith("{")]
            self.assertEqual([p.name for p in one.parameters if p.place == "path"], in_path)

    def test_every_text_is_a_sentence_for_people(self) -> None:
        for one in self.table.operations:
            for text in (one.summary, one.success.description, *filter(None, [one.description])):
                self.assertRegex(text, r"\A[A-Z].*\.\Z", one.name)
            for parameter in one.parameters:
                self.assertTrue(parameter.schema.get("description"), (one.name, parameter.name))

    def test_our_check_knows_every_keyword_that_the_schemas_use(self) -> None:
        """A keyword that only the document knows would be promised and not checked."""
        for one in self.table.operations:
            asked = [schema for schema in one.bodies.values() if schema is not None]
            for root in (*asked, *(parameter.schema for parameter in one.parameters)):
                for schema in schemas(root):
                    self.assertLessEqual(set(schema), KEYWORDS, one.name)
                    Draft202012Validator.check_schema(schema)

    def test_our_check_agrees_with_the_standard(self) -> None:
        """On values that fit and values that do not, as jsonschema finds."""
        values: tuple[Any, ...] = (
            None,
            True,
            0,
            -1,
            1.5,
            10**40,
            "",
            "x",
            "a@b.example",
            "x" * 2000,
            [],
            ["a@b.example"],
            [1],
            {},
            {"to": []},
            {"to": ["a@b.example"]},
            {"name": 1},
            {"action": "retry"},
            {"action": "burn"},
            {"action": "hold", "all": True, "queue_ids": ["a"], "older_than": -1},
            {"name": "example.test", "postmaster": "a@b.example"},
            {"enabled": None},
            {"quota": None},
            {"quota": 0},
            {"subject": "x", "to": [{"address": "a@b.example"}], "attachments": [{"name": "a", "content": "eA=="}]},
            {"headers": {"X-A": 1}},
            {"headers": {"X-A": "1"}},
            {"unknown": 1},
        )
        compared = 0
        for one in self.table.operations:
            for schema in (*one.bodies.values(), *(parameter.schema for parameter in one.parameters)):
                if schema is None:
                    continue
                judge = Draft202012Validator(schema)
                for value in values:
                    if judge.is_valid(value) is not (problems(value, schema) == []):
                        # Ours also checks formats, which are annotations in the standard.
                        self.assertTrue(judge.is_valid(value), (one.name, schema, value, problems(value, schema)))
                        words = "mail address|domain name|base64|a time"
                        self.assertRegex(problems(value, schema)[0][1], words, (one.name, value))
                    compared += 1
        self.assertGreater(compared, 1000)


del ApiCase
