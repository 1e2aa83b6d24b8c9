"""The few words and turns of English that `certain` takes at their word; all text is in lower case."""

from __future__ import annotations

import re
from collections.abc import Iterator


def _any(words: str) -> str:
    return "|".join(words.split())


AXES = {"left": (0, -1), "right": (0, 1), "up": (1, -1), "down": (1, 1)}  # of a box's corner, and its sign

# ---------------------------------------------------------------- what stands before a noun

NUMBERS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "eleven": 11, "twelve": 12,
}  # fmt: skip
INDEFINITE = frozenset("a an another".split())
DEFINITE = frozenset("the these those both all his her its their each".split())
DETERMINERS = INDEFINITE | DEFINITE | frozenset("this that my your our every some several many few no any".split())
COLORS_AND_SIZES = frozenset(
    """red orange yellow green blue purple pink brown black white gray grey golden silver small tiny little large big
    huge tall old young new cute beautiful colorful shiny bright dark fluffy wooden wild happy""".split()
)
LINK = rf"(?:(?:{'|'.join(DETERMINERS | NUMBERS.keys())}|\d+) ){{0,2}}"  # up to a noun's first word
POSTMODIFIER = r" (?:in|on|at|with|without|wearing|of|from|near|by|under|holding|carrying|riding|who|that|which|and) "

# ---------------------------------------------------------------- verbs


def _forms(verb: str) -> set[str]:
    """'glide' -> glide, glides, gliding, glided; irregular pasts are listed by hand."""
    stem = verb[:-1] if verb.endswith("e") and not verb.endswith("ee") else verb
    if re.fullmatch(r"(?:[^aeiou]|qu)*[aeiou][bdgmnpt]", verb):
        stem += verb[-1]
    if re.search("[^aeiou]y$", verb):
        return {verb, verb[:-1] + "ies", verb + "ing", verb[:-1] + "ied"}
    return {verb, verb + ("es" if re.search("(?:s|sh|ch|o)$", verb) else "s"), stem + "ing", stem + "ed"}


MOVES = """move go roll slide drift fly float glide run walk travel crawl swim drive dash dart hop race sail march
stroll jog trot sprint gallop skate ski cycle pedal wander creep sneak slink scurry scamper hurry rush speed bounce
jump leap zoom cruise ride head shuffle waddle stride sweep swoop soar come proceed advance shoot scroll shift
scuttle slither paddle tumble cross pass hike charge stalk prowl flutter swing step steer row climb rise""".split()
STRAIGHT_UP = "move float fly go drift rise climb shoot glide come fall drop sink slide descend soar zoom".split()
FLOATS = "float fly glide fall drop sink drift descend climb flutter slide swoop".split()  # up and down alone
SENT = "kick throw push pull toss drag blow carry".split()  # of these the participle
FALLS = "fall sink descend plummet drop".split()
_OTHERS = """watch look play eat drink hold carry kick throw catch push pull chase read write cook dance sing smile
wave bark blow shine glow burn grow bloom shake spin rotate turn land appear disappear emerge arrive enter leave exit
stop wait sleep rest hang hit touch sit stand lie hover ascend fetch build paint pour cut open close lick bite dig
graze stare gaze sway bob put place set lay toss bring take lift lower stay remain follow see hear make let keep
start begin continue""".split()
_PASTS = {"went": "go", "ran": "run", "drove": "drive", "flew": "fly", "came": "come", "swam": "swim", "rode": "ride",
          "thrown": "throw",
          "rose": "rise", "fell": "fall", "sank": "sink"}  # fmt: skip
LEMMAS = {form: verb for verb in MOVES + FALLS + _OTHERS for form in _forms(verb)} | _PASTS
for _form in ("moved", "shifted"):  # "a table moved to the left" may stand there
    del LEMMAS[_form]
VERBS = LEMMAS.keys() | set("is are stood sat lay hung held threw caught ate drank".split())
NO_NAME = frozenset(
    """in on at to from of off with by into onto over under above below beneath underneath beside besides between
    behind near next past through across along around against toward towards inside outside within without upon
    during for like down up and while as but or then when before after until where that which who than if
    was were be been being has have had do does not very there here it they he she him them""".split()
) | {verb for verb in VERBS if not verb.endswith("ing")}  # no part of a noun phrase

