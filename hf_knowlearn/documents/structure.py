"""Finds the blocks of a text, such as headings, paragraphs, lists and tables, and the section of each block.

The library `markdown-it-py` finds the blocks that Markdown marks. The rules in `block_rules.py` find other blocks,
such as the turns of a dialogue. Only paragraphs are prose. Views copy all other blocks unchanged, because their white
space and their order have a meaning.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from hf_knowlearn.documents.block_rules import (
    FRONT_MATTER,
    MARKED_LINE,
    BlockKind,
    DocumentSigns,
    end_of_heading,
    has_end_of_sentence,
    heading_level,
    is_code,
    is_marked_heading,
    is_plain_heading,
    kind_of_block,
    matching_lines,
)

# A line break of old files, and a page break. Why: the patterns and markdown-it expect "\n" and spaces.
_UNUSUAL_SPACE = re.compile(r"\r(?!\n)|[\f\v]")
_LINE_END = re.compile(r"\r\n|\r|\n")
# A run of lines that are not blank. Why `^`: without it, long blank lines take quadratic time.
_BLOCK = re.compile(r"^[^\S\n]*\S[^\n]*(?:\n[^\S\n]*\S[^\n]*)*", re.MULTILINE)
# Types of the tokens of markdown-it -> kind of block. A paragraph is examined by the rules.
_TOKENS = {
    "heading_open": BlockKind.HEADING,
    "bullet_list_open": BlockKind.UNORDERED_LIST,
    "ordered_list_open": BlockKind.ORDERED_LIST,
    "blockquote_open": BlockKind.QUOTE,
    "table_open": BlockKind.TABLE,
    "fence": BlockKind.CODE,
    "code_block": BlockKind.CODE,
    "paragraph_open": BlockKind.PARAGRAPH,
}
_SHOWN_HEADING = re.compile(r"^[\s#*_]+|[\s#*_:]+$|\n[=-]+\s*$")

Place = tuple[BlockKind, int, int]  # kind, start, end


@dataclass(frozen=True)
class Block:
    """A block of a text.

    Args:
        kind: the kind of the block.
        start, end: position of the block in the text, in characters.
        level: depth of a heading from 1; 0 for other blocks.
        section: the headings above the block, from the outermost to the innermost. A heading belongs to its own
            section.
    """

    kind: BlockKind
    start: int
    end: int
    level: int
    section: tuple[str, ...]


@lru_cache(maxsize=4)  # Why: segmentation, the rules for the order and the proof need the same blocks.
def parse_blocks(text: str) -> tuple[Block, ...]:
    """Return the blocks of `text` in their order. Every character that is not white space is in one block.

    Example:
        >>> text = "# Router\\n\\nIts case is white.\\n\\n1. Switch it on.\\n2. Wait."
        >>> [(str(block.kind), block.section) for block in parse_blocks(text)]
        [('heading', ('Router',)), ('paragraph', ('Router',)), ('ordered list', ('Router',))]
    """
    plain = text
    if any(map(text.__contains__, "\r\f\v")):
        plain = _UNUSUAL_SPACE.sub(lambda match: "\n" if match.group() == "\r" else " ", text)
    return tuple(_with_sections(plain, _with_headings(plain, _places(plain))))


def verbatim_spans(text: str) -> list[tuple[int, int]]:
    """Return the start and the end of each sequence of blocks that are not prose, in characters.

    Example:
        >>> text = "Prose comes first.\\n\\n- one\\n- two\\n\\nProse follows."
        >>> [text[start:end] for start, end in verbatim_spans(text)]
        ['- one\\n- two']
    """
    found: list[tuple[int, int]] = []
    follows_prose = True
    for block in parse_blocks(text):
        is_prose = block.kind is BlockKind.PARAGRAPH
        if not is_prose and follows_prose:
            found.append((block.start, block.end))
        elif not is_prose:
            found[-1] = (found[-1][0], block.end)
        follows_prose = is_prose
    return found


def _places(text: str) -> list[Place]:
    """Return the kind, start and end of each block. A heading without a mark counts as a paragraph here."""
    if is_code(text):
        return [(BlockKind.CODE, len(text) - len(text.lstrip("\n")), len(text.rstrip()))]
    front = FRONT_MATTER.match(text)
    places: list[Place] = [(BlockKind.FRONT_MATTER, *front.span())] if front else []
    start = front.end() if front else 0
    is_marked = next(matching_lines(MARKED_LINE, text, start), None) is not None
    found = _markdown(text, start) if is_marked else _plain(text, start)
    signs = DocumentSigns(text)
    for kind, begin, end in _joined_lines(text, list(_split_lists(text, found))):
        if kind in (BlockKind.PARAGRAPH, BlockKind.ORDERED_LIST) and (length := end_of_heading(text[begin:end])):
            places.append((BlockKind.HEADING, begin, begin + length))
            begin, kind = begin + length + 1, BlockKind.PARAGRAPH
        refined = kind_of_block(text[begin:end], signs) if kind is BlockKind.PARAGRAPH else kind
        places.append((refined, begin, end))
    return places


def _plain(text: str, start: int) -> Iterator[Place]:
    for match in _BLOCK.finditer(text, start):
        yield BlockKind.PARAGRAPH, match.start(), match.end()


@lru_cache(maxsize=1)
def _parser():  # type: ignore[no-untyped-def]
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark").enable("table")
    parser.core.ruler.enableOnly(["normalize", "block"])  # Why: the inline rules are not needed and take most time.
    return parser


def _markdown(text: str, start: int) -> Iterator[Place]:
    """Yield the blocks that markdown-it finds. Lines outside of these blocks, such as the target of a link, are blocks
    of the kind `MARKUP`."""
    lines = [start, *(match.end() for match in _LINE_END.finditer(text, start)), len(text)]
    covered = start
    for token in _parser().parse(text[start:]):
        if token.level or token.map is None or token.nesting < 0:
            continue
        begin, end = lines[token.map[0]], lines[min(token.map[1], len(lines) - 1)]
        yield from _uncovered(text, covered, begin)
        end = begin + len(text[begin:end].rstrip())
        if begin < end:  # Why: markdown-it counts some white space, such as U+2028, as a word.
            yield _TOKENS.get(token.type, BlockKind.MARKUP), begin, end
        covered = end
    yield from _uncovered(text, covered, len(text))


def _split_lists(text: str, places: Iterator[Place]) -> Iterator[Place]:
    """Yield the blocks. Split a numbered list whose items are numbered headings, each followed by its text."""
    for kind, start, end in places:
        parts = list(_BLOCK.finditer(text, start, end)) if kind is BlockKind.ORDERED_LIST else []
        if len(parts) > 1 and all(end_of_heading(part.group()) for part in parts):
            yield from ((kind, part.start(), part.end()) for part in parts)
        else:
            yield kind, start, end


def _uncovered(text: str, start: int, end: int) -> Iterator[Place]:
    for match in _BLOCK.finditer(text, start, end):
        yield BlockKind.MARKUP, match.start(), match.end()


def _joined_lines(text: str, places: Sequence[Place]) -> Iterator[Place]:
    """Yield the blocks. Join a paragraph to the block on the next line if its last sentence continues there.

    Why: a line that begins with a dash or a number can belong to the sentence before it.
    """
    held: Place | None = None
    for kind, start, end in places:
        if held is not None:
            touches = not held[0].is_prose or text.count("\n", held[2], start) > 1
            if (
                touches
                or kind in (BlockKind.PARAGRAPH, BlockKind.HEADING)
                or has_end_of_sentence(text[max(held[2] - 200, 0) : held[2]])
            ):
                yield held
            else:
                start = held[1]
        held = (kind, start, end)
    if held is not None:
        yield held


def _with_headings(text: str, places: list[Place]) -> list[Place]:
    """Turn each short line before another block into a heading, unless the line ends a sentence.

    In a text with marked headings, a line with a colon before a list, a table or code introduces that block.
    """
    found = []
    has_marks = False
    for number, (kind, start, end) in enumerate(places):
        has_marks = has_marks or (kind is BlockKind.HEADING and is_marked_heading(text[start:end].lstrip()))
        following = places[number + 1][0] if number + 1 < len(places) else None
        introduces = has_marks and text[end - 1] == ":" and following not in (BlockKind.PARAGRAPH, BlockKind.HEADING)
        if following is not None and not introduces and is_plain_heading(text[start:end], kind):
            kind = BlockKind.HEADING
        found.append((kind, start, end))
    return found


def _with_sections(text: str, places: Sequence[Place]) -> Iterator[Block]:
    path: list[tuple[int, str]] = []
    marked_level = 0  # of the last heading with a mark; other headings are below it
    for number, (kind, start, end) in enumerate(places):
        level = 0
        if kind is BlockKind.HEADING:
            heading = text[start:end].lstrip()
            level = heading_level(heading, is_first=number == 0)
            if is_marked_heading(heading):
                marked_level = level
            else:
                level = max(level, marked_level + 1)
            path = [entry for entry in path if entry[0] < level]
            path.append((level, " ".join(_SHOWN_HEADING.sub("", heading).split())))
        yield Block(kind, start, end, level, tuple(title for _, title in path))
