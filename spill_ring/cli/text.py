"""Text that somebody else wrote, made safe to look at: names and strings in a recording, names of files."""
from unicodedata import category

FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")  # with one of these, narrow or wide, a spreadsheet's formula begins
LONGEST = 200  # characters of a name or a type that is only to be looked at


def printable(text: str) -> str:
    """The text in one line, with a backslash and a number for each character that isn't seen but does something.

    Those are the control characters, which begin a terminal's commands, the ones that turn the direction of writing,
    and halves of characters. The bytes of a file's name that are no UTF-8 stay, where they are no control characters.
    """
    return text if text.isprintable() else "".join(map(_printable_character, text))


def _printable_character(character: str) -> str:
    if character.isprintable() or category(character) == "Zs" or "\udca0" <= character <= "\udcff":
        return character
    if "\udc80" <= character < "\udca0":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def clipped(text: str, longest: int = LONGEST) -> str:
    """The text as `printable` gives it, cut off where it is too long to look at."""
    text = printable(text[: longest + 1])
    return text if len(text) <= longest else text[: longest - 1] + "…"


def cell(text: str) -> str:
    """The text as `printable` gives it, with an apostrophe in front where a spreadsheet would run it as a formula.

    That is what OWASP advises against CSV injection. A tab or a line break, which it names too, is escaped already.
    """
    text = printable(text)
    return f"'{text}" if text.startswith(FORMULA) else text


def in_utf8(text: str) -> str:
    """The text with a backslash and a number for each half of a character, which UTF-8 doesn't have."""
    return text.encode("utf-8", "backslashreplace").decode()