# ---------------------------------------------------------------- motion

ADVERBS = frozenset("now also just still all both together fast straight directly away out hard".split())
_AUXILIARIES = frozenset(
    """is are being gets was were that which who keep keeps on start starts starting begin begins beginning continue
    continues to can be seen""".split()
)
_ADVERB = rf"(?:\w+ly|{'|'.join(ADVERBS)})"
_FRAME = r"(?:the |its )?(?:frame|screen|scene|image|picture|video|shot|view)"
_SURFACE = _any("frame screen scene sky field table ground floor grass water room air sand snow beach stage sea ocean "
                "lake meadow desert picture image lawn ice")  # fmt: skip
_GAP = (
    rf"(?: {_ADVERB})*(?: (?:across|over|along|through|on|in) (?:an?|the) (?:[\w-]+ )?(?:{_SURFACE}))?"
    rf"(?:,? {_ADVERB})*,?"
)
# Not "left and right"; "left, then right" goes left all the same.
_TURNS = r"(?!(?:,|,? and|,? or) (?:to the |towards? the |the )?(?:left|right|back|up|down)\b)"
_CLAUSE = "and while as whereas but for together fast then until before"
_PLACE = (
    "with in on at across over along through past under above below during against toward towards into after where "
    "near by away without within out of from"
)
_END = rf"{_TURNS}(?=$|[.,;:!)\"]| (?:{_any(_CLAUSE)})\b| \w+ly\b)"
_GOES_ON = rf"{_TURNS}(?=$|[.,;:!)\"]| (?:{_any(_CLAUSE + ' ' + _PLACE)})\b| \w+ly\b)(?! of)"
_LEFT_ON = rf"{_TURNS}(?=$|[.,;:!)\"]| (?:{_any(_CLAUSE)}|on|in|across|along|through|past|towards?|at)\b| \w+ly\b)"
_SIDE = rf"(?:[- ]hand(?: side)?| side| edge| border)?(?: of {_FRAME})?"


def _across(way: str, other: str, bare_end: str) -> str:
    return (
        rf"(?P<{way}>from (?:the )?(?:far )?{other}{_SIDE} to (?:the )?(?:far )?{way}{_SIDE}{_GOES_ON}"
        rf"|{other}[ -]to[ -]{way}{_GOES_ON}|(?:over )?(?:to|towards?) the (?:far |very )?{way}{_SIDE}{_GOES_ON}"
        rf"|towards? {way}{_GOES_ON}|{way}wards?{_GOES_ON}|{way}{bare_end})"
    )


def _upright(way: str, start: str, end: str, goals: str) -> str:
    return (
        rf"(?P<{way}>{way}wards?{_GOES_ON}|(?:from (?:the )?{start}{_SIDE} )?(?:to|towards?) (?:the )?{end}{_SIDE}"
        rf"{_GOES_ON}|{way} (?:into|to|towards?|onto) the (?:{goals}){_GOES_ON}|{way}{_END})"
    )


def _corners() -> str:
    """Towards a corner, or both ways at once."""
    return "|".join(
        rf"(?P<{side}_{way}>(?:(?:to|towards?|into) the (?:{corner})[ -]{side}(?: corner)?(?: of {_FRAME})?"
        rf"|{way}(?:wards?)?(?: and| and to the|,? to the|[ -]) ?{side}(?:wards?)?"
        rf"|(?:to the )?{side}(?:wards?)? and {way}(?:wards?)?){_GOES_ON})"
        for way, corner in (("up", "upper|top"), ("down", "lower|bottom"))
        for side in ("left", "right")
    )


