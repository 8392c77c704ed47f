"""Names of containers: the grammar, and words to make one up."""

from __future__ import annotations

import random
import re

from sampan.errors import InvalidParameter

_GRAMMAR = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ADJECTIVES = _words(
    """
    able airy amber ample ardent azure balmy bold brave breezy bright brisk calm candid cheery
    clear clever coastal cosy crisp curious daring dapper deft dewy dreamy eager early earnest
    easy elder fair fearless festive fleet fluent fond fresh frosty gallant gentle giddy gilded
    glad gleaming golden grand hardy hasty hearty humble jaunty jolly keen kind lasting lean
    level light limber lively lofty loyal lucid lucky lunar mellow merry mighty mild misty
    modest nimble noble northern patient placid plucky polite proud quick quiet rapid ready
    regal ripe robust rosy rustic salty seaworthy sedate serene sharp shining silver sleek
    smooth snug solar spirited spry stately steady stellar sturdy subtle sunny supple swift
    tidal tidy tranquil trim trusty upbeat valiant velvet vivid warm wise witty zesty
    """
)
NOUNS = _words(
    """
    anchor albatross anchovy atoll barge barnacle bay beacon bosun bowsprit breaker breeze brig
    buoy canal canoe captain caravel catamaran channel clam clipper coaster cockle cod compass
    coral cormorant cove crab current cutter deckhand delta dinghy dolphin dory downwind
    driftwood dugong eddy estuary felucca ferry fjord flotilla fluke foghorn freighter frigate
    galley gangway gannet grebe grouper gull gunwale halyard harbour harpoon haven helm heron
    herring hull jetty jib junk kayak keel kelp kestrel ketch lagoon lantern lateen lighthouse
    limpet longboat lugger mackerel marina mariner mast mizzen mooring narwhal nautilus oar
    ocean oyster paddle pelican penguin periwinkle petrel pier pilot plaice plankton porpoise
    port prawn prow puffin pufferfish raft reef regatta rigging rudder sail sailor salmon
    sandbar schooner scow seahorse seal sextant shoal skiff skipper sloop spinnaker squid
    starboard stern strait surf swell tern thwart tide tiller trawler trident tugboat turbot
    turtle urchin vessel voyage walrus wave whale wharf wherry yawl
    """
)


def check_name(name: str) -> str:
    """The name without a leading slash. Raises InvalidParameter."""
    bare = name.removeprefix("/")
    if not _GRAMMAR.fullmatch(bare) or len(bare) > 255:
        raise InvalidParameter(
            f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )
    return bare


def generate(attempt: int = 0) -> str:
    """adjective_noun; with a digit after the first few attempts, since names run out."""
    name = f"{random.choice(ADJECTIVES)}_{random.choice(NOUNS)}"
    return name if attempt < 3 else f"{name}{random.randrange(10 ** (attempt - 2))}"
