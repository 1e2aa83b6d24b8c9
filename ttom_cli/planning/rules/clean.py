"""A prompt made ready to be read: what is said of the camera, the style and the background is no object's."""

from __future__ import annotations

import re

from . import lexicon as lex

# At the beginning of a clause: elsewhere, as in "walks towards the camera", it is a goal.
_CAMERA = re.compile(
    rf"(?:^|(?<=[,.;:] )|(?<=\band )|(?<=\bwhile )|(?<=\bas )|(?<=\bthen )){lex.CAMERA}", re.IGNORECASE
)
_MEDIUM = rf"(?:(?:an?|the|my|some) )?(?:(?!(?:with|in|on|of|by|and|holding|an?|the)\b)[\w-]+ ){{0,5}}?(?:{lex.SHOTS})"
_LEADS = (
    r"(?:(?:for|about) [^:.,]{1,40}:|of|showing|featuring|depicting|following|capturing|about|for|where|with|in which"
    r"|(?:that|which) shows?|:)"
)
_SHOT = re.compile(rf"(?:^ *|(?<=[.;:,!] ))(?:black and white )?{_MEDIUM}s?(?: shot)?(?:,? {_LEADS}|:) ", re.IGNORECASE)
_DOES = rf" (?:the|an?|my) (?:[\w-]+ ){{1,4}}(?:{'|'.join(lex.BASE_FORMS)})\b"  # "make the dog jump"
_ASK = re.compile(  # "can you please make me a short clip of"
    r"(?:^|(?<=[.!] ))(?:(?:please|pls|hey|hi|ok(?:ay)?|so|now),? )*(?:(?:can|could|would|will) (?:you|u) (?:please )?"
    r"|help me (?:to )?)?"
    rf"(?:(?:create|generate|make(?!{_DOES})|show|give|render|produce|animate|draw|film|design|write"
    r"|shoot|do)(?: me| us)?"
    r"|(?:i|we)(?:'d| would)? (?:want|need|like|love)(?: (?:(?:you|u) )?to (?:see|create|generate|make|animate))?"
    r"|imagine|picture|we see"
    rf"|there(?:'s| is| are| was)|(?:the|this) {_MEDIUM} (?:shows?|opens? (?:on|with)|(?:begins?|starts?) with"
    rf"|features?|depicts?|captures?|focuses on)) +(?:{_MEDIUM}s?:? ?(?:{_LEADS})? )?(?!it |this |that |us )",
    re.IGNORECASE,
)  # fmt: skip
_QUOTED = re.compile(r"\"[^\"]{1,60}\"|(?<!\w)'[A-Z][^']{0,60}'(?!\w)")  # what is written or said
_STYLE = re.compile(
    r"\bslow[ -]motion\b|\b(?:in|with) (?:the|an?) (?:[\w'-]+ ){0,3}?style(?: of(?: [\w'-]+){1,5})?"
    r"|\bin [\w'-]+ style\b", re.IGNORECASE,
)  # fmt: skip
_LIKENESS = re.compile(  # "as tall as buildings", "like a river of light", "twice the size of a house"
    r"\b(?:dressed|disguised|appearing) as (?:an? )?[\w'-]+|\bas \w+ as (?:(?:an?|the) )?[\w'-]+"
    r"|(?<!looks )(?<!look )(?<!would )\blike (?:an?|the) (?:[\w'-]+ ?){1,2}(?: of \w+)?"
    r"|\bthe size of (?:an? |the )?[\w'-]+|\b(?:twice|half) (?:its|his|her|their) (?:own )?size", re.IGNORECASE,
)  # fmt: skip
_FILLERS = re.compile(r"\b(?:please|pls|plz|thanks?(?: you)?|lol|haha|btw)\b", re.IGNORECASE)
_LABEL = re.compile(r"(?:^|(?<=[.;,] ))(?:subject|action|scene|shot \d+|prompt|setting)s?: ", re.IGNORECASE)
_ASIDE = re.compile(
    r"(?:^|(?<=[.;] ))(?:style|camera|lighting|mood|tone|colou?rs?|audio|sound|music|lens|format|quality|genre"
    r"|negative(?: prompt)?): [^.;]*", re.IGNORECASE,
)  # fmt: skip
_MEASURE = re.compile(
    rf"\b(?:(?:for|in|at|within|lasting|over) )?(?:(?:a few|a couple of|several|half an?|an?|{'|'.join(lex.NUMBERS)}"
    rf"|\d[\d.]*)[ -])+{lex.UNITS}(?:[ -](?:long|old|tall|wide|high))?\b|\bat (?:his|her|their) \d+s\b", re.IGNORECASE,
)  # fmt: skip
_NUMBER = rf"(?:(?:{'|'.join(lex.NUMBERS)}|\d+|an?|one|the) )?"
_ONE = re.compile("(?:an?|one|the) ", re.IGNORECASE)
_COLOR = rf"(?:{'|'.join(lex.COLORS)})"
_SHARED_NOUN = re.compile(  # several before one noun, which is not part of another's phrase
    r"(?<!\bin )(?<!\bof )(?<!\bwith )(?<!\bwearing )\b"
    rf"(?P<first>{_NUMBER}){_COLOR}(?:, {_NUMBER}{_COLOR})*,? and (?P<last>{_NUMBER}){_COLOR} (?P<noun>\w+)\b"
    rf"(?= *(?:$|[,.;:]|(?:and|while|{'|'.join(lex.BASE_FORMS)})\b|\w+(?:s|ing)\b))", re.IGNORECASE,
)  # fmt: skip

