"""Rules: what ``clean`` applies to the columns of a batch.

A rule is a frozen value that knows no engine, made by a function; rules compose in a list, from left to right:

    {"full_name": rules.squash_spaces(), "email": [rules.trim(), rules.email()], "phone": rules.phone("US")}

Every rule lets NULL pass, but for ``not_null``. A value that a rule cannot make sense of is refused with a reason, and its row goes to
the rejects; nothing is guessed, cut off or dropped. No reason and no error message ever holds a value.
"""

from lakekit.rules.addresses import address_key
from lakekit.rules.base import (
    BesideRule,
    InputType,
    Result,
    Rule,
    VectorRule,
    beside_column,
    chain_input_type,
    chain_output_type,
    check_chain,
    check_rules,
    copy_of,
    source_column,
)
from lakekit.rules.births import birth_date
from lakekit.rules.checks import matches, not_null, one_of
from lakekit.rules.codes import country, currency
from lakekit.rules.emails import email
from lakekit.rules.function import ChainFunction, Refused, apply_chain
from lakekit.rules.identifiers import url, uuid
from lakekit.rules.json_text import json
from lakekit.rules.mailboxes import email_key
from lakekit.rules.native import NativeChain, native_chain, plain_chain
from lakekit.rules.numbers import decimal, integer
from lakekit.rules.people import name_key, person_name
from lakekit.rules.phones import phone, phone_type
from lakekit.rules.temporal import date, timestamp
from lakekit.rules.text import empty_to_null, lower, squash_spaces, trim, upper
from lakekit.rules.unicode import fix_mojibake, normalize
from lakekit.rules.values import boolean, map_values

__all__ = [
    "BesideRule",
    "ChainFunction",
    "InputType",
    "NativeChain",
    "Refused",
    "Result",
    "Rule",
    "VectorRule",
    "address_key",
    "apply_chain",
    "beside_column",
    "birth_date",
    "boolean",
    "chain_input_type",
    "chain_output_type",
    "check_chain",
    "check_rules",
    "copy_of",
    "country",
    "currency",
    "date",
    "decimal",
    "email",
    "email_key",
    "empty_to_null",
    "fix_mojibake",
    "integer",
    "json",
    "lower",
    "map_values",
    "matches",
    "name_key",
    "native_chain",
    "normalize",
    "not_null",
    "one_of",
    "person_name",
    "phone",
    "phone_type",
    "plain_chain",
    "source_column",
    "squash_spaces",
    "timestamp",
    "trim",
    "upper",
    "url",
    "uuid",
]
