"""Days, hours and the few standing sentences of messages, in the languages of patients. Pure functions and data.

A language that is not here has its dates in figures and its sentences in English.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, time


@dataclass(frozen=True, slots=True)
class Words:
    """A language's names and forms. `date` and `moment` are forms: {weekday} {day} {month} {year}, {date} {time}."""

    name: str
    months: tuple[str, ...]
    weekdays: tuple[str, ...]
    date: str
    dated_day: str
    moment: str
    generic: str
    subject: str
    hint: str
    right_to_left: bool = False


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(", "))


LANGUAGES: dict[str, Words] = {
    "en": Words(
        "English",
        _names("January, February, March, April, May, June, July, August, September, October, November, December"),
        _names("Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday"),
        "{day} {month} {year}",
        "{weekday} {day} {month}",
        "{date} at {time}",
        "You have a new message. Read it here:",
        "A message for you",
        "Reply STOP to opt out.",
    ),
    "es": Words(
        "Spanish",
        _names("enero, febrero, marzo, abril, mayo, junio, julio, agosto, septiembre, octubre, noviembre, diciembre"),
        _names("lunes, martes, miércoles, jueves, viernes, sábado, domingo"),
        "{day} de {month} de {year}",
        "{weekday} {day} de {month}",
        "{date} a las {time}",
        "Tiene un mensaje nuevo. Para leerlo:",
        "Un mensaje para usted",
        "STOP para darse de baja.",
    ),
    "fr": Words(
        "French",
        _names("janvier, février, mars, avril, mai, juin, juillet, août, septembre, octobre, novembre, décembre"),
        _names("lundi, mardi, mercredi, jeudi, vendredi, samedi, dimanche"),
        "{day} {month} {year}",
        "{weekday} {day} {month}",
        "{date} à {time}",
        "Vous avez un nouveau message. Pour le lire :",
        "Un message pour vous",
        "STOP pour ne plus en recevoir.",
    ),
    "ar": Words(
        "Arabic",
        _names("يناير, فبراير, مارس, أبريل, مايو, يونيو, يوليو, أغسطس, سبتمبر, أكتوبر, نوفمبر, ديسمبر"),
        _names("الاثنين, الثلاثاء, الأربعاء, الخميس, الجمعة, السبت, الأحد"),
        "{day} {month} {year}",
        "{weekday} {day} {month}",
        "{date} الساعة {time}",
        "لديك رسالة جديدة. اقرأها هنا:",
        "رسالة لك",
        "للإيقاف أرسل STOP",
        right_to_left=True,
    ),
    "pt": Words(
        "Portuguese",
        _names("janeiro, fevereiro, março, abril, maio, junho, julho, agosto, setembro, outubro, novembro, dezembro"),
        _names("segunda-feira, terça-feira, quarta-feira, quinta-feira, sexta-feira, sábado, domingo"),
        "{day} de {month} de {year}",
        "{weekday}, {day} de {month}",
        "{date} às {time}",
        "Chegou uma mensagem nova. Leia em:",
        "Uma mensagem para você",
        "STOP para sair.",
    ),
    "hi": Words(
        "Hindi",
        _names("जनवरी, फ़रवरी, मार्च, अप्रैल, मई, जून, जुलाई, अगस्त, सितंबर, अक्टूबर, नवंबर, दिसंबर"),
        _names("सोमवार, मंगलवार, बुधवार, गुरुवार, शुक्रवार, शनिवार, रविवार"),
        "{day} {month} {year}",
        "{weekday} {day} {month}",
        "{date}, {time} बजे",
        "आपके लिए नया संदेश है। यहाँ पढ़ें:",
        "आपके लिए एक संदेश",
        "बंद करने के लिए STOP लिखें।",
    ),
    "yo": Words(
        "Yoruba",
        _names("Ṣẹ́rẹ́, Èrèlè, Ẹrẹ̀nà, Ìgbé, Ẹ̀bibi, Òkúdu, Agẹmọ, Ògún, Owewe, Ọ̀wàrà, Bélú, Ọ̀pẹ̀"),
        _names("Ọjọ́ Ajé, Ọjọ́ Ìṣẹ́gun, Ọjọ́rú, Ọjọ́bọ̀, Ọjọ́ Ẹtì, Ọjọ́ Àbámẹ́ta, Ọjọ́ Àìkú"),
        "{day} {month} {year}",
        "{weekday} {day} {month}",
        "{date}, aago {time}",
        "Ẹ ní iṣẹ́ tuntun. Ẹ kà á níbí:",
        "Iṣẹ́ kan fún yín",
        "Fi STOP dáwọ́ dúró.",
    ),
}

# Only there the month comes before the day and the clock has twelve hours.
_AMERICAN = ("en", "en-US")


def words_of(language: str) -> Words:
    """The words of a language or of its main one; English where there are none."""
    return LANGUAGES.get(language.partition("-")[0].lower(), LANGUAGES["en"])


def is_known(language: str) -> bool:
    """Whether there are words for the language."""
    return language.partition("-")[0].lower() in LANGUAGES


def day_words(day: date, language: str) -> str:
    """Such as "Tuesday 3 March"; without the year, for what is near."""
    if not is_known(language):
        return day.isoformat()
    words = words_of(language)
    weekday, month = words.weekdays[day.weekday()], words.months[day.month - 1]
    if language in _AMERICAN:
        return f"{weekday}, {month} {day.day}"
    return words.dated_day.format(weekday=weekday, day=day.day, month=month)


def date_words(day: date, language: str) -> str:
    """Such as "3 March 2026"."""
    if not is_known(language):
        return day.isoformat()
    words = words_of(language)
    month = words.months[day.month - 1]
    if language in _AMERICAN:
        return f"{month} {day.day}, {day.year}"
    return words.date.format(day=day.day, month=month, year=day.year)


def time_words(at: time, language: str) -> str:
    """Such as "10:30", or "10:30 AM" where that is usual."""
    if language in _AMERICAN:
        return f"{at.hour % 12 or 12}:{at.minute:02} {'AM' if at.hour < 12 else 'PM'}"
    return f"{at.hour:02}:{at.minute:02}"


def moment_words(day: date, at: time, language: str) -> str:
    """Such as "Tuesday 3 March at 10:30"."""
    form = words_of(language).moment if is_known(language) else "{date} {time}"
    return form.format(date=day_words(day, language), time=time_words(at, language))


def opt_out_hint(language: str) -> str:
    """How a patient ends text messages, in one short sentence."""
    return words_of(language).hint


def generic_text(language: str) -> str:
    """What stands before a link in place of a text that must not be shown."""
    return words_of(language).generic


def generic_subject(language: str) -> str:
    """What stands in place of a subject that must not be shown."""
    return words_of(language).subject
