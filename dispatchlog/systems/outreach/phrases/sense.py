"""The senses that single words are sorted into, in every language. Holds no word."""

from __future__ import annotations

from enum import Enum


class Sense(Enum):
    """What a word or a short group of words adds to an answer."""

    YES = "says yes, or that something suits"
    COME = "coming, attending, being there"
    ABLE = "being able, being suitable: says no beside a not"
    NOT = "a not"
    REFUSE = "a no that stands alone"
    CANT = "says by itself that somebody does not come"
    MOVE = "changing or postponing"
    CANCEL = "ending an appointment, or messages where these are named"
    ELSE = "another, later, earlier"
    BETTER = "better, rather, instead"
    FREE = "asks for free times"
    NEXT = "next week and the like"
    WHEN = "a day or a time of the day"
    VISIT = "the appointment, its time or its date"
    REASON = "keeps somebody from coming: work, travel, illness"
    UNSUBSCRIBE = "ends messages by itself"
    CEASE = "stopping, removing, having enough: ends messages where these are named"
    MESSAGE = "messages, numbers, lists"
    SEND = "sending, writing, contacting, bothering"
    RECEIVE = "receiving"
    ARRIVED = "said of what was sent or has come: no wish about the future"
    WANT = "wanting, needing, agreeing"
    BEGIN = "beginning messages, or having them again"
    WHO = "asks who it is"
    SENDER = "you, this, this number: what a who is about"
    HELP = "help"
    REACH = "calling, speaking to, a telephone number"
    ASK = "asks"
    DOUBT = "takes a yes back"
    CARE = "symptoms, treatment and what a visit needs: for a person"
    FILLER = "adds nothing"