_POINT = "|".join(lex.PLACES)
_PART = rf"(?:far )?(?:{_POINT}){lex.PLACE_PART}(?:{lex.PLACE_OF})?"
_OPENS = "|".join(lex.DETERMINERS | lex.NUMBERS.keys())
_AHEAD = re.compile(  # "on the left, a ball", "left: a ball", "(left) a ball"
    rf"(?P<lead>^ *|[.;:!?] +|,(?: and)? +)"
    rf"(?:(?:on|at|in|to) the (?P<place>{_PART}) *[,:]|(?P<label>{_PART}) *:|\((?P<inner>{_PART})\))"
    rf" *(?=(?:{_OPENS}|(?P<color>{'|'.join(lex.COLORS)}))\b)",
    re.IGNORECASE,
)
_BEHIND = re.compile(rf",(?= (?:on|at|in) the {_PART} *(?:[.;!]|$))", re.IGNORECASE)
_IN_BRACKETS = re.compile(rf"\((?:(?:on|at|in) )?(?:the )?(?P<place>{_PART})\)", re.IGNORECASE)
_ARROW = re.compile(r" *(?:->|=>|→|⇒) *(?=(?:to )?(?:the )?(?:left|right|up|down)\b)", re.IGNORECASE)
_NOT = r"(?:do(?:es)?|did|is|are|was|were|will|can|has|have)(?:n['’]?t| not)|never|won['’]?t|can(?:['’]?t|not)"
_NOT_THERE = re.compile(
    rf",?(?: (?:and|but))? (?:not|instead of|rather than) {lex.PLACE_PREFIX}(?:{_POINT}){lex.PLACE_SUFFIX}"
    r"(?: but(?= (?:on|at|in) the ))?", re.IGNORECASE,
)  # fmt: skip
_STAYS = re.compile(
    rf"\b(?:{_NOT})(?: \w+ly| even| ever)? (?:{'|'.join(sorted(lex.MOVING, key=len, reverse=True))})\b"
    r"(?:(?!\b(?:and|while|but|as)\b)[^,.;:])*?(?= *(?:$|[,.;:]|\b(?:and|while|but|as)\b))",
    re.IGNORECASE,
)


def said_plainly(text: str) -> str:
    """The text with no comma between a thing and its place ("on the left, a ball"; "a ball, on the left, a cube"), with
    places in brackets in words, and with what does not move said to stay."""
    ahead = False

    def place(match: re.Match) -> str:
        nonlocal ahead
        ahead = ahead or not re.fullmatch(", +", match["lead"])
        said = f"on the {match['place'] or match['label'] or match['inner']}"
        thing = "the " if match["color"] else ""  # "left: red balls"
        return f"{match['lead']}{said} {thing}" if ahead else f" {said}, {thing}"

    text = _ARROW.sub(" moves ", text)
    text = _IN_BRACKETS.sub(r"on the \g<place>", _BEHIND.sub("", _AHEAD.sub(place, text)))
    return _STAYS.sub("stays still", _NOT_THERE.sub("", text))


def objects_only(text: str) -> str:
    """The text with blanks where it speaks of the camera or the style; what is left stands where it stood."""
    if not re.fullmatch('".*"', text.strip()):
        text = _QUOTED.sub(_blank, text)
    for said in (_LIKENESS, _FILLERS, _ASIDE, _LABEL, _MEASURE, _ASK, _SHOT, _CAMERA, _STYLE):
        text = said.sub(_blank, text)
    parts = list(re.finditer(r"[^,.;]+", text))
    styles = [m for m in parts if _is_style(m.group())]
    if len(styles) < sum(bool(m.group().strip()) for m in parts):
        for m in styles:
            text = text[: m.start()] + _blank(m) + text[m.end() :]
    return text


def _is_style(part: str) -> bool:
    """Whether a part between commas says how the video looks: "cinematic lighting", "4k"."""
    words = part.lower().split()
    if not words or words[0] in lex.DETERMINERS or words[0] in lex.NUMBERS:
        return False  # "a cat in anime style"
    says = re.search(rf"\b(?:{lex.STYLES})\b", part, re.IGNORECASE)
    return bool(says) and len(words) <= 7 and not any(map(lex.moves, words))


def _blank(match: re.Match) -> str:
    return " " * len(match.group())


def camera(text: str) -> str:
    """What the camera does: "pans left"."""
    found = _CAMERA.search(text)
    return re.sub(r"^(?:(?:the|a) )?camera:? *", "", found.group(), flags=re.IGNORECASE).strip() if found else ""


def background(text: str) -> str:
    found = re.search(r"\b(?:on|against|with) an? ((?:\w+ ){1,3}background)", text, re.IGNORECASE)
    return found.group(1) if found else ""


def each_with_its_noun(text: str) -> str:
    """ "red, green and blue circles" -> "red circles, green circles and blue circles", numbers as they are."""

    def repeat(match: re.Match) -> str:
        first, last, noun = match.group("first", "last", "noun")
        if bool(first) != bool(last) or match.group().lower().startswith("black and white"):
            return match.group()  # "two red and blue balls", "a red and white lighthouse"
        if not (lex.is_plural(noun) or (_ONE.fullmatch(first or "") and _ONE.fullmatch(last))):
            return match.group()
        return re.sub(
            rf"({_NUMBER}){_COLOR}\b(?! {noun})",
            lambda m: f"{m.group()} {lex.singular(noun) if _ONE.fullmatch(m.group(1)) else noun}",
            match.group(),
            flags=re.IGNORECASE,
        )

    return _SHARED_NOUN.sub(repeat, text)