_FROM = "|".join(
    rf"(?P<{way}>{side}{_SIDE}{_GOES_ON})"
    for way, side in (("right", "the left"), ("left", "the right"), ("down", "(?:the top|above)"),
                      ("up", "(?:the bottom|below)"))
)  # fmt: skip
_OUT = "|".join(rf"(?P<{way}>{way}{_SIDE}{_GOES_ON})" for way in ("left", "right"))
_ALONG = rf"{_across('right', 'left', _END)}|{_across('left', 'right', _LEFT_ON)}"
_PAST = r"(?: (?:past|over|across|through|along|around|on|in|by) (?:an?|the) (?:[\w-]+ )?(?!\w+ing\b)[\w-]+)"
_FROM_TO = "|".join(
    rf"(?P<{way}>from (?:the )?{other}{_SIDE} to (?:the )?{way}{_SIDE}{_GOES_ON})"
    for way, other in (("left", "right"), ("right", "left"))
)
_ROOM = (
    rf"(?:to|towards?) the (?:(?P<left>left)|(?P<right>right)) side of (?:an?|the|his|her) (?:[\w-]+ ){{0,2}}"
    rf"(?:room|kitchen|bedroom|park|garden|forest|beach|field|meadow|yard|pool|aquarium){_GOES_ON}"
)
_UPRIGHT = (
    rf"{_upright('up', 'bottom', 'top', 'sky|air|clouds|ceiling|top')}"
    rf"|{_upright('down', 'top', 'bottom', 'ground|floor|earth|bottom|grass|table')}"
)
_INTO = rf"(?: in| into {_FRAME}| {_FRAME})?"
_UP_OR_DOWN = r"(?:(?P<up>up)|(?P<down>down))"
_STOP = r"$|[.,;:!]| (?:and|while|as"
# Verbs, and what may follow one: its group says the way, or two of them. Last, whether what stands still does not
# do it.
_MOTIONS = [
    ({*MOVES}, rf"{_GAP} diagonally,? (?:{_corners()})", True),
    ({*MOVES}, rf"{_GAP} (?:{_corners()})", False),
    ({*MOVES}, rf"{_GAP} (?:{_ALONG})", True),
    ({*MOVES}, rf"{_PAST}+ (?:{_FROM_TO})", True),
    ({*MOVES}, rf"{_GAP} {_ROOM}", False),
    ({"sent"}, rf"{_GAP} (?:{_ALONG})", True),
    ({*STRAIGHT_UP}, rf"{_GAP} (?:{_UPRIGHT})", True),
    ({*FLOATS}, rf"{_GAP} {_UP_OR_DOWN} (?:to|onto|into|from|through|out of) (?:an?|the|his|her)\b", False),
    ({"climb"}, rf" {_UP_OR_DOWN} (?:an?|the)\b", False),
    ({"rise", "ascend"}, rf"(?P<up>)(?={_STOP}|from|above|into|through|towards?|high|higher|up|at|in|on|behind|"
     rf"{_ADVERB})\b)", False),
    ({"climb"}, rf"(?P<up>)(?:{_END})", False),
    ({*FALLS}, rf"(?P<down>)(?={_STOP}|from|onto|to|towards?|into|through|down|off|on|at|in(?! love)|past|"
     rf"{_ADVERB})\b)", False),
    ({*MOVES, "enter", "appear", "emerge", "arrive"}, rf"{_GAP}{_INTO} from (?:{_FROM})", False),
    ({"leave", "exit"}, rf"(?: {_FRAME})? (?:(?:to|on|at|towards?) the )?(?:{_OUT})", False),
]  # fmt: skip
# More may be said of an object than one way.
LEAVES_OPEN = (
    r"\b(?:then|back|backwards?|return\w*|turn\w*|revers\w*|bounc\w*|before|after|until|again|later|finally|first|next|"
    r"eventually|loop\w*|circl\w*|zig-?zag\w*|around|it|they|he|she|both|stop\w*|swap\w*|forth|second|meanwhile|"
    r"passes|crosses|and \w+(?:s|ing))\b"
)
MASS = frozenset(
    """smoke steam mist fog snow rain water wave tide sun moon cloud dust particle leaf flame fire river sand crowd
    traffic bubble spark petal light sky train background""".split()
)  # they move, and their box may stay


def read_motion(rest: str) -> tuple[list[str], bool]:
    """The ways that something goes, by the words right behind its name; and whether it cannot do so in one place."""
    for verb, after in _verbs_behind(rest):
        for verbs, pattern, moving in _MOTIONS:
            match = re.match(pattern, after) if verb in verbs else None
            if match:
                return next(name for name, found in match.groupdict().items() if found is not None).split("_"), moving
    return [], False


