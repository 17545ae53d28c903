"""Hard cases of the rules for names, dates of birth, countries and currencies."""

from datetime import date

from lakekit import rules
from tests.rule_cases import Table, no

BLANK = ["", " ", "\u200b", "\x00", "\u200c \ufeff"]
NO_NAMES = ["123", "---", "💥", "ada@example.com", "x" * 10_000, "12", "\U0010ffff", "…"]

TABLES = [
    Table(rules.person_name("given"), [
        ("Ada Lovelace", "Ada"), ("Lovelace, Ada", "Ada"), ("Dr. Ada Lovelace", "Ada"), ("Vincent van Gogh", "Vincent"), ("van Gogh, Vincent", "Vincent"),
        ("Ada", "Ada"), ("Mr. Smith", None), ("Juan Q. Xavier de la Vega III", "Juan"), ('John "Jack" Kennedy', "John"), ("O'Connor, Sinéad", "Sinéad"),
        ("Anna-Lena Müller", "Anna-Lena"), ("  Ada\u00a0 Lovelace ", "Ada"), ("ADA LOVELACE", "ADA"), ("محمد علی", "محمد"), ("Анна Каренина", "Анна"),
        ("Prof. Dr. Anna Müller", "Anna"), ("Ada\x00Lovelace", "Ada"), ("Ada Lovelace, PhD", "Ada"), ("NaN Smith", "NaN"), ("J. R. R. Tolkien", "J."),
        *((text, no("not_a_name")) for text in NO_NAMES), *((text, no("empty")) for text in BLANK),
    ]),
    Table(rules.person_name("family"), [
        ("Ada Lovelace", "Lovelace"), ("Lovelace, Ada", "Lovelace"), ("Vincent van Gogh", "van Gogh"), ("van Gogh, Vincent", "van Gogh"), ("Ada", None),
        ("Mr. Smith", "Smith"), ("Juan de la Vega III", "de la Vega"), ("Sinéad O'Connor", "O'Connor"), ("Anna Müller-Lüdenscheidt", "Müller-Lüdenscheidt"),
        ("Ludwig von Beethoven", "von Beethoven"), ("Dr. Ada Lovelace, PhD", "Lovelace"), ("محمد علی", "علی"), ("Анна Каренина", "Каренина"), ("ADA KING", "KING"),
        ("John Kennedy Jr.", "Kennedy"), ("Martin Luther King Jr.", "King"), ("García Márquez, Gabriel", "García Márquez"),
        *((text, no("not_a_name")) for text in NO_NAMES), *((text, no("empty")) for text in BLANK),
    ]),
    Table(rules.name_key(), [
        ("Ada Lovelace", "ada lovelace"), ("Lovelace, Ada", "ada lovelace"), ("LOVELACE ADA", "ada lovelace"), ("Dr. Ada Lovelace", "ada lovelace"), ("Ada Lovelace, PhD", "ada lovelace"),
        ("Ada  Lovelace\u200b", "ada lovelace"), ("Ａｄａ Lovelace", "ada lovelace"), ("Sinéad O'Connor", "oconnor sinead"), ("SINEAD O’CONNOR", "oconnor sinead"),
        ("Anna-Lena Müller", "annalena muller"), ("Jürgen Groß", "gross jurgen"), ("JURGEN GROSS", "gross jurgen"), ("Łukasz Żółć", "lukasz zolc"), ("Bjørn Æsir", "aesir bjorn"),
        ("Vincent van Gogh", "gogh van vincent"), ("van Gogh, Vincent", "gogh van vincent"), ("Mr. Smith", "smith"), ("Анна Каренина", "анна каренина"), ("李小龍", "李小龍"),
        ("محمد علی", "علی محمد"), ("e\u0301ric", "eric"), ("Éric", "eric"), ("J. R. R. Tolkien", "j r r tolkien"), ("ΑΔΑ", "αδα"), ('John "Jack" Kennedy Jr.', "john kennedy"),
        *((text, no("not_a_name")) for text in NO_NAMES), *((text, no("empty")) for text in BLANK),
    ]),
    Table(rules.birth_date("iso", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%y", as_of="2026-01-01"), [
        ("1990-12-31", date(1990, 12, 31)), ("31/12/1990", date(1990, 12, 31)), ("12/31/1990", date(1990, 12, 31)), ("04/04/1990", date(1990, 4, 4)),
        ("03/04/1990", no("ambiguous")), ("01/02/2026", no("in_the_future")), ("02/01/1905", no("too_long_ago")), ("01/02/1906", no("ambiguous")),
        ("29/02/2000", date(2000, 2, 29)), ("29/02/1900", no("not_a_date")), ("1900-01-01", no("too_long_ago")), ("2026-01-01", date(2026, 1, 1)),
        ("2026-01-02", no("in_the_future")), ("1906-01-01", date(1906, 1, 1)), ("1905-12-31", no("too_long_ago")), ("9999-12-31", no("in_the_future")),
        ("0001-01-01", no("too_long_ago")), ("31.12.45", date(1945, 12, 31)), ("31.12.26", date(1926, 12, 31)), ("31.12.10", no("ambiguous")), ("31.12.99", date(1999, 12, 31)),
        ("29.02.00", date(2000, 2, 29)), ("１９９０-１２-３１", date(1990, 12, 31)), ("\u200f1990-12-31", date(1990, 12, 31)), (" 1990-12-31\n", date(1990, 12, 31)),
        ("1990-02-30", no("not_a_date")), ("1990-13-01", no("not_a_date")), ("00/00/0000", no("not_a_date")), ("NaN", no("not_a_date")), ("1e400", no("not_a_date")),
        ("1990-12-31T00:00:00", no("not_a_date")), ("19901231", date(1990, 12, 31)), ("31-12-1990", no("not_a_date")), ("x" * 10_000, no("not_a_date")), ("1990\x00-12-31", no("not_a_date")),
        *((text, no("empty")) for text in BLANK),
    ]),
    Table(rules.country("en", "de", "fr"), [
        ("US", "US"), ("us", "US"), (" uS\u200b", "US"), ("USA", "US"), ("U.S.A.", "US"), ("840", "US"), ("United States", "US"), ("UNITED STATES", "US"), ("ＵＳ", "US"),
        ("UK", "GB"), ("GBR", "GB"), ("United Kingdom", "GB"), ("Deutschland", "DE"), ("Germany", "DE"), ("Allemagne", "DE"), ("276", "DE"), ("Österreich", "AT"),
        ("OSTERREICH", "AT"), ("Côte d’Ivoire", "CI"), ("Cote d'Ivoire", "CI"), ("Hong Kong", "HK"), ("Hong Kong SAR China", "HK"), ("Myanmar", "MM"), ("XK", "XK"),
        ("Kosovo", "XK"), ("Bosnia & Herzegovina", "BA"), ("Bosnia and Herzegovina", "BA"), ("South Korea", "KR"), ("Türkiye", "TR"), ("NA", "NA"), ("no", "NO"),
        *((text, no("not_a_country")) for text in ("Narnia", "EU", "ZZ", "001", "England", "Korea", "America", "XX", "1e400", "NaN", "💥", "x" * 10_000, "U\x00S A X", "*")),
        *((text, no("empty")) for text in BLANK),
    ]),
    Table(rules.currency("en", "de"), [
        ("EUR", "EUR"), ("eur", "EUR"), (" Eur\u200b", "EUR"), ("€", "EUR"), ("Euro", "EUR"), ("euros", "EUR"), ("USD", "USD"), ("US$", no("not_a_currency")), ("US Dollar", "USD"),
        ("US dollars", "USD"), ("US-Dollar", "USD"), ("CA$", "CAD"), ("₹", "INR"), ("₩", "KRW"), ("R$", "BRL"), ("Swiss Franc", "CHF"), ("Schweizer Franken", "CHF"),
        ("British Pound", "GBP"), ("ＥＵＲ", "EUR"), ("E\x00UR", "EUR"), ("yen", no("not_a_currency")), ("Japanese Yen", "JPY"), ("zł", no("not_a_currency")), ("PLN", "PLN"), ("MXN", "MXN"),
        ("$", no("ambiguous")), ("£", no("ambiguous")), ("¥", no("ambiguous")), ("kr", no("ambiguous")), ("DEM", no("withdrawn")), ("Deutsche Mark", no("withdrawn")),
        *((text, no("not_a_currency")) for text in ("XXX", "ZZZ", "dollar", "1e400", "NaN", "💥", "x" * 10_000, "EURO EURO")),
        *((text, no("empty")) for text in BLANK),
    ]),
]  # fmt: skip
