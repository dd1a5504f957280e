"""Which glyphs make a set, and what the unseen styles call them.

names.tsv lists every glyph that all seen styles draw under one name, variants of skin tone aside. `left_out` says why
it is no class of `everything_else`:

    plant          a fruit, vegetable, flower, tree or leaf: the target's kind
    plants_around  something else, but drawn with plants
    mirrored       another glyph's mirror image: pictures are mirrored
    clock          a time of day: hands are turned with the picture
    text           letters, digits and signs that must be read
    bare_shape     a disc, square or bar, as strewn over the grounds
    same_person    the same figure in another sex
    alike          nearer to another glyph than 0.075 in the mean of the seen styles (root mean square of 16 x 16 pixels
                   in [0, 1], the better of both hands), or the same drawing in one of them, or told from it by a trifle
    two_things     styles mean different things by the name
"""

import csv
from pathlib import Path
from typing import NamedTuple


class GlyphSet(NamedTuple):
    """A subject: the emoji that are its classes, and how many pictures of each are made unless told otherwise."""

    images_per_class: int
    classes: tuple[str, ...]


class Name(NamedTuple):
    """A row of names.tsv.

    Attributes:
        unseen: by unseen style, its name for the glyph; a style that has no such drawing is missing.
        left_out: why the glyph is no class of `everything_else`; "" if it is one.
    """

    unseen: dict[str, str]
    left_out: str


def _read_names() -> dict[str, Name]:
    with Path(__file__).with_name("names.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    names = {}
    for row in rows:
        glyph, left_out = row.pop("glyph"), row.pop("left_out")
        unseen = {style: icon for style, icon in row.items() if icon != "-"}
        names[glyph] = Name(unseen, "" if left_out == "-" else left_out)
    return names


NAMES = _read_names()

# Another set: a row here, its name in Options.subject of the origin.
SETS = {
    "animals": GlyphSet(1000, tuple("dog cat mouse rabbit tiger cow pig monkey horse fish".split())),
    "plants": GlyphSet(
        500,
        (
            *"cactus palm-tree christmas-tree seedling four-leaf-clover maple-leaf".split(),
            *"tulip rose hibiscus sunflower blossom".split(),
            *"grapes strawberry cherries pear peach tomato watermelon lemon tangerine".split(),
        ),
    ),
    "faces": GlyphSet(
        500,
        (
            *"astonished-face cowboy-hat-face crying-face face-blowing-a-kiss face-screaming-in-fear".split(),
            *"face-with-medical-mask face-with-tears-of-joy flushed-face grimacing-face grinning-face".split(),
            *"loudly-crying-face nerd-face sleeping-face smiling-face-with-halo smiling-face-with-heart-eyes".split(),
            *"smiling-face-with-horns smiling-face-with-sunglasses thinking-face winking-face-with-tongue".split(),
            "zipper-mouth-face",
        ),
    ),
    "vehicles": GlyphSet(
        500,
        (
            *"aerial-tramway airplane ambulance articulated-lorry automobile bicycle bus delivery-truck".split(),
            *"fire-engine helicopter locomotive minibus motorcycle police-car rocket sailboat ship".split(),
            *"speedboat taxi tractor".split(),
        ),
    ),
    "food": GlyphSet(
        500,
        (
            *"beer-mug bread candy chocolate-bar cooked-rice cookie cooking custard doughnut french-fries".split(),
            *"fried-shrimp hamburger honey-pot meat-on-bone pizza poultry-leg rice-ball soft-ice-cream".split(),
            *"spaghetti sushi".split(),
        ),
    ),
    "tools": GlyphSet(
        500,
        (
            *"battery electric-plug fishing-pole flashlight fork-and-knife hammer key kitchen-knife".split(),
            *"light-bulb magnifying-glass-tilted-left microscope nut-and-bolt paperclip pencil scissors".split(),
            *"straight-ruler syringe telescope thermometer wrench".split(),
        ),
    ),
    "everything_else": GlyphSet(30, tuple(sorted(glyph for glyph, name in NAMES.items() if not name.left_out))),
}