def _verbs_behind(rest: str) -> Iterator[tuple[str, str]]:
    """A name's verb and what follows: at once, behind "in the park", or shared with "and a dog"; and what is ridden."""
    words = [(m.group(), m.end()) for m in re.finditer(r"[\w'-]+|[^\w\s]", rest)][:16]
    said = [word for word, _ in words]
    starts = [(0, "any")]
    joint = said[:1] == [","]
    if said[joint : joint + 1] == ["and"] and said[joint + 1 : joint + 2] and said[joint + 1] in DETERMINERS:
        starts += [(k, "joint") for k in _behind_name(said, joint + 2, 3)]
    if said[:1] and said[0] in _OF_IT and said[1:2] and said[1] in DETERMINERS:
        starts += [(k, "finite") for k in _behind_name(said, 2, 2)]
    for k, kind in starts:
        helped = False
        while k < len(said) and (said[k] in _AUXILIARIES | ADVERBS or re.fullmatch(_ADVERB, said[k])):
            helped |= said[k] in ("is", "are", "being", "gets")
            k += 1
        verb = LEMMAS.get(said[k]) if k < len(said) else None
        finite = helped or not said[k].endswith("ing") if verb else False
        if not verb or (kind == "finite" and not finite) or (kind == "joint" and not helped and said[k] != verb):
            continue
        thrown = helped and verb in SENT and re.search("(?:ed|wn)$", said[k])
        yield "sent" if thrown else verb, rest[words[k][1] :]
        if verb in ("ride", "drive") and said[k + 1 : k + 2] and said[k + 1] in DETERMINERS:
            yield from ((verb, rest[words[n - 1][1] :]) for n in _behind_name(said, k + 2, 2))


_OF_IT = frozenset("in on at with wearing near inside under of from".split())


def _behind_name(said: list[str], start: int, longest: int) -> Iterator[int]:
    """Where a noun of one word or more that begins at `start` may end."""
    for k in range(start, min(start + longest, len(said))):
        if not re.fullmatch(r"[\w'-]+", said[k]) or said[k] in NO_NAME | DETERMINERS:
            return
        yield k + 1


# ---------------------------------------------------------------- relations

_STATE = (
    r"is|are|was|were|sits?|stands?|lies?|rests?|hangs?|floats?|hovers?|stays?|remains?|waits?|sleeps?|sitting|standing|"
    r"lying|resting|hanging|floating|hovering|placed|positioned|located|sleeping|parked|perched|seated|that|which|there"
    r"|just|right|directly|slightly|quietly|still|calmly|peacefully|we see|can be seen|seen|far|high"
)
STATES = rf"(?:,? (?:{_STATE}))* "
RELATIONS = {
    r"(?:to|on|at) the (?:far |immediate )?left(?:[- ]hand)?(?: side)? of|left of": "left of",
    r"(?:to|on|at) the (?:far |immediate )?right(?:[- ]hand)?(?: side)? of|right of": "right of",
    r"above|(?:on|at) the top of|on top of|atop": "above",
    r"below|(?:on|at) the bottom of|on bottom of": "below",
    r"over": "over",
    r"under|underneath|beneath": "under",
    r"inside(?: of)?|within": "inside",
}
BETWEEN = rf"\b(?:in )?between {LINK}"
SIDED = frozenset("road street lane highway track path bridge river aisle stage court driver".split())  # of their own
# "A dog running on the left of a bicycle", "a cat hides under a bench": where it does so.
DOING = r",?(?: (?:is|are|that is))? (?P<verb>[\w-]+)(?: \w+ly)? "
WHERE_IT_IS = r"on the|above|below|under|beneath"
PLACING = r"\b(?:put|plac|mov|throw|kick|push|roll|set|pull|drag|carr|toss|bring|tak|lay|drop|slid)\w*\b"
PLACES = (
    rf"(?:,? (?:{_STATE}))*,? (?:on|at|to|in) the (?:far |very )?(?:(?P<left>left)|(?P<right>right)|(?P<top>top)"
    rf"|(?P<bottom>bottom)){_SIDE}(?=$|[.,;:!]| (?:and|while|as|whereas)\b)"
)

