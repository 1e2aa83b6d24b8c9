"""Closed-class English for the rules planner: the words that are not part of a name for an object."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from . import wordnet
from .wordnet import infinitive, singular


@cache
def pattern(text: str, flags: int = 0) -> re.Pattern:
    """A regular expression, compiled once: there are more of them than `re` keeps."""
    return re.compile(text, flags)


def search(text: str, said: str) -> re.Match | None:
    return pattern(text).search(said)


def match(text: str, said: str) -> re.Match | None:
    return pattern(text).match(said)


def fullmatch(text: str, said: str) -> re.Match | None:
    return pattern(text).fullmatch(said)


NUMBERS = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17,
    "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70,
    "eighty": 80, "ninety": 90, "dozen": 12, "hundred": 100, "thousand": 1000,
    "both": 2, "several": 3, "few": 3, "many": 5,
}  # fmt: skip
SCALES = frozenset("dozen hundred thousand".split())  # of what stands before them
VAGUE = frozenset("several few many".split())
ROWS = frozenset("row line column stack pile queue".split())
ORDINALS = frozenset("first second third fourth last".split())
STAND_INS = frozenset("one another other others".split())  # as numbers, they may stand for a noun
BEING = frozenset("is are was were has have".split())
MAKING = frozenset("make makes making let lets have see watch".split())
NONE = frozenset({"no", "without"})  # what is named behind them is not there
SINGULAR = frozenset("a an 1 one another this that each".split())  # no plural stands behind them
DETERMINERS = frozenset(
    "a an the no other others one another this that its his her their our my your some each".split()
)
PREPOSITIONS = frozenset(
    """in on at to from of off with by into onto over under above below beneath beside besides between
    behind near next past through across along around against toward towards inside outside among amid
    within without upon during for like down up out underneath atop alongside""".split()
)
CONJUNCTIONS = frozenset("and while as but or then when before after until whereas where that which who".split())
ADVERBS = frozenset(
    """straight slowly quickly gently gradually smoothly gracefully rapidly steadily suddenly together away back
    forward forwards nearby overhead apart left right leftward leftwards rightward rightwards upward
    upwards downward downwards up down still hard there here clockwise counterclockwise anticlockwise
    is are was were be been being has have had do does not very then sideways backward backwards uphill downhill
    just only even also too so if except never always finally eventually forth closer nearer farther further bigger
    larger smaller higher lower taller eastward westward northward southward us
    high low fast faster first second again once twice ahead outdoors indoors more less""".split()
)

# What one goes down without going down.
_ALONG = (
    r"(?:an?|the|his|her|its|their) (?:[\w-]+ ){0,3}?\w*(?:street|road|path|way|hall|corridor|aisle|track|river|lane"
    r"|alley|avenue|trail|stream|highway|pavement|sidewalk|pier|beach)"
)
_NOT_OF = r"(?! of (?!the (?:frame|screen|scene|image|picture|shot|video)\b))"
# Adverbs and verbs that say where to. Each direction's phrases, longest first where they overlap.
DIRECTION_PHRASES = {
    "right": r"from (?:the )?left(?: side)?(?: of the \w+)? to (?:the )?right|left[ -]to[ -](?:the )?right|rightwards?"
    rf"|(?:to|towards?) the right{_NOT_OF}|(?:to|towards?) right(?! of)|to the right side(?! of (?:an?|two|three) )"
    r"|eastwards?|(?:to|towards?) the east",
    "left": r"from (?:the )?right(?: side)?(?: of the \w+)? to (?:the )?left|right[ -]to[ -](?:the )?left|leftwards?"
    rf"|(?:to|towards?) the left{_NOT_OF}|(?:to|towards?) left(?! of)|to the left side(?! of (?:an?|two|three) )"
    r"|westwards?|(?:to|towards?) the west",
    "up": r"upwards?|up(?: into)?(?! to (?!the (?:sky|top)))|from (?:the )?bottom to (?:the )?top"
    r"|(?:to|towards?) the (?:top|sky|north)|northwards?|into (?:the (?:sky|air)|space)",
    "down": rf"downwards?|down(?! {_ALONG})|from (?:the )?top to (?:the )?bottom"
    r"|(?:to|towards?) the (?:bottom|ground|floor|south)|southwards?",
}
_CORNER = r"(?<!upper )(?<!lower )(?<!top )(?<!bottom )"
BARE = {  # directions only after a verb of motion
    way: rf"{_CORNER}(?:{way}|{there})(?! of)" for way, there in (("right", "east"), ("left", "west"))
}
UP_VERBS = "raise hoist rise ascend climb lift soar levitate".split()
DOWN_VERBS = "lower fall sink drop descend plummet tumble dive".split()
MOTION_VERBS = """move swoop roll slide drift fly go float glide run walk travel crawl swim drive dash dart hop
jump race sail march ride push pull bounce fall rise sneak slink gallop skate ski pedal throw kick wander
trot sprint stroll cruise zoom rush head jog stride shuffle creep sweep swing leap spin rotate turn come
pass cross chase return shoot launch speed flutter toss hurtle scurry bound trek hike climb
descend steer row soar wade amble canter cascade clamber coast cruise drip flit flow hobble hurry hustle inch journey
limp lope lumber lunge lurch meander pace paddle parade plod pour prance prowl roam romp scamper scoot scramble
skitter slither snake stagger stalk stampede streak stream strut stumble swerve tiptoe totter tread trickle trudge
trundle veer waft whizz wriggle zigzag zip weave carve burst pop""".split()
OTHER_VERBS = """stand sit lie rest hang sleep wait stay hold play eat drink look watch change become
transform dance sing smile laugh talk read write paint cook pour cut chop open close shine glow blow melt
    burn explode grow bloom shrink expand bark wave clap nod pick catch grab reach give take place put smell bite
    lick chew scratch dig shake stir mix wash clean brush blink stare gaze fight hug kiss surf graze devour nibble
    see hear feel know want need try help let seem
    stop start begin move build graze perch share explore lean face meet hide bask doze waddle
