"""Archives and mail: what is within them, member by member, and what is refused."""

from __future__ import annotations

import bz2
import email.message
import email.policy
import gzip
import io
import lzma
import mailbox
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feilun.curation import documents, ingest
from feilun.curation.documents import Skip, Unreadable
from feilun.curation.readers.archives import HARMLESS, members, whole_budget
from feilun.curation.readers.confined import Budget, Member
from feilun.curation.scan import parse
from feilun.errors import BadRequest, NotFound
from feilun.provenance import permit
from feilun.records import Source
from feilun.store import Database, open_database, sources, workspaces

WS = "harbour"


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """Give an empty store with one workspace."""
    database = open_database(tmp_path / "home")
    workspaces.ensure(database, WS)
    yield database
    database.close()


def zipped(files: dict[str, bytes]) -> bytes:
    """Return a ZIP of some files."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


def tarred(infos: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """Return a TAR of some members as they are."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for info, data in infos:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    """Return the header of a member of a TAR."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mtime = kind, target, 1_700_000_000
    return info


def told(name: str, data: bytes, budget: Budget | None = None) -> dict[str, bytes | str]:
    """Return name -> bytes of what is read, or the reason for which it is not."""
    found: dict[str, bytes | str] = {}
    for each in members(name, data, budget or whole_budget()):
        found[each.name] = each.data if isinstance(each, Member) else each.reason
    return found


