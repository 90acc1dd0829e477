"""The templates that everybody begins with, and making sure that they are there. Owns none once it is written.

Text messages say nothing about health, not even by a variable; an e-mail may name the medicine or the test.
"""

from __future__ import annotations

from collections.abc import Iterator

from dispatchlog.engine.database import execute, transaction
from dispatchlog.systems.outreach import reply_texts, templates
from dispatchlog.systems.outreach.inputs import Asker
from dispatchlog.systems.outreach.local_words import LANGUAGES
from dispatchlog.systems.outreach.standard_words import SENTENCES, Sentences
from dispatchlog.systems.outreach.states import PURPOSE_WORDS, Channel, Purpose
from dispatchlog.systems.outreach.template_values import TemplateInput, Variable

_ASKER = Asker("standard texts")
_AT = Variable("starts_at", kind="datetime", example="2026-03-03T10:30:00+00:00")
_PLACE = Variable("place", required=False, example="12 Main Street")
_MEDICINE = Variable("medicine", is_phi=True, required=False, example="Examplin")
_TEST = Variable("test_name", is_phi=True, required=False, example="blood count")
_MESSAGE = Variable("message", example="Five tips for better sleep")
_MORE = Variable("more", kind="url", required=False, example="https://example.org/sleep")
_VARIABLES = {
    Purpose.APPT_CONFIRM: (_AT, _PLACE),
    Purpose.APPT_REMINDER: (_AT, _PLACE),
    Purpose.NO_SHOW: (_AT,),
    Purpose.RX_REFILL: (_MEDICINE,),
    Purpose.LAB_READY: (_TEST,),
    Purpose.CAMPAIGN_EDUCATION: (_MESSAGE, _MORE),
    Purpose.URGENT: (),
}
_ASKING = (Purpose.APPT_CONFIRM, Purpose.APPT_REMINDER)
_SLOTS = {"name": "{{ patient_first_name }}", "at": "{{ starts_at }}", "message": "{{ message }}"}
_PHONE = "{{ organization_phone }}"


def standard_templates() -> Iterator[TemplateInput]:
    """Each purpose by each channel, in every language that has its sentences."""
    for language, words in SENTENCES.items():
        for purpose in Purpose:
            if str(purpose) in words.sentences:
                for channel in Channel:
                    yield _template(purpose, channel, language, words)


def ensure_standard_templates() -> int:
    """Write those whose place has no template yet, of whatever name or state; how many. Doing it again changes nothing."""
    with transaction(_ASKER.actor):
        # Two that begin together would both write them.
        execute("SELECT pg_advisory_xact_lock(hashtextextended('standard templates', 0))")
        missing = [wanted for wanted in standard_templates() if not _is_taken(wanted)]
        for wanted in missing:
            templates.create(wanted, asker=_ASKER)
    return len(missing)


def _is_taken(wanted: TemplateInput) -> bool:
    found = execute(
        "SELECT 1 FROM comm_templates WHERE purpose = %s AND channel = %s AND language = %s"
        " AND organization_id IS NULL AND provider_id IS NULL AND name <> %s LIMIT 1",
        (str(wanted.purpose), str(wanted.channel), wanted.language, reply_texts.NAME),
    )
    return found.fetchone() is not None


def _template(purpose: Purpose, channel: Channel, language: str, words: Sentences) -> TemplateInput:
    is_email = channel is Channel.EMAIL
    body = _email(purpose, words) if is_email else _text(purpose, channel, words)
    return TemplateInput(
        name=f"{PURPOSE_WORDS[purpose].capitalize()}, {LANGUAGES[language].name}",
        purpose=purpose,
        channel=channel,
        language=language,
        subject=words.subjects[purpose] if is_email else None,
        body=body,
        variables=tuple(each for each in _VARIABLES[purpose] if f"{{{{ {each.name} " in body),
        note="as delivered",
    )


def _email(purpose: Purpose, words: Sentences) -> str:
    facts = {
        Purpose.RX_REFILL: [f"{words.medicine} {{{{ medicine }}}}"],
        Purpose.LAB_READY: [f"{words.test} {{{{ test_name }}}}"],
        Purpose.CAMPAIGN_EDUCATION: ["{{ more }}"],
    }.get(purpose, [])
    if purpose in _ASKING:
        facts = [f"{words.provider} {{{{ provider_name }}}}", f"{words.place} {{{{ place }}}}", "", words.cannot_come]
    lines = [
        words.hello.format(**_SLOTS),
        "",
        _sentence(words.sentences[purpose]),
        *facts,
        "",
        f"{words.questions} {_PHONE}",
        "{{ organization_name }}",
    ]
    return "\n".join(lines)


def _text(purpose: Purpose, channel: Channel, words: Sentences) -> str:
    said = _sentence(words.short[purpose])
    # In front of an SMS its sender is put, and behind it how to opt out.
    lines = [] if channel is Channel.SMS else ["{{ organization_name }}", words.hello.format(**_SLOTS)]
    lines.append(said)
    if purpose is Purpose.CAMPAIGN_EDUCATION:
        lines.append("{{ more }}")
    elif purpose in _ASKING:
        lines.append(words.answer)
    else:
        lines.append(_PHONE)
    return "\n".join(lines)


def _sentence(words: str) -> str:
    filled = words.format(**_SLOTS)
    return filled[:1].upper() + filled[1:]
