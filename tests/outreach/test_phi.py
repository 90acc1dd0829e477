"""The corpus of what says something about health, and of what does not, against the filter and what leaves."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from dispatchlog.systems.outreach import phi
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.rendering import PORTAL_MARK, render
from dispatchlog.systems.outreach.states import Channel, Purpose
from dispatchlog.systems.outreach.template_checks import checked
from dispatchlog.systems.outreach.templates import Template, TemplateInput, Variable

LINES = (Path(__file__).parent / "phi_corpus.txt").read_text().splitlines()
WITHHELD = [line[2:] for line in LINES if line.startswith("- ")]
HARMLESS = [line[2:] for line in LINES if line.startswith("+ ")]
TEMPLATE = Template(
    id=UUID(int=1),
    name="Sample",
    purpose=Purpose.URGENT,
    channel=Channel.SMS,
    language="en",
    subject=None,
    body="{{ said }}",
    variables=(Variable("said"),),
    variants=(),
    provider_template={},
    is_marketing=False,
    family="",
    organization_id=None,
    provider_id=None,
    is_active=True,
    version=1,
)


def leaves(text: str) -> str:
    return render(
        TEMPLATE, {"said": text}, standing={"organization_name": "Sample Clinic"}, zone="UTC", bucket="p"
    ).body


def test_the_corpus_is_large_enough() -> None:
    assert len(set(WITHHELD)) >= 150
    assert len(set(HARMLESS)) >= 100


@pytest.mark.parametrize("text", WITHHELD)
def test_it_is_withheld(text: str) -> None:
    for written in (
        text,
        text.upper(),
        f"Jo: {text}, please.",
        text.replace("e", "e\u200b"),
        text.replace(" ", "\u00a0 "),
    ):
        body = leaves(written)
        assert PORTAL_MARK in body, written
        assert text not in body


@pytest.mark.parametrize("text", WITHHELD)
def test_no_template_says_it_to_everybody(text: str) -> None:
    wanted = TemplateInput("Sample", Purpose.URGENT, Channel.WHATSAPP, "en", None, text)
    with pytest.raises(OutreachError) as error:
        checked(wanted)
    assert (error.value.code, error.value.field) == ("PHI_IN_TEXT", "body")


@pytest.mark.parametrize("text", HARMLESS)
def test_it_passes(text: str) -> None:
    assert phi.findings(text) == ()
    assert text in leaves(text)


def test_each_code_has_words() -> None:
    codes = {code for text in WITHHELD for code in phi.findings(text, secrets=["zzqx"])} | set(
        phi.findings("zzqx", secrets=["zzqx"])
    )
    assert codes == set(phi.FINDING_WORDS)
