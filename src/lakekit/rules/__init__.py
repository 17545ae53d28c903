"""Rules: what ``clean`` applies to the columns of a batch.

A rule is a frozen value that knows no engine, made by a function; rules compose in a list, from left to right:

    {"full_name": rules.squash_spaces(), "email": [rules.trim(), rules.email()], "phone": rules.phone("US")}

Every rule lets NULL pass, but for ``not_null``. A value that a rule cannot make sense of is refused with a reason, and its row goes to
the rejects; nothing is guessed, cut off or dropped. No reason and no error message ever holds a value.
"""

from lakekit.rules.base import InputType, Result, Rule, chain_input_type, chain_output_type, check_chain, check_rules
from lakekit.rules.checks import matches, not_null, one_of
from lakekit.rules.emails import email
from lakekit.rules.function import ChainFunction, Refused, apply_chain
from lakekit.rules.native import NativeChain, native_chain
from lakekit.rules.numbers import decimal, integer
from lakekit.rules.phones import phone
from lakekit.rules.temporal import date, timestamp
from lakekit.rules.text import empty_to_null, lower, squash_spaces, trim, upper

__all__ = [
    "ChainFunction",
    "InputType",
    "NativeChain",
    "Refused",
    "Result",
    "Rule",
    "apply_chain",
    "chain_input_type",
    "chain_output_type",
    "check_chain",
    "check_rules",
    "date",
    "decimal",
    "email",
    "empty_to_null",
    "integer",
    "lower",
    "matches",
    "native_chain",
    "not_null",
    "one_of",
    "phone",
    "squash_spaces",
    "timestamp",
    "trim",
    "upper",
]
