"""Markdown, as WhatsApp shows it."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.ai.whatsapp import to_whatsapp


def test_markdown_becomes_what_whatsapp_has() -> None:
    # A09
    text = "# Fees\n**Free** at [shop](https://x.example/a_b_c). **https://x.example/p** call `__init__` 2 * 3 * 4"
    assert to_whatsapp(text) == (
        "*Fees*\n*Free* at shop: https://x.example/a_b_c. https://x.example/p call `__init__` 2 * 3 * 4"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("## **Fees** ##", "*Fees*"),
        ("#1 is fine", "#1 is fine"),
        ("***both*** __Very free__ ~~old~~", "*both* *Very free* ~old~"),
        ("这是**重点**内容", "这是*重点*内容"),
        ("**unclosed and 2**3 or 2 ** 3", "unclosed and 2**3 or 2 ** 3"),
        ("__init__ and snake_case_name", "__init__ and snake_case_name"),
        ("*already bold* _italic_", "*already bold* _italic_"),
        ("* one\n+ two\n  * **three**: x", "- one\n- two\n  - *three*: x"),
        ("> quoted\n1. first", "> quoted\n1. first"),
        ("a\n\n---\n\nb", "a\n\n\nb"),
        ("| a | b |\n|---|:-:|\n| 1 | 2 |", "| a | b |\n| 1 | 2 |"),
        ("```python\nx ** 2\n```", "```x ** 2```"),
        ("`**not bold**`", "`**not bold**`"),
        ("one<br>two", "one\ntwo"),
        ("<https://x.example/a>", "https://x.example/a"),
        ("[https://x.example](https://x.example/)", "https://x.example/"),
        ('[**Shop**](https://x.example/a(b)c "The shop")!', "Shop: https://x.example/a(b)c!"),
        ("![logo](https://x.example/l.png)", "logo: https://x.example/l.png"),
        ("[mail us](mailto:a@x.example)", "mail us: mailto:a@x.example"),
        ("**See https://x.example/p now**", "See https://x.example/p now"),
        ("(https://x.example/p). _https://x.example/p_", "(https://x.example/p). _https://x.example/p_"),
        ("[not a link] (here)", "[not a link] (here)"),
        ("  blank \u200b ", "blank"),
    ],
)
def test_each_mark(text: str, shown: str) -> None:
    assert to_whatsapp(text) == shown


URLS = st.from_regex(
    r"https://[a-z]{1,8}\.example(/[a-z_~*-]{1,6}[a-z]){0,3}(\?[a-z]=[a-z_]{1,5}[a-z])?", fullmatch=True
)
AROUND = st.sampled_from(
    [
        "{}",
        "**{}**",
        "[a **b** c]({})",
        "![{0}]({0})",
        "<{}>",
        "# {}",
        "* {}",
        "({}).",
        "`{}`",
        "__see {}__",
        "~~{}~~",
        "{},",
    ]
)
TEXT = st.text(alphabet="ab *_~#`[]()<>\n.-|", max_size=12)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(TEXT, AROUND, URLS), min_size=1, max_size=4))
def test_every_link_stays_whole(parts: list[tuple[str, str, str]]) -> None:
    text = " ".join(f"{before}\n\n{around.format(url)}" for before, around, url in parts)
    shown = to_whatsapp(text)
    for _, _, url in parts:
        assert url in shown
    if "`" not in text:
        assert not re.search(r"\]\(https://", shown)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=300))
def test_any_text_can_be_shown(text: str) -> None:
    to_whatsapp(text)
