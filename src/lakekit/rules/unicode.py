"""Rules for the encoding of text: Unicode's normal forms, and text that was decoded wrongly."""

from __future__ import annotations

import unicodedata
from typing import Any, ClassVar, Final, Literal

import attrs

from lakekit.errors import ConfigError
from lakekit.rules.base import Result, TextRule
from lakekit.rules.extras import needs

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]

_MOST_REPAIRS: Final = 8


@attrs.frozen
class Normalize(TextRule):
    """The rule that ``normalize()`` makes."""

    form: Form

    # Not as SQL: Java's and Python's tables are of different versions of Unicode.
    name: ClassVar[str] = "normalize"

    @property
    def plain(self) -> Literal["ascii", "latin"]:
        """Latin letters are composed ones."""
        return "latin" if self.form == "NFC" else "ascii"

    def scalar(self, value: str | None, /) -> Result:
        """The text in its normal form."""
        return Result(value if value is None or value.isascii() else unicodedata.normalize(self.form, value))

    def over_plain(self, texts: Any, /) -> Any:
        """Themselves: they are in their normal form."""
        return texts

    def plain_sql(self, column: str, /) -> str:
        """The text itself."""
        return column


@attrs.frozen
class FixMojibake(TextRule):
    """The rule that ``fix_mojibake()`` makes."""

    name: ClassVar[str] = "fix_mojibake"
    plain: ClassVar[Literal["ascii", "latin"]] = "ascii"

    def scalar(self, value: str | None, /) -> Result:
        """The text as it was before it was decoded wrongly."""
        from ftfy import fix_encoding
        from ftfy.badness import is_bad

        text = value
        for _ in range(_MOST_REPAIRS):
            if text is None or text.isascii() or not is_bad(text):
                return Result(text)
            before, text = text, fix_encoding(text)
            if text == before:
                return Result(text)
        return Result(value)  # one that changes for ever was no text to begin with

    def over_plain(self, texts: Any, /) -> Any:
        """Themselves: nothing in ASCII was decoded wrongly."""
        return texts

    def plain_sql(self, column: str, /) -> str:
        """The text itself."""
        return column


def normalize(form: Form) -> Normalize:
    r"""A text in one of Unicode's normal forms, so that what looks alike is equal. NULL stays NULL.

    Args:
        form: ``"NFC"`` writes é as one character, whichever way it came; nothing visible changes. ``"NFKC"`` also makes plain characters of
            full-width letters, ligatures and the like: for keys and comparisons, since it takes something away (² becomes 2). ``"NFD"``
            and ``"NFKD"`` take accents apart instead.

    Raises:
        ConfigError: another form.

    Source: UAX #15, Unicode Normalization Forms, in the version of Unicode that Python has.

    >>> normalize("NFC").scalar("e\u0301t\u00e9").value == "\u00e9t\u00e9"
    True
    >>> normalize("NFKC").scalar("Ａｄａ ﬁ").value
    'Ada fi'
    """
    if form not in ("NFC", "NFD", "NFKC", "NFKD"):
        raise ConfigError("rules.normalize(form)", "expected one of 'NFC', 'NFD', 'NFKC', 'NFKD'", got=repr(form))
    return Normalize(form)


def fix_mojibake() -> FixMojibake:
    """A text that was written in UTF-8 and read in another encoding, as it was meant: ``schÃ¶n`` is ``schön``. NULL stays NULL.

    Only the encoding is mended, also one that was broken twice, and only where the text is more likely that than anything else; quotes,
    ligatures and white space stay as they are. What can't be told apart stays as it came.

    Raises:
        MissingExtraError: ftfy is not installed: ``pip install 'lakekit[clean]'``.

    Source: ftfy, ``fix_encoding``.

    >>> fix_mojibake().scalar("FranÃ§ois").value, fix_mojibake().scalar("François").value
    ('François', 'François')
    """
    needs("ftfy", place="rules.fix_mojibake()")
    return FixMojibake()
