"""A pytest plugin with which every Passgate has a host's own factor: `pytest -p tests.library.with_codeword`.

It holds everything that tests have to know about the factor, and every matrix then includes it. Not here: tests.
"""

from __future__ import annotations

from pathlib import Path

from passgate.core import enrolment, starts
from tests import kit
from tests.architecture.population import Ask, Population
from tests.browser.person import Person
from tests.catalogue import factors
from tests.catalogue.asks import mine, proof
from tests.catalogue.own import Own
from tests.core.behind import Folk
from tests.core.having import policy
from tests.library.codeword import CODEWORD
from tests.web.browsing import rule

WORD, OTHER, WRONG = "umbrella", "sunshade", "parasol"
RULES = {"first": ["password", "codeword"]}

kit.OWN_PLUGINS.append("tests.library.with_codeword")
kit.OWN_FACTORS.append(CODEWORD)
kit.OWN_SETTINGS["look"] = {"templates": Path(__file__).parent / "templates"}


async def adds(population: Population) -> Ask:
    return mine(population, "/me/codeword/prove", {"answer": WORD})


async def removes(population: Population) -> Ask:
    await population.done("POST", "/me/codeword/prove", {"answer": WORD}, population.anna.token)
    return mine(population, "/me/codeword")


async def gives(population: Population) -> Ask:
    """A proof of Anna's codeword; Cara's codeword is the answer of another person."""
    await population.rules(**RULES)
    for who, word in ((population.anna, WORD), (population.cara, OTHER)):
        await population.done("POST", "/me/codeword/prove", {"answer": word}, who.token)
    return proof(await population.begun(population.anna), "codeword", WORD, OTHER)


async def asked(folk: Folk) -> factors.Asked:
    await policy(folk.the, **RULES)
    actor = await folk.create()
    await enrolment.prove(folk.acting(actor), "codeword", WORD)
    started = await starts.sign_in(folk.ctx, await folk.email(actor), None)

    async def answer() -> str:
        return WORD

    return started.handle, answer


async def way(anna: Person) -> None:
    await rule(anna.face, **RULES)
    await anna.open("/signin")
    await anna.send("/signin", email=anna.email)
    await anna.open("/signin/codeword")


factors.TYPED.append(
    factors.Typed("codeword", gives, asked, way, WRONG, "anonymous_visitor", own=Own(WORD, adds, removes))
)