appear disappear end finish land settle arrive make keep carry wear hover circle orbit approach follow
surround touch hit enter exit emerge vanish swap exchange switch trade inflate deflate swell set""".split()

RELATIONS = {
    "after": r"(?:chas|pursu)(?:es?|ing)|follow(?:s|ing)?|(?:runs?|running|goes|going) after|trail(?:s|ing) behind",
    "before": r"(?:followed|chased|pursued|trailed) by|leads|leading",
    "left of": r"(?:to|on|at) the left(?: side)? of|left of",
    "right of": r"(?:to|on|at) the right(?: side)? of|right of",
    "over": r"(?:jump|leap|hop|vault|step)(?:s|ing)? over",
    "landing on": r"(?:land|alight|settl)(?:es|s|ing)? (?:up)?on(?:to)?",
    "overtaking": r"overtak(?:es|ing)|overtake",
    "above": r"(?:on|at) the top of|above|over",
    "below": r"(?:on|at) the bottom of|below|under|underneath|beneath",
    "on": r"on top of|atop|on(?:to)?",
    "in front of": r"in ?front of",
    "behind": r"behind",
    "next to": r"next to|beside|alongside|near|by",
    "inside": r"inside(?: of)?|within",
    "between": r"(?:in )?between",
    "riding": r"rid(?:es?|ing)|driv(?:es?|ing)|row(?:s|ing)?|steer(?:s|ing)?|paddl(?:es?|ing)|pilot(?:s|ing)?",
    "holding": r"hold(?:s|ing)?|carr(?:y|ies|ying)",
    "pushing": r"push(?:es|ing)?",
    "pulling": r"pull(?:s|ing)?|drags|dragging|tows|towing|walk(?:s|ing)?(?= (?:his|her|its|their|an?) )",
    "around": r"around|orbits?|orbiting|circling|encircl(?:es|ing)|circles(?= (?:around|an?|the|two|three)\b)",
    "towards": r"(?:towards?|up to|approach(?:es|ing)?)(?! the (?:left|right|top|bottom|camera|viewer|lens))",
}
# Paths that are no straight lines across the frame.
_ACROSS, _UPRIGHT = r"(?:left|right)(?:wards?)?", r"(?:up|down)(?:wards?)?"
CORNERS = (
    r"(?:to|towards?|into) the (?:upper|lower|top|bottom)[ -](?:left|right)"  # as ways: "flies to the upper right"
)
DIAGONAL = rf"{_UPRIGHT}(?: and |[ -])(?:to the )?{_ACROSS}|{_ACROSS} and {_UPRIGHT}"
UP_AND_DOWN = {
    r"up and down": ("up", "down"),
    r"back and forth|side to side|left and right|to and fro": ("right", "left"),
}
CIRCLES = r"in (?:a )?circles?|orbits?|orbiting|circling|encircl(?:es|ing)|circles(?= (?:around|an?|the|two|three)\b)"
CLOCKWISE, AGAINST = r"clockwise", r"(?:counter|anti)-?clockwise"
SPINNING = frozenset("rotates rotate rotating spins spin spinning turns turn turning swings swing swinging".split())
NEARER = (
    r"(?:approach(?:es|ing)?|towards?|nears?|nearing|closer to) the (?:camera|viewer|lens)"
    r"|(?:com|mov|gett?|draw)(?:es?|s|ing) (?:closer|nearer)"
    r"|approach(?:es|ing)?\b(?! (?:an?|the|two|three|his|her|its)\b)"
)
LARGER = (
    r"(?:grow|expand|swell|inflate)(?:s|ing)?(?= *(?:$|[,.;]|(?:and|while|then|in size|bigger|larger)\b))"
    r"|(?:expand|swell|inflat)ing"
    r"|(?:gets?|getting|becom(?:es?|ing)) (?:bigger|larger)"
)
SMALLER = r"shrink(?:s|ing)?|deflat(?:es?|ing)|(?:gets?|getting|grows?|growing|becom(?:es?|ing)) smaller"
FARTHER = r"reced(?:es?|ing)|into the distance|away from the (?:camera|viewer|lens)"
ENDS = r"(?:ends?|ending|stops?|stopping|lands?|landing|arriv(?:es|ing)|settl(?:es|ing)|finish(?:es|ing)?)(?: up)? "
# Into the frame and out of it; the side may be said, or is known by the direction.
_FRAME = r"(?:the )?(?:frame|view|scene|shot|picture|screen|video)"
_EDGE = r"(?:the )?(?:left|right|top|bottom|above|below)\b(?: (?:side|edge)\b)?(?! of (?:an?|two|three|his|her|its)\b)"
_OUT_BY = rf"(?:to|at|by|on|through|from|over|via) {_EDGE}"
ENTERS = (
    rf"(?:enter(?:s|ing)?|appear(?:s|ing)?|emerg(?:es?|ing)|com(?:es?|ing) in)(?: {_FRAME})? from {_EDGE}"
    rf"|(?:enter(?:s|ing)?|into) {_FRAME}\b(?: from {_EDGE})?|in from {_EDGE}"
)
LEAVES = (
    rf"(?:leav(?:es?|ing)|exit(?:s|ing)?)(?: {_FRAME})? {_OUT_BY}"
    rf"|(?:leav(?:es?|ing)|exit(?:s|ing)?|out of|off) (?:{_FRAME}|sight)\b(?: {_OUT_BY})?|off ?-?screen(?: {_OUT_BY})?"
    rf"|out {_OUT_BY}"
)
# Verbs whose "up" or "down" is no direction.
_PARTICLED = "kick pick set light wake stand get give break line dress curl warm clean slow sit lie".split()
PHRASAL = rf"\b(?:{'|'.join(_PARTICLED)})(?:s|es|ing|ting|ed)? (?:up|down)\b"
# Where one looks, nothing goes.
LOOKING = (
    r"(?:look|gaz|star|glanc|fac|point|wav|turn)(?:e?s|ing|e)?(?: (?:his|her|its|their) (?:head|face|eyes))?(?: \w+)?"
)
_EACH = r"(?:each other|one another)"
PAIRS = {
    "swap": r"(?:swap|exchange|switch|trade)(?:s|ing)?(?: \w+)? (?:places|positions|sides)",
    "pass": rf"(?:pass|cross)(?:es|ing)?(?: by)? {_EACH}|past {_EACH}|cross(?:ing)? paths|in opposite directions",
    "part": rf"away from {_EACH}|(?:mov|drift|fly|float|roll|slid|walk|runn?)(?:e?s?|ing) apart",
    "meet": rf"(?:to|towards?|into) {_EACH}|(?:meet(?:ing)?|collid(?:es?|ing))\b(?! (?:an?|the)\b)",
}
IN_A_ROW = r"in (?:a|one) (?:\w+ )?(?:row|line)|side by side|next to (?:each other|one another)|lined up"
_SIDE = r"(?:left|right|top|bottom|side|sky|ground|scene)\b"
_OBJECT = rf" (?:(?:while|as|{'|'.join(NUMBERS)})\b|(?:and )?(?:an?|the)\b(?! {_SIDE}))"
CAMERA = rf"(?:(?:(?:the|a) )?camera|(?:a )?pedestal (?:up|down))\b(?:(?!{_OBJECT})[^,.;])*"
SHOTS = (
    r"shots?|footage|video|clip|photo|photograph|painting|rendering|render|animation|time-?lapse|view|close-?\s?up|scene"
    r"|illustration|portrait|drawing|image|picture|sketch|movie|film|trailer|gif|commercial|advert|ad|sequence|cartoon|pan|tour"
    r"|loop"
)
STYLES = (
    r"cinematic|[248]k|u?hd|hdr|(?:hyper|photo)-?realis\w+|realistic|inspired|masterpiece|\w+ quality|\w+ detailed"
    r"|ultra \w+"
    r"|detailed|focus|bokeh|depth of field|(?:golden|magic) hour|lighting|resolution|\d+ ?mm|\d+ ?fps|styled?"
    r"|slow[ -]motion|time-?lapse|(?:drone|wide|aerial|tracking|static|establishing|long|low|high)[ -](?:angle|shot)"
    r"|aerial|shot|footage|render\w*|octane|unreal engine|artstation|national geographic|anime|lights?|mood|moody"
    r"|palette|tones?|colou?rs?|grain|vibes?|atmosphere|atmospheric|documentary|photography|aesthetic|blur|angle|view|epic|look"
    r"|feel|dramatic|handheld|film|filmed|noir|pixar|ghibli|animation|grading|flare|lens|vivid|camera|close-?\s?up|pov"
    r"|vlog"
)
PLACES = {
    r"(?:top|upper)[ -]left": (0.22, 0.22),
    r"(?:top|upper)[ -]right": (0.78, 0.22),
    r"(?:bottom|lower)[ -]left": (0.22, 0.78),
    r"(?:bottom|lower)[ -]right": (0.78, 0.78),
    r"top|upper(?= (?:half|third|part)\b)": (None, 0.2),
    r"bottom|lower(?= (?:half|third|part)\b)": (None, 0.8),
    r"left": (0.2, None),
    r"right": (0.8, None),
    r"cent(?:er|re)|middle": (0.5, 0.5),
}
ABOVE, BELOW = "above|overhead", "below|underneath|beneath"  # as adverbs
PLACE_PREFIX = r"(?:at|in|on|from|near|up|down|along) the (?:far )?"
PLACE_PART = "(?: (?:corner|side|edge|half|third|part))?"
PLACE_OF = " of the (?:frame|screen|scene|image|video|picture)"
PLACE_SUFFIX = rf"{PLACE_PART}(?:{PLACE_OF})?(?! of)(?! to)\b"

SIZES = {"small": 0.75, "tiny": 0.7, "little": 0.75, "large": 1.25, "big": 1.25, "huge": 1.4}
LY_ADJECTIVES = frozenset("woolly wooly curly friendly lovely lonely silly elderly ugly early lively bubbly".split())
LY_NOUNS = frozenset("butterfly dragonfly firefly fly lily family belly jelly lady bully ally assembly".split())
ED_NOUNS = frozenset("bed sled shed seed reed weed feed breed steed speed red".split())
PARTICIPLES = frozenset(
    """overtaken taken eaten seen stuck strung hung thrown held built laid set kept bent tied worn drawn driven
    ridden""".split()
)
# Where things happen: never an object of the layout.
SETTINGS = frozenset(
    """garden park street road forest woods jungle desert beach shore coast field meadow hill hillside hilltop
    mountain valley river stream lake pond ocean sea sky moon city town village plaza market playground
    room kitchen bedroom bathroom classroom library office hall lobby shop store cafe restaurant studio stage
    museum gallery factory farm farmyard barn orchard yard backyard courtyard path trail track sidewalk highway
    bridge floor ground grass lawn snow ice sand water waters waves rain wind
    festival party parade concert background horizon
    distance surface landscape countryside canyon cave shoreline riverbank tundra savanna prairie arena
    stadium court gym pool runway station airport harbor dock pier zoo aquarium slope wilderness""".split()
)
NOT_OBJECTS = frozenset(
    """background foreground frame screen scene video image side left right top bottom upper lower center centre middle
    way direction day night time distance air corner edge timelapse close-up camera viewer lens view
    east west end can it them him himself herself itself themselves they he she""".split()
)
# What a sentence may be about that shows no object.
LOOKS = frozenset(
    """sunset sunrise dawn dusk evening morning afternoon midnight noon winter summer spring autumn week month moment
    lighting color colour tone mood art animation film cinema quality hour season photography documentary movie
    clip shot style texture detail focus bokeh resolution pan tilt zoom footage render rendering ad feel look
    aesthetic palette flare sound music voice rest kind sort type lot bit one thing something anyone world space
    back front half rate second minute metre foot inch mile kilometer kilometre year blur fps sequence cut
    trailer work graphics glow gleam climax tour breeze gust energy power gravity material grade groove
    ingredient voiceover narration caption subtitle""".split()
)
STUFF = frozenset("water rain snow smoke steam dust powder sand".split())
AIR = frozenset(
    """haze light sunlight moonlight daylight lamplight torchlight candlelight firelight starlight backlight fog mist
    wind""".split()
)  # and has no place of its own
RIDDEN = frozenset(
    """bicycle bike motorcycle motorbike moped scooter tricycle unicycle skateboard longboard hoverboard surfboard
    snowboard sled sleigh toboggan horse pony donkey mule camel elephant raft boat canoe kayak tractor broom
    broomstick""".split()
)  # who is on it, and moves, rides it
LAMPS = frozenset("traffic street head tail brake signal warning christmas string fairy".split())
PAIRED = frozenset("jeans scissors trousers pants shorts glasses sunglasses goggles binoculars pliers".split())
PLURAL_PARTS = frozenset("sports arms clothes customs goods savings news".split())  # before another noun
PARTS = frozenset("wing tail paw fur horn fin trunk mane feather petal wheel sail roof brim skin".split())
UNITS = (
    r"(?:seconds?|secs?|minutes?|hours?|days?|years?|met(?:er|re)s?|feet|foot|inch(?:es)?|miles?|kilomet(?:er|re)s?"
    r"|frames?|fps|degrees?|times)"
)
# Small words of other languages.
FOREIGN = frozenset(
    """ein eine einen einem einer der die das den dem und nach von zu mit auf ist im in rechts links un une le la les
    du des et vers sur avec dans gauche droite el los las una y de del hacia con en izquierda derecha il lo gli di da
    verso sinistra destra um uma os para com esquerda een het van naar""".split()
)
LATIN = "\u024f"  # the last of its letters
# Before a noun, a part of its name: "a dining table".
ING_PARTS = frozenset("dining parking vending sewing washing swimming shopping boxing fishing charging wedding".split())
ING_NOUNS = frozenset(
    """building ring king string ceiling painting wing swing thing spring pudding earring clothing evening
    morning wedding sibling duckling lighting railing awning drawing""".split()
)


def forms(verb: str) -> set[str]:
    """'glide' -> {'glides', 'gliding', 'glided', 'glide'}; irregular pasts are listed by hand."""
    stem = verb[:-1] if verb.endswith("e") and not verb.endswith("ee") else verb
    double = verb + verb[-1] if re.fullmatch(r"[^aeiou]*[aeiou][bdgmnpt]", verb) else stem
    third = verb[:-1] + "ies" if re.search("[^aeiou]y$", verb) else verb
    third = third if third != verb else verb + ("es" if re.search("(s|sh|ch|x|z|o)$", verb) else "s")
    ing = {"lie": "lying"}.get(verb, (double if double != stem else stem) + "ing")
    return {verb, third, verb + "s", ing, double + "ed" if double != stem else stem + "ed"}


def verb_forms(verbs: list[str]) -> frozenset[str]:
    return frozenset(form for verb in verbs for form in forms(verb))


COLORS = frozenset(
    """red orange yellow green blue purple violet pink brown black white gray grey gold golden silver turquoise cyan
    magenta beige crimson scarlet teal maroon navy tan bronze copper ivory lavender olive""".split()
)
# Things and shapes that WordNet has not, or counts among what cannot be seen.
SEEN = frozenset(
    """smartphone hoverboard katana hoodie selfie drone wave plus cross square circle triangle star diamond rectangle
    pentagon hexagon oval heart ring cube sphere lightning fire flame smoke steam robot ufo spaceship guy cyborg
    snowboarder skateboarder jellyfish pickup suv minivan scooter kitten kitty doggo tv laptop
    shadow statue train teddy bolt drawing row line
    meter sign racket basketball baseball vacuum coin notebook barista ghost clownfish ramen yo-yo ferris rollercoaster
    gift present medal plant cab phoenix hippo church cabin staircase ladder barrel drawer tornado iceberg waterfall
    mask pearl toilet footprint footstep jersey cuboid dalmatian human alien martian mammoth husky teen oval mug
    painting sphere book kite arrow swing trophy newspaper television puzzle tie figure teacup skeleton portrait
    tapestry volleyball radio sticker sheet soccer coral emu sloth tentacle anchor remote paper scissors net
    stable terminal barn""".split()
)
PRONOUNS = frozenset(
    """i me you u ya he him she her it we us they them himself herself itself themselves someone something everyone
    everything nothing anything somebody anybody nobody everybody
    who what which there here its his their my your our""".split()
)
ADJECTIVES = COLORS | frozenset(
    """small tiny little large big huge tall short long thin slim slender fat young old new bright dark shiny round
    square soft hard warm cold hot fresh wild calm""".split()
)


def is_adjective(word: str) -> bool:
    """Whether a word is sure to be one: listed, or by its ending."""
    if word in ADJECTIVES:
        return True
    if re.search("(?:ful|ous|ive|less|able|ible|\\w\\wish)$", word) and not re.search("[TYBP]", wordnet.kinds(word)):
        return True
    return "a" in wordnet.kinds(word).lower() and not can_name(word)


# What their object does, it does because of the subject.
CAUSING = sorted(
    verb_forms(
        "lift raise hoist drop throw toss kick push pull roll carry drag lower launch slide serve send hit".split()
    ),
    key=len,
    reverse=True,
)
# Of those, the ones whose subject stays where it is.
SENDING = verb_forms("lift raise hoist drop throw toss kick lower launch slide serve send hit smash spike hurl".split())
RISING, FALLING = verb_forms(UP_VERBS), verb_forms(DOWN_VERBS)
MOVING = verb_forms(MOTION_VERBS) | RISING | FALLING | {"thrown"}


@cache
def moves(word: str) -> bool:
    """Whether a word is a form of a verb of motion: 'rolls', 'flew', and as it is misspelt, 'runing'."""
    return word in MOVING or infinitive(word) in _MOTIONS


_MOTIONS = frozenset(MOTION_VERBS + UP_VERBS + DOWN_VERBS)
RELATIONS["towards"] += rf"|(?:{'|'.join(sorted(MOVING))}) (?:over |up )?to(?! the {_SIDE})(?! (?:left|right)\b)"
# Verbs of motion that change no place, or that of another.
STAYING = SPINNING | verb_forms(
    "pop weave carve burst throw toss kick push pull shoot launch flutter bounce hop jump leap bound rise".split()
)
VERBS = MOVING | verb_forms(OTHER_VERBS) | {"stood", "sat", "lying"}
BASE_FORMS = frozenset(MOTION_VERBS + OTHER_VERBS + UP_VERBS + DOWN_VERBS)
COMPOUND = 45  # letters that a word of two may have


def is_english(words: list[str]) -> bool:
    """Whether a text is not plainly in another language: by its small words, and by how many words are known."""
    lower = [plain_letters(word.lower()) for word in words]
    small = NUMBERS.keys() | DETERMINERS | PREPOSITIONS | CONJUNCTIONS | ADVERBS | VERBS | ADJECTIVES
    foreign = sum((word in FOREIGN and word not in small) or max(word) > LATIN for word in lower)
    strange = sum(not known(word) for word in lower)
    return foreign <= sum(word in small for word in lower) and 2 * strange < max(len(lower), 1)


def plain_letters(word: str) -> str:
    """'café' -> 'cafe'."""
    return "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))


def is_plural(noun: str) -> bool:
    """Whether a noun is a plural: 'boxes', 'geese', 'children'; not 'bus', 'glass', 'sheep'."""
    return singular(noun) != noun


@cache
def can_name(word: str) -> bool:
    """Whether a word can be a noun: 'ball', 'rolls', 'red'; not 'overtake'."""
    return word in SEEN or not wordnet.NOUN.isdisjoint(wordnet.kinds(word) + wordnet.kinds(singular(word)))


@cache
def _second_half(word: str) -> str:
    """'sandcastle' -> 'castle', of a word that is not known and is two that are."""
    if word.endswith("ing") or len(word) > COMPOUND:
        return ""
    halves = ((word[:i], word[i:]) for i in range(3, len(word) - 3))
    return next((b for a, b in halves if not wordnet.NOUN.isdisjoint(wordnet.kinds(a)) and seen(b)), "")


@cache
def seen(noun: str) -> str:
    """What a noun names, in either number: T a thing, Y perhaps one, P a place, B what is worn or part of a body.

    Empty for what cannot be seen.
    """
    kind = wordnet.kinds(singular(noun)) or wordnet.kinds(noun)
    if singular(noun) == "shape":
        return "Y"  # "a red shape", and "its original shape"
    if {noun, singular(noun)} & SEEN:
        return "T"
    if not noun or ("A" in kind and noun == singular(noun)):
        return ""
    return next((k for k in kind if k in "TYPB"), "") if kind else seen(_second_half(noun))


@cache
def can_describe(word: str) -> bool:
    """Whether a word can be an adjective, and names nothing that can be seen: 'glossy', 'solid'."""
    return not seen(word) and (is_adjective(word) or "a" in wordnet.kinds(word).lower())


@cache
def mostly_verb(word: str) -> bool:
    """Whether a form is one of a verb that is used more often than the noun that is spelt like it."""
    return word in VERBS or "V" in wordnet.kinds(infinitive(word))


@cache
def known(word: str) -> bool:
    """Whether a word is English: 'balls', 'rain-soaked', "woman's", '747'; not 'wiht'."""
    word = plain_letters(re.sub("['’]s?$", "", word))
    if "-" in word:
        return all(known(part) for part in word.split("-") if part)
    closed = word in ADVERBS | PREPOSITIONS | DETERMINERS | CONJUNCTIONS or word in NUMBERS or word in PRONOUNS
    return bool(
        closed or word.isnumeric() or re.search(r"\d", word) or word in SEEN or is_adjective(word)
        or wordnet.kinds(word) or wordnet.kinds(singular(word)) or infinitive(word) or _second_half(word)
        or re.search("['’]", word) or any(wordnet.kinds(re.sub(f"{end}$", "", word)) for end in ("ly", "er", "est"))
    )  # fmt: skip
