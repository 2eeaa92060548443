"""HTML: where its lines end, and what of a page is its text."""

from __future__ import annotations

import pytest

from feilun.curation import Document, parse


def read(body: str) -> Document:
    """Return a page as it is read."""
    return parse("a.html", f'<meta charset="utf-8"><body>{body}</body>'.encode())


def said(body: str) -> str:
    """Return all titles and texts of a page."""
    return "\n".join(f"{block.heading}\n{block.text}".strip() for block in read(body).blocks)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("<div>Deposit</div>Rate 1.2%", "Deposit\nRate 1.2%"),
        ("<p>one<br>two</p>three", "one\ntwo\nthree"),
        ("<ul><li>Cash<li>Cards</ul>Parking", "- Cash\n- Cards\nParking"),
        ("<fieldset><legend>Opening</legend>Nine</fieldset>", "Opening\nNine"),
        ("<dialog open>Hello</dialog><center>Centre</center>After", "Hello\n\nCentre\nAfter"),
        ("<dl><dt>APR</dt><dd>Yearly cost.</dd></dl>Note", "Q: APR\nA: Yearly cost.\nNote"),
        ("<pre><code><span><span>if x:</span></span>\n<span><span>    y</span></span></code></pre>", "if x:\n    y"),
    ],
)
def test_lines_end_where_blocks_end(body: str, text: str) -> None:
    """Text after a block is a line of its own; code keeps its indentation."""
    assert said(body) == text


def test_text_after_an_answer_is_none_of_it() -> None:
    """What follows details stands under the title before them."""
    blocks = read("<h1>Clinic</h1><details><summary>When?</summary><p>At nine.</p></details><p>Call us.</p>").blocks
    assert [(block.heading, block.text) for block in blocks[1:]] == [("When?", "At nine."), ("Clinic", "Call us.")]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("<h3><button>How?</button></h3><p>So.</p>", "How?\nSo."),
        ("<section><header><h2>Terms</h2></header><p>3.1%</p></section>", "Terms\n3.1%"),
        ("<p>A.</p><aside class=note>Not insured</aside>", "A.\n\nNot insured"),
        ("<p>A.</p><aside>Deposits above 500000 yuan are not insured.</aside>", "not insured."),
        ("<blockquote>Safe.<footer>Central Bank</footer></blockquote>", "Safe.\n\nCentral Bank"),
        ("<header><h1>Leave</h1><p>For all.</p></header><p>15 days.</p>", "Leave\nFor all.\n\n15 days."),
        ("<p>15 days.</p><footer>Exceptions need approval by HR.</footer>", "Exceptions need approval by HR."),
        ('<p>A.</p><aside epub:type="footnote">1 See below</aside>', "1 See below"),
        ('<p>A.</p><div hidden="until-found">At nine.</div>', "At nine."),
        ('<p>A.</p><div class="collapse" style="display:none">Main street 5.</div>', "Main street 5."),
        ("<nav><a href=/>Home</a><main><h1>Title</h1><p>The text.</p></main>", "Title\nThe text."),
    ],
)
def test_what_people_read_is_kept(body: str, text: str) -> None:
    """Titles, notes, sources and answers are text, whatever tag they stand in."""
    assert text in said(body)


@pytest.mark.parametrize(
    "furniture",
    [
        "<header><a href=/><h1>The Bank</h1></a><nav><a href=/a>Loans</a></nav></header>",
        "<nav><a href=/a>Loans</a> <a href=/b>Deposits</a></nav>",
        "<footer>© 2026 The Bank. All rights reserved. <a href=/i>Imprint</a></footer>",
        "<footer>版权所有 2026 某某银行股份有限公司。</footer>",
        "<aside><h4>More</h4><a href=/a>Why rates fall, and what that means for you.</a></aside>",
        "<h2>Fees<button>Copy</button></h2>",
        "<p hidden>Nothing</p>",
    ],
)
def test_furniture_is_left_out(furniture: str) -> None:
    """Menus, logos, owners, links and tools of the page are no text."""
    left = said(f"{furniture}<main><p>The text.</p></main>").removeprefix("Fees\n")
    assert left == "The text."


def test_sentences_that_are_left_out_are_noted() -> None:
    """Whoever reads the report can look for them."""
    assert read("<p>A.</p>").notes == ()
    assert "left out" in read('<p>A.</p><p style="display:none">The old rate was three percent.</p>').notes[0]
