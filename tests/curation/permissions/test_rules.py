"""Which rule decides, which mistakes are named: whatever is restricted stays so where rules are in doubt."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from feilun.curation.readers.archives import members, whole_budget
from feilun.curation.readers.confined import Member
from feilun.curation.rules import Rule, permissions_of, read_rules
from feilun.curation.scan import scan
from feilun.errors import BadSource


def trains(
    *rules: tuple[str, bool], name: str = "staff/secret-pay.md", inner: tuple[tuple[str, bool], ...] = ()
) -> bool:
    """Tell whether rules of the folder, and ``inner`` ones of its folder ``staff``, permit a file; in either order."""
    here = [Rule(Path("/data"), pattern, {"train": train}) for pattern, train in rules]
    here += [Rule(Path("/data/staff"), pattern, {"train": train}) for pattern, train in inner]
    found = {permissions_of(Path("/data") / name, each).train for each in (here, here[::-1])}
    assert len(found) == 1
    return found.pop()


@pytest.mark.parametrize(
    ("first", "second", "inner"),
    [
        (("staff/", True), ("staff/secret-*.md", False), ()),
        (("staff/*", True), ("staff/secret-pay.md", False), ()),
        (("staff/", True), ("secret-*.md", False), ()),
        (("staff/", False), ("*.md", True), ()),
        (("**/secret-*.md", False), ("staff/", True), ()),
        (("staff/*.md", True), ("st*ff/*.md", True), (("secret-pay.md", False),)),
        (("staff/*a*", True), ("staff/*y*", False), ()),
        (("staff/", True), ("staff/secret-pay.md", False), (("**", True),)),
        (("staff/", True), ("staff/secret-*", False), (("*", True),)),
        (("**", True), ("staff/secret-pay.md", True), (("**", False),)),
    ],
)
def test_a_restriction_holds(
    first: tuple[str, bool], second: tuple[str, bool], inner: tuple[tuple[str, bool], ...]
) -> None:
    """Where it is the more specific one, and where neither is."""
    assert not trains(first, second, inner=inner)


def test_the_more_specific_rule_permits_too() -> None:
    """Within a folder, by name, and by rules further inside."""
    assert trains(("staff/", False), ("staff/secret-*.md", True))
    assert trains(("st*/", True), ("**", False))
    assert trains(("staff/*.md", False), ("staff/secret-pay.md", True))
    assert trains(("staff/", False), inner=(("**", True),))


@pytest.mark.parametrize("name", ["a\nb.md", "a\nb/c.md", "a/b\n.md"])
def test_a_name_with_a_new_line_is_a_name(tmp_path: Path, name: str) -> None:
    """Rules fit such files as any other."""
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("text")
    (tmp_path / "feilun.permissions.yaml").write_text('"**": {train: no}\n"a*": {retrieve: no}\n')
    ((found,), _, notes) = scan([tmp_path])
    assert not found.permissions.train
    assert not found.permissions.retrieve
    assert notes == []


@pytest.mark.parametrize("key", ["train", "retrieve", "leave", "mask", "until", "basis", "encrypt"])
@pytest.mark.parametrize("value", ["[pseudonymise]", "{a: b}", "5", "1.5", "null", "[yes]", "''"])
def test_a_value_of_a_wrong_kind_is_named(tmp_path: Path, key: str, value: str) -> None:
    """With its file and rule."""
    path = tmp_path / "feilun.permissions.yaml"
    path.write_text(f'"staff/*": {{{key}: {value}}}')
    with pytest.raises(BadSource, match=rf"permissions\.yaml: staff/\*: {key} must be"):
        read_rules(path)


@pytest.mark.parametrize("key", ["no", "yes", "on", "010", "~", "2027-01-01", "1.5"])
def test_a_name_that_yaml_takes_for_something_else_is_named(tmp_path: Path, key: str) -> None:
    """A folder named so would be left without its restriction."""
    path = tmp_path / "feilun.permissions.yaml"
    path.write_text(f"{key}: {{train: no}}")
    with pytest.raises(BadSource, match="in quotes"):
        read_rules(path)
    path.write_text(f'"{key}": {{train: no}}')
    assert not permissions_of(tmp_path / key / "a.md", read_rules(path)).train


@pytest.mark.parametrize("name", ["Feilun.Permissions.yaml", "FEILUN.PERMISSIONS.YML"])
def test_rules_are_read_by_whatever_case(tmp_path: Path, name: str) -> None:
    """Of a folder around what is imported, and within archives, where they come first."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.md").write_text("text")
    (tmp_path / name).write_text('"**": {train: no}')
    assert [each.permissions.train for each in scan([tmp_path / "in"])[0]] == [False]
    for kind in ("zip", "tar"):
        packed = io.BytesIO()
        if kind == "zip":
            with zipfile.ZipFile(packed, "w") as archive:
                archive.writestr("a.md", "text"), archive.writestr(f"in/{name}", "x")
        else:
            with tarfile.open(fileobj=packed, mode="w") as tar:
                tar.add(tmp_path / "in" / "a.md", "a.md"), tar.add(tmp_path / name, f"in/{name}")
        found = list(members(f"a.{kind}", packed.getvalue(), whole_budget()))
        assert [each.name for each in found if isinstance(each, Member)] == [f"in/{name}", "a.md"]
