"""Style sheets of HTML messages: rules, their selectors, and the media that they are for.

A selector that is not understood matches nothing: a rule that is wrongly ignored shows text, never hides it. Nothing is
imported or loaded.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from emailsys.client.text.css import PLAIN, Declaration, Precedence, Style, declarations, style_of, unescaped

# Width of the imagined window, in pixels. Mail is laid out for 600; narrow windows are telephones.
_WIDTH: Final = 1024
# Limits that keep the work for one message linear: characters of style sheets, rules that are kept, and comparisons of
# elements with selectors of several parts.
MAX_SHEETS: Final = 1_000_000
_MAX_RULES: Final = 4_000
_MAX_COMPARISONS: Final = 1_000_000
_MAX_PARTS: Final = 8
# Characters of one media query. A longer query applies nowhere.
_MAX_QUERY: Final = 1_000

_COMMENT: Final = re.compile(r"/\*.*?(?:\*/|\Z)|<!--|-->", re.S)
_STOP: Final = re.compile("[{};]")
_AT_KEYWORD: Final = re.compile(r"@[-\w]+")
_COMPOUND: Final = re.compile(r"(\*|(?:[-\w]|\\.)+)?((?:[.#](?:[-\w]|\\.)+|\[[^\[\]]*\])*)")
_SIMPLE: Final = re.compile(r"([.#])((?:[-\w]|\\.)+)|\[\s*([-\w:]+)\s*(?:([~|^$*]?=)\s*([^\]]*?)\s*)?\]")
_COMBINATOR: Final = re.compile(r"\s*>\s*|\s+")
_FEATURE: Final = re.compile(r"\(\s*+([-\w]++)\s*+(?::([^()]*+))?\)")


@dataclass(frozen=True, slots=True)
class _Element:
    """An element as selectors see it."""

    tag: str
    classes: frozenset[str]
    id: str
    attributes: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True)
class _Compound:
    tag: str
    classes: frozenset[str]
    id: str
    attributes: tuple[tuple[str, str, str], ...]
    #: Whether the next compound to the right is a child, and not any descendant.
    is_parent: bool = False

    def matches(self, element: _Element) -> bool:
        return (
            self.tag in ("", element.tag)
            and self.id in ("", element.id)
            and self.classes <= element.classes
            and all(_has(element, *one) for one in self.attributes)
        )


@dataclass(frozen=True, slots=True)
class _Rule:
    compound: _Compound
    #: The compounds to the left, from right to left.
    ancestors: tuple[_Compound, ...]
    specificity: tuple[int, int, int]
    order: int
    declared: tuple[Declaration, ...]
    #: A class that an element around must have, or "".
    needs: str


def _has(element: _Element, name: str, operator: str, wanted: str) -> bool:
    for key, value in element.attributes:
        if key == name:
            value = value or ""
            match operator:
                case "":
                    return True
                case "=":
                    return value == wanted
                case "~=":
                    return wanted in value.split()
                case "|=":
                    return value == wanted or value.startswith(wanted + "-")
                case "^=":
                    return bool(wanted) and value.startswith(wanted)
                case "$=":
                    return bool(wanted) and value.endswith(wanted)
                case _:
                    return bool(wanted) and wanted in value
    return False


def _compound(text: str, is_parent: bool) -> _Compound | None:
    found = _COMPOUND.fullmatch(text)
    if found is None or not text:
        return None
    classes: set[str] = set()
    own_id = ""
    attributes: list[tuple[str, str, str]] = []
    for mark, name, attribute, operator, value in _SIMPLE.findall(found[2]):
        if mark == ".":
            classes.add(unescaped(name))
        elif mark == "#":
            own_id = unescaped(name)
        else:
            attributes.append((attribute.lower(), operator, value.strip("\"'")))
    tag = (found[1] or "").lower()
    return _Compound("" if tag == "*" else tag, frozenset(classes), own_id, tuple(attributes), is_parent)


def _selector(text: str) -> tuple[_Compound, ...] | None:
    """Parse one complex selector into compounds, from right to left. None: it is not understood."""
    text = text.strip()
    if not text or len(text) > 500:
        return None
    pieces: list[_Compound] = []
    at = 0
    while True:
        found = _COMPOUND.match(text, at)
        end = found.end() if found else at
        combinator = _COMBINATOR.match(text, end)
        compound = _compound(text[at:end], combinator is not None and ">" in combinator[0])
        if compound is None or len(pieces) >= _MAX_PARTS:
            return None
        pieces.append(compound)
        if end == len(text):
            return tuple(reversed(pieces))
        if combinator is None:
            return None
        at = combinator.end()


def _specificity(compounds: Sequence[_Compound]) -> tuple[int, int, int]:
    return (
        sum(bool(one.id) for one in compounds),
        sum(len(one.classes) + len(one.attributes) for one in compounds),
        sum(bool(one.tag) for one in compounds),
    )


def _has_feature(name: str, value: str) -> bool:
    number = re.match(r"(\d{1,9}(?:\.\d{1,9})?|\.\d{1,9})(px|em|rem)?", value)
    pixels = 0.0
    if number:
        pixels = float(number[1]) * (16 if (number[2] or "px") != "px" else 1)
    match name:
        case "min-width" | "min-device-width":
            return bool(number) and pixels <= _WIDTH
        case "max-width" | "max-device-width":
            return bool(number) and pixels >= _WIDTH
        case "prefers-color-scheme":
            return value == "light"
        case "orientation":
            return value == "landscape"
        case _:
            return False


def media_applies(text: str) -> bool:
    """Whether a list of media queries matches a wide window on a light screen."""
    for query in (text.lower() or "all").split(","):
        if len(query) > _MAX_QUERY:
            continue
        words = _FEATURE.sub(" ", query).split()
        kind = next((word for word in words if word not in ("not", "only", "and")), "all")
        applies = kind in ("all", "screen") and all(
            _has_feature(name, value.strip()) for name, value in _FEATURE.findall(query)
        )
        if applies != ("not" in words):
            return True
    return False


def _rules_of(sheet: str) -> Iterator[tuple[str, str]]:
    """Yield selector and body of each rule that applies, in order."""
    sheet = _COMMENT.sub(" ", sheet)
    blocks: list[bool] = []
    # Whether the next selector begins with a bracket that closes nothing, and is therefore none.
    is_broken = False
    at = 0
    while stop := _STOP.search(sheet, at):
        prelude = sheet[at : stop.start()].strip()
        at = stop.end()
        if stop[0] == "}":
            is_broken = not blocks
            del blocks[-1:]
        elif stop[0] == "{" and prelude.startswith("@"):
            keyword = _AT_KEYWORD.match(prelude)
            name = keyword[0].lower() if keyword else ""
            blocks.append(name == "@layer" or (name == "@media" and media_applies(prelude[len(name) :])))
        elif stop[0] == "{":
            end = sheet.find("}", at)
            end = len(sheet) if end < 0 else end
            if all(blocks[-20:]) and prelude and not is_broken:
                yield prelude, sheet[at:end]
            at, is_broken = end + 1, False


class StyleRules:
    """The rules of all style sheets of a message, and the styles that elements get from them."""

    def __init__(self, sheets: Iterable[tuple[str, str]]) -> None:
        """@param sheets: the media and the text of each sheet, in order."""
        self._by_class: dict[str, list[_Rule]] = {}
        self._by_id: dict[str, list[_Rule]] = {}
        self._by_tag: dict[str, list[_Rule]] = {}
        self._candidates: dict[tuple[str, str, str], tuple[_Rule, ...]] = {}
        # Styles of elements whose rules look at nothing else.
        self._known: dict[tuple[str, str | None, str | None, str, bool], Style] = {}
        self._styles: dict[tuple[str, bool, tuple[int, ...]], Style] = {("", False, ()): PLAIN}
        self._elements: dict[tuple[str, str, str], _Element] = {}
        self._has_attributes = False
        self._around: list[_Element] = []
        # How many open elements have each class. "" is what a rule needs that needs none.
        self._classes_around: Counter[str] = Counter({"": 1})
        self._left = _MAX_COMPARISONS
        self._count = 0
        #: What was not applied, for the reader to know.
        self.defects: list[str] = []
        #: Whether some rule asks for the elements around an element.
        self.has_ancestors = False
        left = MAX_SHEETS
        for media, sheet in sheets:
            if media_applies(media):
                self._add(sheet[:left])
                left -= len(sheet)
        if left < 0 or self._count > _MAX_RULES:
            self.defects.append("its style sheets are too long: the rest of them is not applied")

    def _add(self, sheet: str) -> None:
        for selectors, body in _rules_of(sheet):
            declared = tuple(declarations(body))
            # CSS Selectors 4 §4.1: a list with an empty selector is invalid as a whole.
            if not declared or not all(text.strip() for text in selectors.split(",")):
                continue
            for text in selectors.split(","):
                compounds = _selector(text)
                if compounds is None:
                    continue
                self._count += 1
                if self._count > _MAX_RULES:
                    return
                first, *ancestors = compounds
                self._has_attributes = self._has_attributes or any(one.attributes for one in compounds)
                self.has_ancestors = self.has_ancestors or bool(ancestors)
                needs = next((min(one.classes) for one in ancestors if one.classes), "")
                rule = _Rule(first, tuple(ancestors), _specificity(compounds), self._count, declared, needs)
                if first.id:
                    self._by_id.setdefault(first.id, []).append(rule)
                elif first.classes:
                    self._by_class.setdefault(min(first.classes), []).append(rule)
                else:
                    self._by_tag.setdefault(first.tag, []).append(rule)

    def style(self, tag: str, attributes: Mapping[str, str | None], own: str, hidden: bool) -> Style:
        """Return the style of an element from the rules, its style attribute and its attribute `hidden`.

        @param own: the style attribute.
        """
        element_key = (tag, attributes.get("class"), attributes.get("id"), own, hidden)
        style = self._known.get(element_key)
        if style is not None:
            return style
        matching: tuple[int, ...] = ()
        rules: list[_Rule] = []
        is_everywhere = True
        if self._left > 0 and (candidates := self._candidates_of(tag, attributes)):
            is_everywhere = not any(one.ancestors or one.compound.attributes for one in candidates)
            around = self._classes_around
            self._left -= len(candidates) >> 2
            rules = [one for one in candidates if around[one.needs]]
            if rules:
                element = self._element(tag, attributes)
                rules = [one for one in rules if self._matches(one, element)]
                matching = tuple(one.order for one in rules)
        key = (own, hidden, matching)
        style = self._styles.get(key)
        if style is None:
            declared: list[tuple[Precedence, Declaration]] = [
                ((one[2], 0, rule.specificity, rule.order), one) for rule in rules for one in rule.declared
            ]
            declared += [((one[2], 1, (0, 0, 0), number), one) for number, one in enumerate(declarations(own))]
            style = self._styles[key] = style_of(declared, hidden)
        if is_everywhere:
            self._known[element_key] = style
        return style

    def _candidates_of(self, tag: str, attributes: Mapping[str, str | None]) -> tuple[_Rule, ...]:
        key = (tag, attributes.get("class") or "", attributes.get("id") or "")
        found = self._candidates.get(key)
        if found is None:
            lists = [self._by_tag.get(tag), self._by_tag.get(""), self._by_id.get(key[2])]
            lists += [self._by_class.get(one) for one in set(key[1].split())]
            found = tuple(rule for one in lists for rule in one or ())
            self._candidates[key] = found
        return found

    def _matches(self, rule: _Rule, element: _Element) -> bool:
        if self._left <= 0:
            return False
        self._left -= 1
        if not rule.compound.matches(element):
            return False
        # Greedy from the inside out. A parent that fails is looked for again only among its own neighbours: a rule
        # for which that is not enough is not applied, and its text is shown.
        around = self._around
        at = len(around) - 1
        for one in rule.ancestors:
            if one.is_parent:
                self._left -= 1
                if at < 0 or not one.matches(around[at]):
                    return False
            else:
                while at >= 0 and not one.matches(around[at]):
                    at -= 1
                    self._left -= 1
                if at < 0:
                    return False
            at -= 1
        return True

    def enter(self, tag: str, attributes: Mapping[str, str | None]) -> None:
        """Put an element around those that follow. Required only if `has_ancestors`, after `style` of the element."""
        element = self._element(tag, attributes)
        self._around.append(element)
        for one in element.classes:
            self._classes_around[one] += 1

    def leave(self, depth: int) -> None:
        """Remove the element at a depth, counted from 1, if `enter` put it there."""
        while len(self._around) >= depth:
            for one in self._around.pop().classes:
                self._classes_around[one] -= 1

    def _element(self, tag: str, attributes: Mapping[str, str | None]) -> _Element:
        key = (tag, attributes.get("class") or "", attributes.get("id") or "")
        element = None if self._has_attributes else self._elements.get(key)
        if element is None:
            element = _Element(tag, frozenset(key[1].split()), key[2], tuple(attributes.items()))
            self._elements[key] = element
        return element

    @property
    def is_exhausted(self) -> bool:
        """Whether the sheets asked for too many comparisons, so that some rules were not applied."""
        return self._left <= 0