def reason(name: str, data: bytes) -> str:
    """Return the reason for which a whole archive is refused."""
    with pytest.raises(Unreadable) as caught:
        list(members(name, data, whole_budget()))
    return caught.value.reason


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("../up.txt", "outside"),
        ("a/../../up.txt", "outside"),
        ("/etc/passwd.txt", "outside"),
        ("C:\\windows\\x.txt", "outside"),
        ("..\\up.txt", "outside"),
        ("\\\\host\\share.txt", "outside"),
        ("a\x01b.txt", "outside"),
        ("long/" + "x" * 2_000, "outside"),
        ("__MACOSX/x.txt", "hidden"),
        ("a/.git/config.txt", "hidden"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(name: str, refused: str) -> None:
    """A hostile name costs that member only, in ZIP and TAR."""
    for kind, data in (
        ("a.zip", zipped({name: b"bad", "good.txt": b"good"})),
        ("a.tar", tarred([(entry(name), b"bad"), (entry("good.txt"), b"good")])),
    ):
        found = told(kind, data)
        assert found.pop("good.txt") == b"good"
        assert list(found.values()) == [refused]


def test_members_of_other_kinds_are_refused_one_by_one() -> None:
    """Links, devices, doubled names, passwords and empty files are named; the rest is read."""
    link = zipfile.ZipInfo("link.txt")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("a.txt", "one")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.txt", "two")
        archive.writestr("empty.txt", "")
        archive.writestr("sub\\inner.txt", "windows")
    found = list(members("a.zip", stream.getvalue(), whole_budget()))
    assert [(each.name, each.data if isinstance(each, Member) else each.reason) for each in found] == [
        ("link.txt", "link"),
        ("a.txt", b"one"),
        ("a.txt", "same_name"),
        ("empty.txt", "empty"),
        ("sub/inner.txt", b"windows"),
    ]
    infos = [(entry("s", tarfile.SYMTYPE, "/etc/passwd"), b""), (entry("h", tarfile.LNKTYPE, "a.txt"), b"")]
    infos += [(entry("d", tarfile.CHRTYPE), b""), (entry("f", tarfile.FIFOTYPE), b""), (entry("a.txt"), b"one")]
    assert told("a.tar", tarred(infos)) == {
        "s": "link",
        "h": "link",
        "d": "not_a_file",
        "f": "not_a_file",
        "a.txt": b"one",
    }


def test_encrypted_and_damaged_members_are_refused_one_by_one() -> None:
    """A member with a password or with a wrong sum is named; the others are read."""
    data = bytearray(zipped({"locked.txt": b"secret words", "broken.txt": b"words" * 99, "good.txt": b"good"}))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1
    assert told("a.zip", bytes(data)) == {"locked.txt": "encrypted", "broken.txt": b"words" * 99, "good.txt": b"good"}
    broken = bytearray(zipped({"broken.txt": b"words" * 99, "good.txt": b"good"}))
    start = broken.index(b"broken.txt") + len("broken.txt")
    broken[start : start + 4] = b"\xff\xff\xff\xff"
    assert told("a.zip", bytes(broken)) == {"broken.txt": "damaged", "good.txt": b"good"}


def test_broken_archives() -> None:
    """An archive that cannot be opened is refused by its reason; one that breaks off gives what stands before."""
    whole = zipped({"a.txt": b"x" * 1000})
    assert reason("a.zip", whole[: len(whole) // 2]) == "damaged"
    assert reason("a.zip", b"no archive") == "wrong_name"
    assert reason("a.tar", b"no archive" * 100) == "wrong_name"
    assert reason("a.tar.gz", gzip.compress(b"no archive" * 100)) == "damaged"
    two = tarred([(entry("a.txt"), b"one"), (entry("b.txt"), b"x" * 100_000)])
    for packed, kind in (
        (gzip.compress(two), ".tar.gz"),
        (bz2.compress(two), ".tar.bz2"),
        (lzma.compress(two), ".txz"),
    ):
        assert told(f"a{kind}", packed) == {"a.txt": b"one", "b.txt": b"x" * 100_000}
    assert told("a.tar", two[:50_000]) == {"a.txt": b"one", "b.txt": "damaged", "…": "damaged"}
    assert told("rows.jsonl.gz", gzip.compress(b'{"text": "hello"}')) == {"rows.jsonl": b'{"text": "hello"}'}


@given(
    st.binary(max_size=200),
    st.integers(0, 400),
    st.sampled_from(["a.zip", "a.tar.gz", "a.tar", "a.eml", "a.mbox", "a.msg"]),
)
@settings(max_examples=300, deadline=None)
def test_no_bytes_raise_anything_else(noise: bytes, at: int, name: str) -> None:
    """Archives and mail with random damage are read or refused."""
    base = {"a.zip": zipped({"a.txt": b"hello" * 20}), "a.tar": tarred([(entry("a.txt"), b"hello" * 20)])}.get(name)
    base = base or (
        gzip.compress(tarred([(entry("a.txt"), b"hello")])) if name == "a.tar.gz" else b"From: a\n\nbody" * 20
    )
    data = base[:at] + noise + base[at + len(noise) :]
    try:
        for each in members(name, data, whole_budget()):
            assert isinstance(each, Member | Skip)
    except Unreadable:
        pass


def test_bombs_are_refused() -> None:
    """What unpacks too far (one file, all together, too many) is refused while it is unpacked; the rest is read."""
    found = told("a.zip", zipped({"bomb.txt": b"\0" * (HARMLESS + 1), "good.txt": b"good"}))
    assert found == {"bomb.txt": "zip_bomb", "good.txt": b"good"}
    bomb = tarred([(entry("good.txt"), b"good"), (entry("bomb.txt"), b"\0" * (HARMLESS + (20 << 20)))])
    assert told("a.tar.gz", gzip.compress(bomb))["good.txt"] == b"good"
    assert told("a.tar.gz", gzip.compress(bomb))["bomb.txt"] == "zip_bomb"
    assert told("a.gz", gzip.compress(b"\0" * (HARMLESS + 1))) == {"a": "zip_bomb"}
    many = {f"{number}.txt": b"words" for number in range(5)}
    assert list(told("a.zip", zipped(many), Budget(1 << 20, 3, 2)).values()) == [b"words"] * 3 + ["too_many"] * 2
    assert list(told("a.zip", zipped(many), Budget(11, 9, 2)).values())[-1] == "zip_bomb"


def test_a_lying_size_does_not_help() -> None:
    """A ZIP whose headers say that a bomb is small does not get further than they say."""
    body = zlib.compress(b"\0" * (8 << 20))[2:-4]
    data = bytearray(zipped({"a.txt": b"x"}))
    plain = zipped({"a.txt": b"x"})
    assert plain.count(b"a.txt") == 2
    local, central = data.index(b"PK\x03\x04"), data.index(b"PK\x01\x02")
    header = data[local : local + 35]
    struct.pack_into("<I", header, 18, len(body))
    moved = bytearray(data[central:])
    struct.pack_into("<I", moved, 20, len(body))
    end = moved.index(b"PK\x05\x06")
    struct.pack_into("<I", moved, end + 16, len(header) + len(body))
    assert told("a.zip", bytes(header) + body + bytes(moved)) == {"a.txt": "damaged"}


def test_names_of_chinese_windows() -> None:
    """Names in GBK without a mark are read as what they are."""
    name = "章程/会员须知与服务说明.txt"
    info = zipfile.ZipInfo("x" * len(name.encode("gbk")))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(info, "words")
    data = stream.getvalue().replace(info.filename.encode(), name.encode("gbk"))
    assert told("a.zip", data) == {name: b"words"}


def test_archives_become_sources_of_their_own(db: Database, tmp_path: Path) -> None:
    """Files within are named by their way in; rules of the folder reach them; archives in archives to depth two."""
    folder = tmp_path / "org"
    folder.mkdir()
    inner = zipped({"deep/c.md": b"# C\nThe third text stands here.", "more.zip": zipped({"d.txt": b"too deep"})})
    outer = {
        "a.txt": b"The first text stands here.",
        "staff/b.txt": b"The second text stands here.",
        "inner.zip": inner,
    }
    outer["pic.xyz"] = b"?"
    (folder / "all.zip").write_bytes(zipped(outer))
    (folder / "feilun.permissions.yaml").write_text('"all.zip/staff/": {train: no}\n"all.zip/no.txt": {train: no}\n')
    for _ in range(2):
        report = ingest(db, WS, [folder])
    assert {each.name: each.reason for each in report.skipped} == {
        "all.zip/inner.zip/more.zip": "too_deep",
        "all.zip/pic.xyz": "unsupported",
    }
    assert report.notes == ["The permission rule 'all.zip/no.txt' fits no file; check its spelling."]
    assert len(report.unchanged) == 3
    assert [each.name for each in documents(db, WS, "train")] == ["all.zip/a.txt", "all.zip/inner.zip/deep/c.md"]
    assert len(documents(db, WS, "retrieve")) == 3


def test_rules_within_an_archive_only_forbid(db: Database, tmp_path: Path) -> None:
    """A permissions file in an archive can take, never give; a broken one costs the archive; uploads obey it too."""
    folder = tmp_path / "org"
    folder.mkdir()
    rules = b'"b.txt": {train: no}\n"a.txt": {leave: yes, train: yes}\n'
    data = zipped({"a.txt": b"The first text.", "b.txt": b"The second text.", "Feilun.Permissions.yaml": rules})
    (folder / "open.zip").write_bytes(data)
    (folder / "shut.zip").write_bytes(data + b" ")
    (folder / "bad.zip").write_bytes(
        zipped({"a.txt": b"Another text.", "feilun.permissions.yaml": b"a.txt: {trian: no}"})
    )
    (folder / "feilun.permissions.yaml").write_text("shut.zip: {train: no}\nopen.zip: {train: yes}")
    report = ingest(db, WS, [folder])
    assert [(each.name, each.reason) for each in report.skipped] == [("bad.zip", "bad_rules")]
    sources.add(db, Source("file-1", WS, "up.zip", "", 0, "upload"), data)
    by_name = {source.name: source.permissions for source in sources.find(db, WS, "file")}
    assert {name: each.train for name, each in by_name.items()} == {
        "open.zip/a.txt": False,  # a copy of its bytes in shut.zip must not be trained on
        "open.zip/b.txt": False,
        "shut.zip/a.txt": False,
        "shut.zip/b.txt": False,
    }
    assert not any(each.leave for each in by_name.values())
    uploaded = {
        each.name: each.problem.reason if each.problem else "" for each in documents(db, WS, "train", ["upload"])
    }
    assert uploaded == {"up.zip/a.txt": "", "up.zip/b.txt": "forbidden"}


def mail(subject: str, body: str, charset: str = "utf-8") -> email.message.EmailMessage:
    """Return a message."""
    message = email.message.EmailMessage(policy=email.policy.SMTP)
    message["From"], message["To"] = "Ann <ann@example.org>", "desk@example.org"
    message["Subject"], message["Date"] = subject, "Tue, 14 Nov 2023 09:40:00 +0800"
    message.set_content(body, charset=charset)
    return message


def test_mail_with_attachments(db: Database, tmp_path: Path) -> None:
    """A message gives its headers and its body, each attachment is a file of its own, also one within a message."""
    inner = mail("Inner", "The inner message says this.")
    inner.add_attachment(b"question,answer\nFee?,Five.\n", maintype="text", subtype="csv", filename="费用.csv")
    message = mail("会费通知", "年费是五元。\n请按时缴纳。", "gb18030")
    message.add_attachment(inner)
    message.add_attachment(b"%PDF-broken", maintype="application", subtype="pdf", filename="../../up.pdf")
    (tmp_path / "org").mkdir()
    (tmp_path / "org" / "a.eml").write_bytes(message.as_bytes())
    report = ingest(db, WS, [tmp_path / "org"])
    found = {document.name: document for document in documents(db, WS, "train")}
    assert sorted(found) == ["a.eml", "a.eml/Inner.eml", "a.eml/Inner.eml/费用.csv"]
    assert [each.name for each in report.skipped] == ["a.eml/_.._up.pdf"]
    headers, body = found["a.eml"].blocks
    assert "Subject: 会费通知" in headers.text
    assert "Ann <ann@example.org>" in headers.text
    assert (body.heading, body.text.strip(), body.day) == ("会费通知", "年费是五元。\n请按时缴纳。", "2023-11-14")
    assert found["a.eml/Inner.eml/费用.csv"].blocks[0].rows[1] == ("Fee?", "Five.")


def test_what_is_said_of_a_container_holds_for_all_out_of_it(db: Database, tmp_path: Path) -> None:
    """Messages, archives and folders are revoked with what is in them, and with what a later content of them holds."""
    letter = email.message.EmailMessage(policy=email.policy.SMTP)
    letter["Subject"] = "Tariff"
    letter.set_content("The tariff of the harbour is attached.")
    letter.add_attachment(b"berth,fee\nnorth,40\n", maintype="text", subtype="csv", filename="fees.csv")
    inside = {"one.txt": b"The north quay closes at nine.", "deep/two.txt": b"The south quay closes at ten."}
    folder = tmp_path / "files"
    (folder / "old").mkdir(parents=True)
    (folder / "m.eml").write_bytes(letter.as_bytes())
    (folder / "old" / "quays.zip").write_bytes(zipped(inside))
    (folder / "old.txt").write_text("The old harbour has two quays.", encoding="utf-8")
    ingest(db, WS, [folder])

    def open_ones() -> set[str]:
        return {source.name for source in sources.permitted(db, WS, "train")}

    everything = open_ones()
    assert len(everything) == 5
    revoked = {source.name for source in permit(db, WS, "m.eml", {"train": False})}
    assert revoked == everything - open_ones() == {"m.eml", "m.eml/fees.csv"}
    permit(db, WS, "old/quays.zip", {"train": False})
    assert open_ones() == {"old.txt"}
    (folder / "old" / "quays.zip").write_bytes(zipped({**inside, "three.txt": b"The east quay never closes."}))
    letter.add_attachment(b"berth,fee\nsouth,50\n", maintype="text", subtype="csv", filename="more.csv")
    (folder / "m.eml").write_bytes(letter.as_bytes())
    assert len(ingest(db, WS, [folder]).added) == 3
    assert open_ones() == {"old.txt"}
    for name in ("quays.zip", str(folder / "old"), "old/", "files/old/quays.zip"):
        assert {one.name for one in permit(db, WS, name, {"train": True})} == {
            f"old/quays.zip/{inner}" for inner in (*inside, "three.txt")
        }
    sources.grant(db, WS, next(s.id for s in sources.find(db, WS) if s.name.endswith("one.txt")), {"train": False})
    (folder / "old" / "quays.zip").write_bytes(zipped({**inside, "four.txt": b"The west quay is closed."}))
    ingest(db, WS, [folder])
    assert "old/quays.zip/four.txt" in open_ones()
    for wrong in ("quays", "ld/quays.zip", "", "/"):
        with pytest.raises(NotFound, match="no source"):
            permit(db, WS, wrong, {"train": False})


def test_containers_of_one_name_are_told_apart(db: Database, tmp_path: Path) -> None:
    """Two archives of one name are not revoked both by it; the error names them."""
    for place in ("a", "b"):
        (tmp_path / "files" / place).mkdir(parents=True)
        (tmp_path / "files" / place / "x.zip").write_bytes(zipped({"t.txt": f"The quay {place} closes.".encode()}))
    ingest(db, WS, [tmp_path / "files"])
    with pytest.raises(BadRequest, match="2 places"):
        permit(db, WS, "x.zip", {"train": False})
    assert [one.name for one in permit(db, WS, "a/x.zip", {"train": False})] == ["a/x.zip/t.txt"]


def test_mail_that_lies_about_itself() -> None:
    """Bare Chinese bytes in headers, wrong character sets and missing plain text are read as people see them."""
    raw = b"From: a@example.org\nSubject: " + "关于营业时间的通知，请各位会员注意".encode("gb18030")
    raw += b"\nContent-Type: text/html; charset=nonsense\n\n<table><tr><td>x</td><td>"
    raw += "营业时间是每天上午九点到下午五点，我们在这里等您。".encode("gb18030") + b"</td></tr></table>"
    blocks = parse("a.eml", raw).blocks
    assert "关于营业时间的通知" in blocks[0].text
    assert blocks[1].rows[0][1].startswith("营业时间是")
    with pytest.raises(Unreadable):
        parse("a.eml", b"just some words\n\nno headers at all")


def test_mailboxes(tmp_path: Path) -> None:
    """Each message of a mailbox is a file of its own, lines that look like separators stay in their message."""
    box = mailbox.mbox(tmp_path / "a.mbox")
    for number in range(3):
        box.add(mail(f"Number {number}", "Dear all,\n\nFrom here on it is easy in 2024\nsaid message."))
    box.close()
    found = list(members("a.mbox", (tmp_path / "a.mbox").read_bytes(), whole_budget()))
    assert [(each.name, each.modified) for each in found if isinstance(each, Member)] == [
        (f"{number:06}.eml", "2023-11-14") for number in (1, 2, 3)
    ]
    assert "From here on it is easy in 2024" in parse("000002.eml", found[1].data).blocks[1].text
    assert reason("b.mbox", b"no mailbox") == "wrong_name"


def test_broken_outlook_messages_are_refused() -> None:
    """Bytes that are no Outlook message, or half of one, are refused."""
    for data, why in ((b"no message", "wrong_name"), (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 2000, "damaged")):
        with pytest.raises(Unreadable) as caught:
            parse("a.msg", data)
        assert caught.value.reason == why
