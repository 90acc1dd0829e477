"""What short answers mean, in seven languages: what is certain is acted on, and everything else goes to a person."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatchlog.systems.outreach.menus import menu_of
from dispatchlog.systems.outreach.phrases import LANGUAGES
from dispatchlog.systems.outreach.reply_parser import PERHAPS_STOP, SURE, read_reply
from dispatchlog.systems.outreach.states import Intent
from dispatchlog.systems.outreach.vocabulary import vocabularies

HERE = Path(__file__).parent
# Measured at first sight of answers that somebody wrote who had not seen the rules: 0.884, and the goal of 0.95 is missed.
# Most of what is missing goes to a person. A bare yes where nothing was asked, which is the carriers' word for START,
# counts there as a mistake. It must not get worse.
LEAST_ON_HELD_BACK = 0.87


def cases(name: str) -> list[tuple[str, str, Intent, str]]:
    """Language, what was asked, what it should come to, and the answer."""
    found = []
    for line in (HERE / name).read_text().splitlines():
        if line and not line.startswith("#"):
            language, asked, intent, text = (part.strip() for part in line.split(" | ", 3))
            found.append((language, "" if asked == "-" else asked, Intent(intent), text))
    return found


def outcome(text: str, asks: str) -> Intent:
    """What is done: what is not certain goes to a person."""
    reading = read_reply(text, asks=asks)
    return reading.intent if reading.confidence >= SURE else Intent.OTHER


def macro_f1(pairs: list[tuple[Intent, Intent]]) -> float:
    """The mean over the intents of their F1, from what was meant and what was read."""
    right = Counter(meant for meant, read in pairs if meant is read)
    meant, read = Counter(meant for meant, _ in pairs), Counter(read for _, read in pairs)
    return sum(2 * right[intent] / (meant[intent] + read[intent]) for intent in Intent) / len(Intent)


def test_what_the_rules_were_built_on_is_read_as_it_was() -> None:
    pairs = [(intent, outcome(text, asks)) for _, asks, intent, text in cases("phrases_train.txt")]
    assert macro_f1(pairs) >= 0.99


def test_answers_that_nobody_had_in_mind_are_mostly_read() -> None:
    held_back = cases("phrases_held_back.txt")
    assert {language for language, *_ in held_back} == {language.code for language in LANGUAGES}
    assert {intent for _, _, intent, _ in held_back} == set(Intent)
    assert macro_f1([(intent, outcome(text, asks)) for _, asks, intent, text in held_back]) >= LEAST_ON_HELD_BACK


def test_no_opt_out_is_taken_for_something_else_and_nothing_but_a_yes_confirms() -> None:
    read = [(text, intent, outcome(text, asks)) for _, asks, intent, text in cases("phrases_held_back.txt")]
    opt_outs = [(text, found) for text, intent, found in read if intent is Intent.STOP]
    assert [each for each in opt_outs if each[1] not in (Intent.STOP, Intent.OTHER)] == []
    assert len([text for text, found in opt_outs if found is Intent.OTHER]) <= 2
    assert [text for text, intent, found in read if found is Intent.CONFIRM is not intent] == []


def test_what_is_not_read_goes_to_a_person_and_is_never_taken_for_something_else() -> None:
    wrong = [
        (text, intent, read)
        for _, asks, intent, text in cases("phrases_train.txt")
        if (read := outcome(text, asks)) not in (intent, Intent.OTHER)
    ]
    assert wrong == []


def test_no_question_about_care_is_an_answer() -> None:
    others = [(text, asks) for _, asks, intent, text in cases("phrases_held_back.txt") if intent is Intent.OTHER]
    assert [text for text, asks in others if outcome(text, asks) in (Intent.CONFIRM, Intent.STOP)] == []


@pytest.mark.parametrize("word", ["STOP", "STOPALL", "UNSUBSCRIBE", "END", "QUIT", "REVOKE", "OPTOUT", "Opt-out"])
@pytest.mark.parametrize("asks", ["", "confirmation"])
@pytest.mark.parametrize("frame", ["{}", " {}. ", "{} please", "{}!!!", "ok {}", "“{}”"])
def test_a_plain_opt_out_is_a_stop_whatever_was_asked(word: str, asks: str, frame: str) -> None:
    assert outcome(frame.format(word), asks) is Intent.STOP


def test_cancel_is_about_the_appointment_that_is_asked_about_and_else_about_messages() -> None:
    assert outcome("CANCEL", "confirmation") is Intent.RESCHEDULE
    assert outcome("cancel", "") is Intent.STOP
    assert outcome("cancel these texts", "confirmation") is Intent.STOP


def test_yes_is_an_answer_where_something_is_asked_and_else_an_opt_in() -> None:
    assert outcome("Yes", "confirmation") is Intent.CONFIRM
    assert outcome("Yes", "") is Intent.START
    assert outcome("ok", "") is Intent.OTHER


def test_the_providers_word_is_law_but_yes_stays_an_answer() -> None:
    assert read_reply("CANCEL", asks="confirmation", provider_opt_out="STOP").intent is Intent.STOP
    assert read_reply("YES", asks="confirmation", provider_opt_out="START").intent is Intent.CONFIRM
    assert read_reply("UNSTOP", provider_opt_out="START").intent is Intent.START


@pytest.mark.parametrize(
    ("offered", "menu"),
    [
        ("", {"1": Intent.CONFIRM, "2": Intent.RESCHEDULE}),
        (
            "Reply 1 to confirm, 2 to reschedule, 3 to stop",
            {"1": Intent.CONFIRM, "2": Intent.RESCHEDULE, "3": Intent.STOP},
        ),
        ("Tomorrow at 10:30. 1 to reschedule, 2 to confirm", {"1": Intent.RESCHEDULE, "2": Intent.CONFIRM}),
        ("Reply YES or 1 to confirm, 2 or STOP to opt out", {"1": Intent.CONFIRM, "2": Intent.STOP}),
        ("1 to confirm, 1 to stop", {"2": Intent.RESCHEDULE}),
    ],
)
def test_a_number_means_what_the_text_says(offered: str, menu: dict[str, Intent]) -> None:
    assert menu_of(offered) == menu


@pytest.mark.parametrize("digit", ["1", "\u0661", "\u0967", "\uff11", "1\ufe0f\u20e3"])
def test_digits_of_every_script_are_digits(digit: str) -> None:
    assert outcome(digit, "confirmation") is Intent.CONFIRM
    assert outcome(digit, "") is Intent.OTHER


def test_what_may_be_an_opt_out_says_so() -> None:
    assert PERHAPS_STOP in read_reply("stop the bleeding", asks="confirmation").because


@pytest.mark.parametrize("language", [language.code for language in LANGUAGES])
def test_no_plain_opt_out_is_taken_for_anything_else(language: str) -> None:
    words = next(each for each in vocabularies("") if each.code == language)
    for asks in ("", "confirmation"):
        assert [each for each in words.stop if outcome(each, asks) is not Intent.STOP] == []
        assert [each for each in words.stop if outcome(f"{each}!!", asks) is not Intent.STOP] == []


@pytest.mark.parametrize(
    "text",
    [
        "the pain won't stop",
        "when do you stop serving?",
        "should I stop my tablets",
        "don't stop the messages",
        "remove my stitches",
        "I did not receive your message",
        "no paro de vomitar",
        "ça n'arrête pas de saigner",
        "quand retirer les fils",
        "a tosse não para",
        "não parem de mandar mensagens",
        "متى أوقف الدواء",
        "لا توقفوا الرسائل",
        "खून बंद नहीं हो रहा",
        "message band mat karo",
        "eje ko da duro",
    ],
)
@pytest.mark.parametrize("asks", ["", "confirmation"])
def test_what_is_said_of_care_or_for_messages_is_not_an_opt_out(text: str, asks: str) -> None:
    assert outcome(text, asks) is Intent.OTHER


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("Tuesday would suit me better", Intent.RESCHEDULE),
        ("my car broke down", Intent.RESCHEDULE),
        ("ese día trabajo", Intent.RESCHEDULE),
        ("ma ba2dar eji bokra", Intent.RESCHEDULE),
        ("I wouldn't miss it", Intent.CONFIRM),
        ("absolutley, attendng", Intent.CONFIRM),
        ("mai time se pahuch jaunga", Intent.CONFIRM),
        ("Mo jẹ́rìí sí i pé màá wá", Intent.CONFIRM),
        ("yes but my stomach hurts", Intent.OTHER),
        ("will the doctor be there", Intent.OTHER),
        ("voy a llegar 10 minutos tarde", Intent.OTHER),
    ],
)
def test_sentences_are_read_by_the_senses_of_their_words(text: str, intent: Intent) -> None:
    assert outcome(text, "confirmation") is intent


@pytest.mark.parametrize("unit", ["a", "no ", "stop the ", "don't want to ", "do you have anything ", "मत ", "wọn "])
def test_no_answer_takes_longer_than_its_length_allows(unit: str) -> None:
    """A pattern that tries every way to divide a long answer would not end; the processor's time has ample room."""
    started = process_time()
    for asks in ("", "confirmation"):
        read_reply((unit * 1600)[:1600], asks=asks)
    assert process_time() - started < 5


