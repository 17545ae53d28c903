"""Hard cases of the rules for phones, mail, URLs and addresses."""

from lakekit import rules
from tests.rule_cases import Table, no

BLANK = ["", " ", "\u200b", "\x00", "\u200c \ufeff"]

TABLES = [
    Table(rules.email(), [
        ("ada@example.com", "ada@example.com"), (" Ada.Lovelace@Example.COM\n", "ada.lovelace@example.com"), ("\u200bada@example.com\ufeff", "ada@example.com"),
        ("\u202aada@example.com\u202c", "ada@example.com"), ("ada+news@example.com", "ada+news@example.com"), ("o'brien@example.ie", "o'brien@example.ie"),
        ("ADA@BÜCHER.EXAMPLE", "ada@bücher.example"), ("ada@xn--bcher-kva.example", "ada@bücher.example"), ("ada@example．com", "ada@example.com"),
        ("用户@例子.广告", "用户@例子.广告"), ("A\u030asa@example.se", "åsa@example.se"), ('"John Doe"@example.com', '"john doe"@example.com'),
        ('"ada"@example.com', "ada@example.com"), ("_______@example.com", "_______@example.com"),
        *((text, no("not_an_email")) for text in (
            "ada", "@example.com", "ada@", "ada@@example.com", "ada@localhost", "ada@[127.0.0.1]", "ada@example.com.", ".ada@example.com", "a..da@example.com",
            "Ada <ada@example.com>", "ada＠example.com", "ada@exam\u200bple.com", "a\x00da@example.com", "mailto:ada@exa mple.com", "@" * 10_000, "n/a")),
        *((text, no("empty")) for text in BLANK),
    ]),
    Table(rules.email_key(), [
        ("ada.lovelace@gmail.com", "adalovelace@gmail.com"), ("AdaLovelace+x@GoogleMail.com", "adalovelace@gmail.com"), ("ada+a+b@gmail.com", "ada@gmail.com"),
        ("a.d.a+@gmail.com", "ada@gmail.com"), ("ada.lovelace@example.com", "ada.lovelace@example.com"), ("ada+news@example.com", "ada+news@example.com"),
        ("ada+x@outlook.com", "ada@outlook.com"), ("ada.l@outlook.com", "ada.l@outlook.com"), ("ada@hotmail.com", "ada@hotmail.com"),
        ("ada.l-x_y+z@protonmail.com", "adalxy@proton.me"), ("ada@pm.me", "ada@proton.me"), ("ada.l@ya.ru", "ada-l@yandex.ru"), ("ada-l+x@yandex.com", "ada-l@yandex.ru"),
        ("ada@me.com", "ada@me.com"), ("ada+x@icloud.com", "ada@icloud.com"), ("ada-x@yahoo.com", "ada-x@yahoo.com"), ("ada+x@yahoo.com", "ada+x@yahoo.com"),
        ("+@gmail.com", "+@gmail.com"), ("ada@gmail.com.br", "ada@gmail.com.br"), ("ada@mail.gmail.com", "ada@mail.gmail.com"), ("ada@GMAIL．com", "ada@gmail.com"),
        ("ada@xn--bcher-kva.example", "ada@bücher.example"), ('"a.d a"@gmail.com', '"a.d a"@gmail.com'), ("ådå@gmail.com", "ådå@gmail.com"),
        *((text, no("not_an_email")) for text in ("ada", "@gmail.com", "ada@gmail", "a..da@gmail.com", "ada@gmail.com, b@gmail.com", "x" * 10_000)),
        *((text, no("empty")) for text in BLANK),
    ]),
    Table(rules.phone("US", "GB"), [
        ("(212) 555-0123", "+12125550123"), ("212.555.0123", "+12125550123"), ("+1 212 555 0123", "+12125550123"), ("001 212 555 0123", "+12125550123"),
        ("２１２５５５０１２３", "+12125550123"), ("٢١٢٥٥٥٠١٢٣", "+12125550123"), ("\u200f212 555 0123", "+12125550123"), ("212\u00a0555\u20110123", "+12125550123"),
        ("1-800-FLOWERS", "+18003569377"), ("(212) 555-0123 ext. 45", "+12125550123;ext=45"), ("212-555-0123 x45", "+12125550123;ext=45"),
        ("tel:+1-212-555-0123;ext=7", "+12125550123;ext=7"), ("020 7946 0018", "+442079460018"), ("+44 (0)20 7946 0018", "+442079460018"), ("+49 30 901820", "+4930901820"),
        ("＋4930901820", "+4930901820"), ("00 49 30 901820", "+4930901820"), ("+39 06 698 12345", "+390669812345"), ("+800 1234 5678", "+80012345678"),
        ("212 555 0123\x00", "+12125550123"), ("  212 555 0123  ", "+12125550123"), ("+1 (242) 322-1234", "+12423221234"),
        ("12345", no("too_short")), ("+999 1234567", no("unknown_country_code")), ("555-0123", no("no_area_code")), ("+1 111 111 1111", no("not_assigned")),
        ("2" * 40, no("too_long")), ("phone", no("not_a_phone_number")), ("💥", no("not_a_phone_number")), ("NaN", no("not_a_phone_number")),
        ("n/a", no("not_a_phone_number")), ("@", no("not_a_phone_number")), ("+", no("not_a_phone_number")), ("x" * 10_000, no("too_long")),
        *((text, no("empty")) for text in BLANK),
    ]),
    Table(rules.phone_type("US"), [
        ("+49 151 23456789", "mobile"), ("+49 30 901820", "fixed_line"), ("+49 800 1234567", "toll_free"), ("+49 900 1 234567", "premium_rate"), ("+49 180 5 123456", "shared_cost"),
        ("(212) 555-0123", "fixed_line_or_mobile"), ("1-800-FLOWERS", "toll_free"), ("1-900-234-5678", "premium_rate"), ("+44 7911 123456", "mobile"),
        ("+44 20 7946 0018", "fixed_line"), ("+44 800 1111", "toll_free"), ("+44 70 1234 5678", "personal_number"), ("+44 7640 123456", "pager"),
        ("+44 55 1234 5678", "uan"), ("+44 56 1234 5678", "voip"), ("+33 6 12 34 56 78", "mobile"), ("+33 9 70 00 00 00", "voip"), ("+39 06 698 12345", "fixed_line"),
        ("+91 98765 43210", "mobile"), ("+81 90 1234 5678", "mobile"), ("+86 138 0013 8000", "mobile"), ("+800 1234 5678", "toll_free"),
        ("＋４９１５１ ２３４５６７８９", "mobile"), ("(212) 555-0123 x4", "fixed_line_or_mobile"), ("+999 1234567", no("unknown_country_code")),
        ("911", no("too_short")), ("phone", no("not_a_phone_number")),
        *((text, no("empty")) for text in BLANK),
    ]),
    Table(rules.url(), [
        ("https://example.com", "https://example.com/"), ("HTTPS://Example.COM/A", "https://example.com/A"), ("http://example.com:80/", "http://example.com/"),
        ("https://example.com:8443/", "https://example.com:8443/"), ("https://example.com:443", "https://example.com/"), ("https://Bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"), ("https://例子.广告/路", "https://xn--fsqu00a.xn--4rr70v/%E8%B7%AF"),
        ("https://e.com/%7eada", "https://e.com/~ada"), ("https://e.com/%c3%a4", "https://e.com/%C3%A4"), ("https://e.com/ä", "https://e.com/%C3%A4"),
        ("https://e.com/a/./b/../c", "https://e.com/a/c"), ("https://e.com/../..", "https://e.com/"), ("https://e.com/a/b/..", "https://e.com/a/"),
        ("https://e.com?q=1", "https://e.com/?q=1"), ("https://e.com/?q=a%20b&r=+", "https://e.com/?q=a%20b&r=+"), ("https://e.com/#Top", "https://e.com/#Top"),
        ("https://www.e.com/a/", "https://www.e.com/a/"), ("https://e.com//a", "https://e.com//a"), ("https://ada:x@e.com/", "https://ada:x@e.com/"),
        ("http://127.0.0.1:8080/x", "http://127.0.0.1:8080/x"), ("http://[2001:DB8::1]/", "http://[2001:db8::1]/"), ("  https://e.com/ \n", "https://e.com/"),
        ("https://e.com/a%2Fb", "https://e.com/a%2Fb"), ("https://e.com./", "https://e.com./"),
        ("www.example.com", no("no_scheme")), ("//example.com/", no("no_scheme")), ("example.com", no("no_scheme")), ("mailto:ada@e.com", no("no_scheme")),
        ("javascript://e.com/", no("scheme_not_allowed")), ("ftp://e.com/", no("scheme_not_allowed")), ("file:///etc/passwd", no("scheme_not_allowed")),
        *((text, no("not_a_url")) for text in (
            "https://", "https:///x", "https://e com/", "https://e.com/a b", "https://e.com:port/", "https://e.com:99999/", "https://[::1", "https://-e.com/",
            "https://e..com/", "https://e.com/\x00x", "https://e.com/\u200bx", "https://e.com\\x", "https://" + "x" * 9_000, "https://" + "x" * 64 + ".com/", "<https://e.com>")),
        *((text, no("empty")) for text in BLANK),
    ]),
    Table(rules.address_key(), [
        ("12 Main Street", "12 main st"), ("12, MAIN ST.", "12 main st"), ("12 main  st", "12 main st"), ("12\u00a0Main\u3000St", "12 main st"), ("１２ Main St", "12 main st"),
        ("Hauptstraße 7b", "haupt st 7 b"), ("Hauptstrasse 7 B", "haupt st 7 b"), ("Haupt-Str. 7B", "haupt st 7 b"), ("HAUPTSTR. 7b", "haupt st 7 b"),
        ("5th Avenue", "5 av"), ("5 Ave", "5 av"), ("221B Baker Street", "221 b baker st"), ("221-b, Baker St", "221 b baker st"), ("St James's Sq.", "st jamess sq"),
        ("Saint James’s Square", "st jamess sq"), ("Rue de l'Église 3", "rue de leglise 3"), ("Avenida Paulista, nº 1000", "av paulista nr 1000"),
        ("Calle Mayor 3", "cl mayor 3"), ("C/ Mayor 3", "c mayor 3"), ("1600 Pennsylvania Avenue North West", "1600 pennsylvania av n w"),
        ("Apartment 4, 12 Main Street", "apt 4 12 main st"), ("Apt. #4 12 Main St", "apt 4 12 main st"), ("Łódź, ul. Piękna 1", "lodz ul piekna 1"),
        ("東京都千代田区1-1", "東京都千代田区 1 1"), ("شارع ٥", "شارع 5"), ("רחוב הרצל 5", "רחוב הרצל 5"), ("1e400", "1 e 400"), ("NaN", "nan"), ("12/3 Main Rd", "12 3 main rd"),
        ("12\x00Main", "12 main"), ("Platz der Republik", "pl der republik"), ("Marktplatz 1", "markt pl 1"),
        ("---", no("not_an_address")), ("💥", no("not_an_address")), ("x" * 10_000, no("not_an_address")),
        *((text, no("empty")) for text in BLANK),
    ]),
]  # fmt: skip
