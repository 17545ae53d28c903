"""The rule for phone numbers: international form, by the numbering plans of the world."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, Final, Literal

import attrs

from lakekit.errors import ConfigError
from lakekit.rules.base import InputType, PythonRule, Result, TextRule
from lakekit.rules.characters import EDGES, INVISIBLE

if TYPE_CHECKING:
    from phonenumbers import PhoneNumber

Ambiguous = Literal["reject", "first"]
Extension = Literal["keep", "drop", "reject"]

_KEEP_SPACES_ONLY: Final = {ord(character): " " if character.isspace() else None for character in INVISIBLE}
_NOT_ISO: Final = {"UK": "GB", "EL": "GR", "SU": "RU", "YU": "RS", "EN": "GB", "USA": "US", "GER": "DE", "DEU": "DE"}


@attrs.frozen
class Phone(TextRule):
    """The rule that ``phone()`` makes."""

    regions: tuple[str, ...]
    ambiguous: Ambiguous
    extension: Extension
    region_from: str | None = None

    name: ClassVar[str] = "phone"

    @property
    def beside(self) -> str | None:
        """The column that holds the region."""
        return self.region_from

    def given(self, other: str | None, /) -> Phone:
        """The rule for the rows of one region: that, instead of those listed. Where the column is blank, those listed."""
        text = (other or "").strip(EDGES).upper()
        return self if not text else attrs.evolve(self, regions=(_NOT_ISO.get(text, text),), region_from=None)

    def scalar(self, value: str | None, /) -> Result:
        """The number in international form, or a refusal."""
        if value is None:
            return Result(None)
        text = value if value.isascii() and value.isprintable() else value.translate(_KEEP_SPACES_ONLY)
        if not text or text.isspace():
            return Result(None, "empty")
        if text[0] in "+\uff0b" or not self.regions:
            number, reason = self._international(text)
        else:
            number, reason = self._national(text)
        if reason:
            return Result(None, reason)
        if self.extension == "keep" or ";" not in number:
            return Result(number)
        return Result(None, "has_extension") if self.extension == "reject" else Result(number.partition(";")[0])

    def _international(self, text: str) -> tuple[str, str]:
        """A number that names its country: no region can change what it means."""
        text = text.strip()
        if text.startswith("00"):
            return _read(f"+{text[2:]}", None)
        number, reason = _read(text, None)
        lacking = reason == "unknown_country_code" and "+" not in text and "\uff0b" not in text
        return number, "no_country_code" if lacking else reason

    def _national(self, text: str) -> tuple[str, str]:
        """A number as it is dialled in one of the regions, or with the international prefix 00."""
        import phonenumbers

        found: list[str] = []
        reasons: list[str] = []
        for region in self.regions:
            if region not in phonenumbers.SUPPORTED_REGIONS:  # from another column: those listed were checked
                reasons.append("unknown_region")
                continue
            number, reason = _read(text, region)
            if reason:
                reasons.append(reason)
            elif number not in found:
                found.append(number)
                if self.ambiguous == "first":
                    break
        if len(found) > 1:
            return "", "ambiguous"
        if found:
            return found[0], ""
        number, reason = _read(f"+{text.strip()[2:]}", None) if text.strip().startswith("00") else ("", reasons[0])
        return number, reasons[0] if reason else ""


@attrs.frozen
class PhoneType(PythonRule):
    """The rule that ``phone_type()`` makes."""

    phone: Phone

    name: ClassVar[str] = "phone_type"
    input_type: ClassVar[InputType] = "string"
    output_type: ClassVar[str | None] = "string"
    idempotent: ClassVar[bool] = False

    @property
    def beside(self) -> str | None:
        """The column that holds the region."""
        return self.phone.beside

    def given(self, other: str | None, /) -> PhoneType:
        """The rule for the rows of one region."""
        return PhoneType(self.phone.given(other))

    def scalar(self, value: str | None, /) -> Result:
        """The type of line, or the refusal that ``phone()`` gives."""
        import phonenumbers

        number, reason = self.phone.scalar(value)
        if reason is not None or number is None:
            return Result(None, reason)
        parsed = phonenumbers.parse(str(number), None)
        return Result(phonenumbers.PhoneNumberType.to_string(phonenumbers.number_type(parsed)).lower())


def _read(text: str, region: str | None) -> tuple[str, str]:
    """A valid number in international form, or the reason why the text is none."""
    import phonenumbers

    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException as error:
        return "", _PARSE_REASONS.get(error.error_type, "not_a_phone_number")
    if not _is_valid(number):
        return "", _LENGTH_REASONS.get(phonenumbers.is_possible_number_with_reason(number), "not_assigned")
    plain = f"+{number.country_code}{phonenumbers.national_significant_number(number)}"
    return (f"{plain};ext={number.extension}" if number.extension else plain), ""


def _is_valid(number: PhoneNumber) -> bool:
    """The same as ``phonenumbers.is_valid_number``, which tests a number twice where countries share a country code."""
    import phonenumbers

    regions = phonenumbers.region_codes_for_country_code(number.country_code or 0)
    if len(regions) == 1:
        return phonenumbers.is_valid_number_for_region(number, regions[0])
    digits = phonenumbers.national_significant_number(number)
    for region in regions:
        plan = phonenumbers.PhoneMetadata.metadata_for_region(region)
        if plan is None:
            continue
        if plan.leading_digits is None:
            if phonenumbers.is_valid_number_for_region(number, region):
                return True
        elif re.match(plan.leading_digits, digits):
            return phonenumbers.is_valid_number_for_region(number, region)
    return False


# By the numbers of phonenumbers.NumberParseException and phonenumbers.ValidationResult, which are loaded late.
_PARSE_REASONS: Final = {0: "unknown_country_code", 1: "not_a_phone_number", 2: "too_short", 3: "too_short", 4: "too_long"}
_LENGTH_REASONS: Final = {0: "not_assigned", 1: "unknown_country_code", 2: "too_short", 3: "too_long", 4: "no_area_code", 5: "not_assigned"}


def phone(*regions: str, region_from: str | None = None, ambiguous: Ambiguous = "reject", extension: Extension = "keep") -> Phone:
    """A phone number in international form: ``+12125550123``.

    A number that begins with + or with 00 names its country itself. Any other is read as it is dialled in each of the regions; without
    regions it is refused. A number is valid when its length and its first digits are assigned in its country's numbering plan;
    nothing is looked up, so a valid number may not be in use. Letters are read by the keypad (1-800-FLOWERS), digits of any script
    and any punctuation are understood. The plans change: a newer release of phonenumbers may know ranges that an older one refuses.
    NULL stays NULL.

    Args:
        regions: Where a number without country code may have been written down, as two-letter codes of ISO 3166-1: ``"US"``, ``"GB"``.
        region_from: The column that says it for each row, in the same codes; where that is NULL or blank, ``regions`` are tried. It is
            read as it came in: put names of countries through ``country()`` in a ``clean`` before.
        ambiguous: A national number that is valid in several regions, as different international numbers, is refused
            (``"reject"``), or read in the first of them (``"first"``).
        extension: ``"keep"`` appends it as RFC 3966 writes it (``+12125550123;ext=45``): behind one switchboard sit many people;
            ``"drop"`` leaves the bare number; ``"reject"`` refuses it.

    Reasons: ``empty``, ``not_a_phone_number``, ``no_country_code``, ``unknown_country_code``, ``no_area_code``, ``too_short``,
    ``too_long``, ``not_assigned``, ``ambiguous``, ``has_extension``, ``unknown_region`` (in the column of ``region_from``).

    Raises:
        ConfigError: an unknown region, or an unknown choice.

    Source: ITU-T E.164 (the number), RFC 3966 section 5.3 (the extension); numbering plans by Google's libphonenumber.

    >>> phone("US").scalar("(212) 555-0123 ext. 45").value
    '+12125550123;ext=45'
    >>> phone("DE", "AT").scalar("+43 1 58858").value
    '+43158858'
    >>> phone().scalar("212 555 0123").reason
    'no_country_code'
    """
    import phonenumbers

    place = "rules.phone(*regions)"
    known = phonenumbers.SUPPORTED_REGIONS
    for region in regions:
        if not isinstance(region, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(place, "expected region codes", got=f"a value of type {type(region).__name__}")
        if region not in known:
            upper = _NOT_ISO.get(region.upper(), region.upper())
            hint = f"write {upper!r}." if upper in known else "use the two letters of ISO 3166-1, such as 'US' or 'GB'."
            raise ConfigError(place, "expected a region code of ISO 3166-1", got=repr(region), hint=hint)
    for name, choice, choices in (("ambiguous", ambiguous, ("reject", "first")), ("extension", extension, ("keep", "drop", "reject"))):
        if choice not in choices:
            raise ConfigError(f"rules.phone({name}=)", f"expected one of {', '.join(map(repr, choices))}", got=repr(choice))
    if region_from is not None and (not isinstance(region_from, str) or not region_from):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError("rules.phone(region_from=)", "expected the name of a column", got=repr(region_from)[:20])
    return Phone(tuple(dict.fromkeys(regions)), ambiguous, extension, region_from)


def phone_type(*regions: str, region_from: str | None = None, ambiguous: Ambiguous = "reject") -> PhoneType:
    """What kind of line a phone number is, by the numbering plan of its country. NULL stays NULL.

    One of ``mobile``, ``fixed_line``, ``fixed_line_or_mobile`` (the United States don't tell them apart), ``toll_free``, ``premium_rate``,
    ``shared_cost``, ``voip``, ``personal_number``, ``pager``, ``uan``, ``voicemail``, ``unknown``. Put it beside the number:

        {"phone": rules.phone("DE"), "phone_type": [rules.copy_of("phone"), rules.phone_type("DE")]}

    Args:
        regions: As for ``phone()``.
        region_from: As for ``phone()``.
        ambiguous: As for ``phone()``.

    Reasons: those of ``phone()``.

    Raises:
        ConfigError: an unknown region, or an unknown choice.

    Source: numbering plans by Google's libphonenumber.

    >>> phone_type("DE").scalar("0151 23456789").value, phone_type().scalar("+49 30 901820").value
    ('mobile', 'fixed_line')
    """
    return PhoneType(phone(*regions, region_from=region_from, ambiguous=ambiguous, extension="drop"))