def test_a_long_letter_is_for_a_person() -> None:
    assert outcome("yes " + "and then I went home and " * 40, "confirmation") is Intent.OTHER


@given(st.text(max_size=300), st.sampled_from(["", "confirmation"]), st.text(max_size=200))
def test_any_text_is_read_and_nothing_certain_is_said_of_other(text: str, asks: str, offered: str) -> None:
    reading = read_reply(text, asks=asks, offered=offered)
    assert 0 <= reading.confidence <= 1
    assert reading.because
    assert asks or reading.intent is not Intent.CONFIRM


@pytest.mark.parametrize(
    "text",
    [
        "do not resubscribe me",
        "If you text me again I will call the police",
        "Please dont start sending me messages again",
        "I did not opt in",
        "You put me back on after I said stop",
        "do not resume messages",
        "no quiero volver a recibir mensajes",
        "no reanudar mensajes",
        "não quero voltar a receber mensagens",
    ],
)
def test_a_denied_or_told_start_lifts_no_stop(text: str) -> None:
    assert outcome(text, "") in (Intent.STOP, Intent.OTHER)


def test_a_laugh_and_an_illness_that_comes_confirm_nothing() -> None:
    for text in ("kkkkkk", "im coming down with a fever"):
        assert outcome(text, "confirmation") is Intent.OTHER
