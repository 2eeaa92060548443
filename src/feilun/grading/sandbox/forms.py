"""Tasks of the sandbox: a regular expression, a JSON schema.

This module knows how they are tried. It does not know what they prove.
"""

from __future__ import annotations

import re
import string

import jsonschema_rs

from feilun.records import JSON


def regex(given: JSON) -> JSON:
    """Return whether a pattern is found in a text, and its first group (or all that matched)."""
    flags = re.RegexFlag(0)
    for letter in given["flags"]:
        flags |= re.RegexFlag[letter.upper()]
    pattern = re.compile(given["pattern"], flags)
    found = pattern.fullmatch(given["text"]) if given["whole"] else pattern.search(given["text"])
    return {"found": found is not None, "group": found[1 if pattern.groups else 0] if found else None}


def schema(given: JSON) -> JSON:
    """Return what in a value a schema does not permit; empty if nothing."""
    try:
        validator = jsonschema_rs.validator_for(given["schema"])
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise ValueError(f"the schema itself is wrong: {str(error).splitlines()[0]}") from error
    first = next(iter(validator.iter_errors(given["value"])), None)
    return {"fault": f"{first.message} (at {'/'.join(map(str, first.instance_path)) or 'the top'})" if first else ""}


def matched(given: JSON) -> JSON:
    """Return whether a text, after filters, is one of the references, as lm-evaluation-harness compares them."""
    text = given["text"]
    for step in given["filters"]:
        text = _filtered(text, step)
    wanted = [_plain(reference, given) for reference in given["references"]]
    return {"found": _plain(text, given) in wanted, "text": text}


def _filtered(text: str, step: JSON) -> str:
    match step["function"]:
        case "remove_whitespace":
            return text.lstrip()
        case "lowercase":
            return text.lower()
        case "uppercase":
            return text.upper()
        case "take_first":
            return text
    fallback = str(step.get("fallback", "[invalid]"))
    found = re.findall(step.get("regex_pattern", r"#### (\-?[0-9\.\,]+)"), text)
    if not found:
        return fallback
    chosen = found[int(step.get("group_select", 0))]
    if isinstance(chosen, tuple):
        chosen = next((part for part in chosen if part), fallback)
    return str(chosen).strip()


def _plain(text: str, how: JSON) -> str:
    for pattern in how["regexes_to_ignore"]:
        text = re.sub(pattern, "", text)
    if how["ignore_case"]:
        text = text.lower()
    if how["ignore_punctuation"]:
        text = text.translate(str.maketrans("", "", string.punctuation))
    return text.translate(str.maketrans("", "", string.digits)) if how["ignore_numbers"] else text
