"""Why a row was rejected, in words: what stands beside the reason's code for whoever reads the rejects."""

from __future__ import annotations

from typing import Final

from lakekit.engines.sql import literal

WORDS: Final = {
    "ambiguous": "may mean more than one thing",
    "check_failed": "does not hold",
    "does_not_fit": "does not fit the table's column, or has none there",
    "empty": "is empty",
    "has_extension": "has an extension",
    "in_the_future": "is in the future",
    "nested_too_deeply": "the message is nested too deeply",
    "no_area_code": "has no area code",
    "no_country_code": "has no country code",
    "no_match": "does not match the pattern",
    "no_schema_id": "the message names no schema",
    "no_scheme": "has no scheme such as https:",
    "no_such_time": "is a time that a clock change leaves out",
    "no_time_zone": "has no time zone, and the rule gives none: write time_zone=",
    "not_a_boolean": "is neither true nor false",
    "not_a_country": "is no country",
    "not_a_currency": "is no currency",
    "not_a_date": "is no date",
    "not_a_name": "is no name",
    "not_a_number": "is no number",
    "not_a_phone_number": "is no phone number",
    "not_a_timestamp": "is no timestamp",
    "not_a_url": "is no URL",
    "not_a_uuid": "is no UUID",
    "not_an_address": "is no address",
    "not_an_array_in_json": "is JSON, but no array",
    "not_an_email": "is no e-mail address",
    "not_an_object": "the message is JSON, but no object",
    "not_an_object_in_json": "is JSON, but no object",
    "not_assigned": "is a phone number that is not assigned",
    "not_avro": "the message is no Avro of its schema",
    "not_found": "stands in no row of the table it refers to",
    "not_in_list": "is none of the values allowed",
    "not_in_map": "is none of the values that are mapped",
    "not_json": "the message is no JSON",
    "not_json_text": "is no JSON",
    "not_unique": "is not unique",
    "not_utf8": "the message is no UTF-8",
    "not_whole": "is no whole number",
    "null": "is NULL",
    "out_of_range": "is out of range",
    "repeated_name": "is JSON that names a member twice",
    "schema_mismatch": "the message was written by a schema that the columns can't be read from",
    "scheme_not_allowed": "has a scheme that is not allowed",
    "too_deep": "is nested too deeply",
    "too_late": "is older than what the table remembers: its place can't be told any more",
    "too_long": "is too long",
    "too_long_ago": "is too long ago",
    "too_many_digits": "has too many digits",
    "too_many_fraction_digits": "has too many digits after the point",
    "too_short": "is too short",
    "unknown_country_code": "has a country code that nobody has",
    "unknown_region": "is in a region that there is not",
    "unknown_schema_id": "the message names a schema that the registry does not know",
    "withdrawn": "is a currency that is no longer used",
}


def in_words(reason: str, subject: str | None) -> str:
    """SQL for a reason in words, from SQL for its code and for what it is about (None: the row).

    A code of somebody's own is given as it is, with spaces. No value of the row stands in it.

    >>> in_words("_reason", None).startswith("CASE _reason WHEN 'ambiguous' THEN 'may mean more than one thing'")
    True
    """
    known = " ".join(f"WHEN {literal(code)} THEN {literal(words)}" for code, words in WORDS.items())
    missing = f"CASE WHEN substring({reason}, 1, 5) = 'null_' THEN concat(substring({reason}, 6), ' is NULL') ELSE replace({reason}, '_', ' ') END"
    words = f"CASE {reason} {known} ELSE {missing} END"
    return words if subject is None else f"concat({subject}, ' ', {words})"