# ---------------------------------------------------------------- what takes certainty away

CONDITIONAL = (
    r"\b(?:no|not|never|without|nothing|none|nobody|nor|instead|rather|unlike|if|unless|when|whenever|once|than|like|"
    r"as though|as \w+ as|pretend\w*|opposite|or|either|almost|nearly|hardly|barely|no longer|in place|on the spot|"
    r"treadmill|dream\w*|thinks?|remember\w*|"
    r"(?:poster|painting|mural|photo\w*|portrait|drawing|picture|tattoo|logo|statue) of|"
    r"on (?:an?|the|his|her) (?:poster|t-?shirt|tv|television|monitor|billboard|screen|phone))\b|n't\b|\?"
)
MIRRORED = (
    r"\b(?:mirror\w*|reflections?|reflected|upside[- ]down|rewind\w*|in reverse|backwards?|revers\w+|top[- ]down"
    r"|bird'?s?[- ]eye|top view|overhead (?:view|shot)|(?:seen|shot|viewed|filmed|view) from (?:above|below))\b"
)
_AT = "".join(f"(?<!{before} camera)" for before in (
    "static", "fixed", "still", "locked", "stationary", "towards the", "toward the", "at the", "to the", "facing the",
    "from the", "past the",
))  # fmt: skip
CAMERA_MOVES = (
    rf"\bcamera\b{_AT}(?!(?:,|:)?(?: is| stays| remains)? (?:static|fixed|still|locked|stationary|slowly zoom|zoom))"
    r"|\b(?:pans?|panning|tracking|dolly|dollies|truck(?:s|ing)? (?:left|right|shot)|pov|point[- ]of[- ]view"
    r"|first[- ]person|hand-?held|fpv|aerial|drone (?:shot|view|footage|video)|crane shot|fly-?through"
    r"|(?:shot|view|we) follow\w*|follow(?:ing)? shot)\b"
)
COUNT_CHANGES = (
    r"\b(?:another|more|second|join\w*|third|fourth|extra|additional|multipl\w+|duplicat\w+|split\w*|divid\w+|merg\w+"
    r"|becom\w+|transform\w*|turn\w* into|clon\w+|(?:one|some|most|two|three|four|five|six) of (?:the|them|these))\b"
)
VAGUELY = (
    r"\b(?:about|around|nearly|almost|over|at least|at most|up to|more than|fewer than|less than|of the|number|some"
    rf"|(?:{'|'.join(NUMBERS)}|\d+) ?(?:or|to|-))\s*$"
)
GROUPED = frozenset(
    """pair set row line stack pile bunch group layer scoop slice lane side corner time way step part piece half story
    color colour kind type second minute hour day week month year meter metre mile inch foot dollar degree""".split()
)  # a box may hold several
PARTS = frozenset(
    """eye ear hand arm leg foot wing horn wheel lip cheek finger braid sleeve window door strap shoe boot glove sock
    sandal earring ski headlight pocket button paw tail tooth tusk antler oar engine""".split()
)
_MEDIA = (
    r"\b(?:video|shot|clip|footage|animation|scene|view|image|close-up|time-?lapse|rendering|film|gif|movie)s?"
    r"(?: (?:that )?shows| of| showing| with| where| in which| featuring)"
)
_ORDER = (
    r"(?:please |now )?(?:(?:can|could|would) you (?:please )?)?(?:(?:i want|i'd like|i would like)(?: you to (?:make|"
    r"create|generate|show))?|create|generate|make|let|have|show|show me|see|render|animate|imagine|picture|film|watch)"
)
LED_IN = (
    rf"(?:(?:.*(?:[,:]|[,:\"'(] ?|\b(?:while|as|whereas|but|then|there is|there are|there's)|, (?:and|with)|{_MEDIA})"
    rf"|{_ORDER}|(?:in|on|at) (?:an?|the) (?:[\w-]+ )?[\w-]+) ?|)"
)
