"""Mail: which of its parts are read."""

from __future__ import annotations

from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

import pytest

from feilun.curation import Document, parse

NOTICE = "Managers tell every customer in writing. "
PAGE = f"<h1>Rates</h1><p>The mortgage rate falls to 3.05%.</p><p>{5 * NOTICE}</p>"


def letter(*parts: tuple[str, str], kind: str = "mixed") -> Document:
    """Return a message of some parts, as it is read."""
    message = MIMEMultipart(kind, _subparts=[MIMEText(text, subtype) for subtype, text in parts])
    message["Subject"] = "News"
    return parse("a.eml", message.as_bytes())


def said(document: Document) -> list[str]:
    """Return the texts of its body."""
    return [block.text.strip() for block in document.blocks if block.place != "headers"]


def test_the_parts_of_a_message_add_up() -> None:
    """All parts of multipart/mixed are read, in order."""
    footer = said(letter(("html", PAGE), ("plain", "staff mailing list")))
    assert "3.05%" in footer[0]
    assert footer[-1] == "staff mailing list"
    assert said(letter(("plain", "First."), ("plain", "Second."))) == ["First.\n\nSecond."]


def test_an_invitation_takes_the_place_of_no_text() -> None:
    """A calendar beside HTML is left out, and noted."""
    document = letter(("html", PAGE), ("calendar", "BEGIN:VCALENDAR"))
    assert [text for text in said(document) if "3.05%" in text] == said(document)
    assert document.notes == ("a part of the type text/calendar was left out",)


@pytest.mark.parametrize(
    "plain",
    ["您的邮件客户端不支持HTML，请在浏览器中查看。", "To view this message, use a client that shows HTML.", "News"],
)
def test_of_two_ways_to_say_it_the_one_that_says_it_is_read(plain: str) -> None:
    """The HTML is read where the plain text is a notice or a title."""
    assert "3.05%" in said(letter(("plain", plain), ("html", PAGE), kind="alternative"))[0]


def test_a_plain_text_is_read_where_it_says_the_same() -> None:
    """A plain text that is whole is read."""
    plain = f"The mortgage rate falls to 3.05%. {5 * NOTICE}"
    assert said(letter(("plain", plain), ("html", PAGE), kind="alternative")) == [plain.strip()]
