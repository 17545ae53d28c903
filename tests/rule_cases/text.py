"""Hard cases of the rules for text."""

from lakekit import rules
from lakekit.rules.characters import SPACES
from tests.rule_cases import Table, no

ZWJ, ZWNJ, ZWSP, BOM, RLM, LRE, PDF, NBSP = "\u200d", "\u200c", "\u200b", "\ufeff", "\u200f", "\u202a", "\u202c", "\u00a0"
HARD = [
    "Ada", "", "a\x00b", "عدا", "עדה", "👩‍💻", "é", "e\u0301", "ﬁ", "１２", "٤٢", "NULL", "NaN", "1e400", "it's", 'say "hi"', "a\\b", "50%_",
    "\U0010ffff", "\u180e", "\u00ad", "x" * 10_000, "ß", "İ", "$1", "${a}", "a\U000e0001b", "😀", "ẞ", "'; DROP",
]  # fmt: skip

TABLES = [
    Table(rules.trim(), [
        *((text, text) for text in HARD),
        ("  Ada\t\r\n", "Ada"), (f"{NBSP}Ada\u3000", "Ada"), (f"{BOM}Ada{ZWSP}", "Ada"), ("\x00\x00Ada\x00", "Ada"), ("\x85Ada\u2028", "Ada"),
        (f"{LRE}Ada{PDF}", "Ada"), (f" {RLM} עדה {RLM} ", "עדה"), (" a  b ", "a  b"), (f"نمی{ZWNJ}دانم", f"نمی{ZWNJ}دانم"), (SPACES, ""),
    ]),
    Table(rules.squash_spaces(), [
        *((text, text) for text in HARD if "\x00" not in text),
        ("  Ada \t Lovelace\n", "Ada Lovelace"), (f"Ada{NBSP}Lovelace", "Ada Lovelace"), (f"Ada {ZWSP} {BOM} Lovelace", "Ada Lovelace"),
        ("Ada\x00Lovelace", "Ada Lovelace"), ("Ada\u2003\u202f\u205f\u3000Lovelace", "Ada Lovelace"), (f"{RLM} Ada  L {RLM}", "Ada L"),
        (f"Ada {RLM} L", f"Ada {RLM} L"), (SPACES, ""), (" " * 5_000 + "x", "x"),
    ]),
    Table(rules.lower(), [
        *((text, text) for text in HARD if text == text.lower()),
        ("ADA", "ada"), ("ÅSA", "åsa"), ("ΟΔΟΣ", "οδος"), ("ΣΣ Σ", "σς σ"), ("STRASSE", "strasse"), ("ẞ", "ß"), ("İ", "i̇"), ("I", "i"), ("Ǆ", "ǆ"),
        ("Ⅻ", "ⅻ"), ("ＡＢＣ", "ａｂｃ"), ("𐐀", "𐐨"), ("A\x00B", "a\x00b"), ("NaN", "nan"), ("Ω", "ω"), ("ДА", "да"),
    ]),
    Table(rules.upper(), [
        *((text, text) for text in HARD if text == text.upper()),
        ("ada", "ADA"), ("straße", "STRASSE"), ("οδος", "ΟΔΟΣ"), ("ı", "I"), ("ŉ", "ʼN"), ("ﬁ", "FI"), ("ǆ", "Ǆ"), ("å", "Å"), ("ⅻ", "Ⅻ"),
        ("𐐨", "𐐀"), ("a\x00b", "A\x00B"), ("ﬃ", "FFI"), ("да", "ДА"), ("ｱ", "ｱ"),
    ]),
    Table(rules.empty_to_null(also=("N/A", "-", "ÅÄ%_$1")), [
        *((text, text or None) for text in HARD),
        *((text, None) for text in (" ", "\t\n", NBSP, ZWSP, BOM, "\x00", f"{LRE}{PDF}", ZWNJ, f" {ZWJ} ", "\u3000\u2028", SPACES, "N/A", " N/A ", "-", " ÅÄ%_$1")),
        ("n/a", "n/a"), ("--", "--"), (" a ", " a "), ("ㅤ", "ㅤ"), (f"a{ZWNJ}", f"a{ZWNJ}"),
    ]),
    Table(rules.normalize("NFC"), [
        *((text, text) for text in HARD if text != "e\u0301"),
        ("e\u0301", "é"), ("A\u030a", "Å"), ("\u212b", "Å"), ("\u1112\u1161\u11ab", "한"), ("e\u0302\u0301", "ế"), ("\u0958", "\u0915\u093c"), ("Ω", "Ω"),
    ]),
    Table(rules.normalize("NFKC"), [
        *((text, text) for text in HARD if text.isascii()),
        ("ﬁ", "fi"), ("１２", "12"), ("Ａｄａ", "Ada"), ("①", "1"), ("²", "2"), ("½", "1⁄2"), ("㎏", "kg"), ("ｶﾞ", "ガ"), ("\u00a0", " "), ("…", "..."),
        ("™", "TM"), ("e\u0301", "é"), ("ß", "ß"), ("ﷺ", "صلى الله عليه وسلم"), ("Ⅻ", "XII"), ("\u2003", " "), ("𝐀", "A"), ("ſ", "s"),
    ]),
    Table(rules.fix_mojibake(), [
        *((text, text) for text in HARD if text != "\u180e"),
        ("schÃ¶n", "schön"), ("FranÃ§ois", "François"), ("Ã©tÃ©", "été"), ("doÃƒÂ±a", "doña"), ("ÐŸÑ€Ð¸Ð²ÐµÑ‚", "Привет"), ("lâ€™Ã©tÃ©", "l’été"),
        ("naÃ¯ve", "naïve"), ("schön", "schön"), ("Привет", "Привет"), ("Ã", "Ã"), ("São Paulo", "São Paulo"), ("MÜNCHEN", "MÜNCHEN"), ("“quote”", "“quote”"),
    ]),
    Table(rules.map_values({"m": "male", "f": "female", "-": None, "É": "é", "": "none"}), [
        *((text, no("not_in_map")) for text in HARD if text),
        ("m", "male"), ("f", "female"), ("-", None), ("É", "é"), ("", "none"), ("M", no("not_in_map")), ("m ", no("not_in_map")), ("E\u0301", no("not_in_map")),
    ]),
    Table(rules.map_values({"UK": "GB", "it's": "its"}, otherwise="keep"), [
        *((text, text) for text in HARD if text != "it's"), ("UK", "GB"), ("it's", "its"), ("uk", "uk"), ("GB", "GB"),
    ]),
    Table(rules.one_of("paid", "open", "", "é"), [
        *((text, no("not_in_list")) for text in HARD if text not in ("", "é")),
        *((text, text) for text in ("paid", "open", "", "é")),
        *((text, no("not_in_list")) for text in ("Paid", " paid", "paid\n", "раid", "ｐａｉｄ", "pa\u200bid", "paid,open")),
    ]),
    Table(rules.matches("[A-Z]{2}[0-9]+|é"), [
        *((text, no("no_match")) for text in HARD if text != "é"), ("é", "é"), ("DE12", "DE12"), ("DE12\n", no("no_match")), ("xDE12", no("no_match")),
        ("DE１２", no("no_match")), ("de12", no("no_match")), ("DE12 DE12", no("no_match")),
    ]),
    Table(rules.not_null(), [*((text, text) for text in HARD), (None, no("null")), (" ", " "), ("null", "null")]),
    Table(rules.copy_of("value"), [*((text, text) for text in HARD), (" ", " ")]),
]  # fmt: skip
