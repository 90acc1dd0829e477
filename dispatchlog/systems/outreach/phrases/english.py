"""English answers."""

from __future__ import annotations

from dispatchlog.systems.outreach.phrases.language import Language

LANGUAGE = Language(
    code="en",
    yes_words="yes, yep, yeah, yup, yea, y, ya, yah, yas, yes sir, yes maam, yes yes",
    confirm_words="""
    ok, okay, okey, okie, k, kk, sure, sure thing, of course, absolutely, definitely, certainly, confirm, confirmed, confirming,
    confirmation, confirm appointment, confirm my appointment, c, i confirm, i confirm my appointment, agreed, alright, all right,
    sounds good, sounds great, looks good, works, works for me, that works, that works for me, that is fine, thats fine,
    fine, fine with me, fine by me, good, all good, im good, great, perfect, cool, awesome, will do, roger, got it, deal,
    accept, accepted, i accept, affirmative, coming, im coming, i am coming, we are coming, were coming,
    i will come, ill come, we will come, well come, i will attend, ill attend, attending, i can make it, i can come,
    i will be there, ill be there, we will be there, well be there, be there, will be there, i shall be there,
    see you, see you then, see you there, see you soon, see you tomorrow, see ya, see u, see u then, c u then, cu,
    still coming, still on, still good, we are on, count me in, you can count on me, please confirm, pls confirm, confrim,
    all set, im set, conferm, confirmd, comfirm, comfirmed, confimed, consider it confirmed, showing up, ill show up, i will show up, planning on it, on my way, you bet, yessir, okey dokey, okie dokie, ten four, no change needed, im in, we got it, that is correct, correct, right, see u soon, be right there, you got it, good to go, ready, all good here, it works
    """,
    confirm_patterns="""
    (?:i|we) (?:can |do |hereby |will )?confirm (?:my|our|the|this|it|for)
    (?:i will|ill|we will|well|i shall|will|i can|im going to|i am going to) (?:definitely |certainly |surely |gladly )?(?:be there(?! in spirit)|attend|make it|come in|come)
    (?:i am|im|we are|were) (?:definitely |still )?(?:coming(?! (?:down|to|up|out|off|back))|attending|planning to be there)
    (?:yes|ok|okay|sure|great|perfect|absolutely) (?:\\w+ ){0,2}see (?:you|u|ya)
    see (?:you|u|ya) (?:then|there|tomorrow|soon|on(?! the (?:news|tv))|at)

    (?:i will|ill|we will|well|im gonna|i am gonna|im going to) (?:show up|be coming|be there|be in|attend)
    (?:that|the|this) (?:time|day|date|appointment|slot) (?:is|works|sounds) (?:fine|good|great|ok|perfect|well|for (?:me|us))
    (?:consider|mark) (?:it|me|us|this) (?:as )?confirmed
    """,
    reschedule_words="""
    no, nope, nah, n, r, no sorry, reschedule, resched, rescheduling, re schedule, rebook, postpone, move, move it, change,
    change it, change time, change date, change day, different time, different day, different date, another time, another day,
    another date, other time, other day, later, not coming, cant come, cant, cannot, i cant, i cannot, not possible,
    cant make it, cannot make it, not available, im not available, unavailable, busy, im busy, not attending, not able,
    not able to come, unable to come, unable to attend, no i cant, not going, decline, declined, no show, pass
    """,
    reschedule_patterns="""
    reschedul\\w*
    resched
    rebook\\w*
    postpone\\w*
    (?:cant|cannot|can not|could not|couldnt|wont|will not|wouldnt|unable to|not able to|not going to|not gonna|wont be able to|may not|might not|dont think (?:i|we) can) (?:\\w+ ){0,3}(?:make it|come|attend|be there|be able to (?:come|make it|attend)|get there|go)
    (?:im|i am|we are|were|am) not (?:going to |gonna |able to )?(?:coming|come|attending|attend|available|make it|making it|be there)
    not coming
    (?:cancel|canceling|cancelling|change|changing|move|moving|switch|shift|push|push back|delay|swap) (?:\\w+ ){0,2}(?:appointment|appt|appointments|apt|visit|booking|time|date|day|slot|it to|it until|it for|mine to)
    (?:different|another|other|any other|new|later|earlier|better) (?:day|time|date|slot|week|appointment|appt)
    (?:later|earlier) in the (?:day|week|month)
    (?:instead|rather) (?:of|than)? ?(?:\\w+ )?(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday|morning|afternoon|next)
    (?:monday|tuesday|wednesday|thursday|friday|saturday|sunday|tomorrow|next week|morning|afternoon|evening|\\d+ ?(?:am|pm)?) instead
    (?:can|could|may) (?:i|we) (?:come|do it|do|have it|make it) (?:in )?(?:on |at )?(?:a )?(?:another|different|next|later|earlier|monday|tuesday|wednesday|thursday|friday|saturday|sunday) ?(?:day|time|week|month)?
    (?:do|have|got) (?:you have )?(?:anything|something|any openings?|any slots?) (?:\\w+ )?(?:later|earlier|else|next week|another day)
    need (?:to )?(?:move|change|switch|cancel) (?:it|that|this|my|the)

    (?:have|need|want|going|would like|like|forced|got) to (?:\\w+ )?(?:cancel|reschedule|postpone|rebook|re book|change|move|switch)
    (?:doesnt|does not|dont|wont|isnt|is not|not) (?:\\w+ )?(?:work|suit|suitable|convenient|good|possible|gonna work)(?: (?:for me|for us|out|anymore|that day|with))?
    (?:do you|do u|have you|is there|are there|got|any chance of|any) (?:have |got |you have )?(?:anything|something|any|an|a)? ?(?:openings?|slots?|availability|available|times?|spots?|spaces?|anything)? ?(?:\\w+ ){0,2}(?:on|for|after|before|around) (?:monday|tuesday|wednesday|thursday|friday|saturday|sunday|next|the \\d+|a \\w+)
    (?:out of town|out of the (?:country|state)|on vacation|on holiday|travel+ing|double booked|have a conflict|at work that day|working that day|have work|have to work|stuck at work|in traffic wont|called in(?:to)? work)
    (?:push|move|bump|bring) (?:it|my appointment|this|that) (?:back|forward|up|out|over|to|by)
    (?:switch|change|move|moved|changed|swap) (?:it |this |mine )?to (?:the |a |an )?(?:afternoon|morning|evening|monday|tuesday|wednesday|thursday|friday|saturday|sunday|next|later|earlier|another)
    (?:what|which|any) (?:other|else|different) (?:\\w+ )?(?:times?|days?|dates?|slots?|openings?)
    re book|re schedule
    (?:wont|will not|cant|cannot|couldnt) (?:do it|do that|do this|do \\w+day|make that|show|show up|be in)
    """,
    cancel_words="cancel, canceled, cancelled, cancel it, cancel please, cancel this, cancel that",
    stop_words="""
    stop, stopall, stop all, stopp, unsubscribe, unsub, unsuscribe, unsubscribe me, unsubscribe all, end, quit, revoke, optout,
    opt out, opt me out, opting out, remove, remove me, delete me, take me off, leave me alone, go away, stop it, stop this,
    stop that, stop now, stop texts, stop messages, stop sms, no more, enough, f off, fuck off, piss off, block, blocked, spam,
    do not text, dont text, do not contact, dont contact, do not message, dont message, do not call, lose my number,
    lose this number, arret, stop immediately, cease, desist, cease and desist, not interested, im not interested,
    shut up, fuck you, f u, stop please and thank you, no texts, no messages, no texts please, stop thank you, stop bothering, not interested stop, never text, stop the texts, stop the messages, take me out, no sms, remove number, stop reminders
    """,
    stop_patterns="""
    (?:stop|quit|cease|discontinue|end|halt|pause) (?:all |all the |all these |these |the |those |this |your |with the |with these |with your |with all the |any |any more |further |sending |sending me |getting |me |me the |me these |from ){0,3}(?:text\\w*|messag\\w*|msg\\w*|sms|whatsapp\\w*|sending|contact\\w*|bother\\w*|spam\\w*|harass\\w*|writing|reminder\\w*|notification\\w*|alert\\w*|communication\\w*|pestering|annoying|bugging|blowing up)
    (?:stop|quit) (?:to )?(?:text|message|contact|send|msg)(?:ing)? ?(?:me|us|to me)?
    (?:no|without) (?:more|further|additional) (?:of )?(?:your |these |the |those )?(?:text\\w*|messag\\w*|msg\\w*|sms|reminder\\w*|notification\\w*|alert\\w*|contact|communication\\w*|spam)
    (?:remove|take|delete|drop|get|erase|scratch|cross) (?:me|us|my (?:\\w+ )?(?:number|phone|name|contact|info\\w*|details|cell)|this (?:number|phone)|the number) ?(?:off|from|out|please|now|immediately|of)?
    (?:dont|do not|never|please dont|not to) (?:ever )?(?:text|message|msg|contact|write|send|bother|spam|sms|whatsapp|write to|disturb) (?:me|us|my|this|to me|any|anything|it|these|those|texts|messages)
    (?:dont|do not|no longer|never) (?:want|wish|need|like|care for|consent|agree) (?:to )?(?:receive|receiving|get|getting|have|any|any more|these|your|the|those|this|more|be texted|be contacted|you to (?:text|message|contact|write)|hear)? ?(?:any |anymore |more |further |these |your |the |of |of these |of your |from you|to ){0,3}(?:text\\w*|messag\\w*|msg\\w*|sms|notification\\w*|reminder\\w*|spam|alert\\w*|from you|texted|contacted|me)
    leave me alone
    leave (?:me|us) (?:be|in peace)
    unsubscri\\w*
    unsub
    opt(?:ing|ed)? (?:me )?out
    (?:lose|forget|delete) (?:my|this) number
    (?:revoke|withdraw) (?:my )?(?:consent|permission|authori\\w+)
    (?:cancel|end|terminate) (?:my |the |these |all |your |this ){0,2}(?:text\\w*|messag\\w*|sms|subscription|alert\\w*|notification\\w*|reminders)
    (?:enough|sick|tired|done) (?:of|with) (?:\\w+ )?(?:these |your |the |this |all )?(?:text\\w*|messag\\w*|sms|spam|reminder\\w*)
    (?:get|take) (?:me )?off (?:\\w+ )?(?:list|lists)
    (?:turn|switch|shut) (?:\\w+ )?(?:off|of) (?:\\w+ )?(?:text\\w*|messag\\w*|notification\\w*|reminder\\w*|alert\\w*)
    (?:turn|switch|shut) (?:these |the |your )?(?:text\\w*|messag\\w*|notification\\w*|reminder\\w*|alert\\w*) off
    block (?:you|this number|your number)
    (?:but|and|please|just|now) stop
    go away

    (?:be|get) (?:removed|taken off|deleted|unsubscribed|off)(?: .*)?
    no (?:more )?(?:texts|messages|sms|msgs|texting|messaging)(?: (?:please|from you|ever|to this number|again))?
    (?:do not|dont|never) (?:\\w+ )?(?:want|need|like|wanna|care) (?:\\w+ ){0,4}(?:texts?|texting|texted|messages?|messaging|sms|notifications?|reminders)
    (?:take|remove|delete) (?:\\w+ ){0,4}(?:list|system|database|records|contacts|distribution)
    why (?:do you|are you|u) (?:keep|still) (?:\\w+ )?(?:texting|messaging|sending|bothering|contacting)(?: .*)?
    (?:dont|do not|never) (?:\\w+ )?(?:consent|agree|authorize|authorise|sign up|signed up|gave)(?: .*)? (?:texts?|messages?|this|these|contact)
    """,
    not_stop_patterns="""
    (?:how|where) (?:did|do|have) (?:you|u) (?:get|got|find) my (?:number|phone|contact|info|details|name)
    (?:dont|do not|never|please dont|did not|didnt|dont want you to|not) (?:\\w+ )?(?:stop|quit|unsubscribe|opt out|remove me|take me off|delete me)(?: .*)?
    (?:cant|cannot|wont|couldnt|not) (?:\\w+ ){0,3}(?:stop|end|quit) (?!text|messag|send|contact)\\w+
    (?:should|can|may|could|do|shall|must|when|how|if) (?:i|we) (?:\\w+ ){0,3}stop (?!text|messag|getting|receiving|the text|the messag|these)\\w+.*
    (?:and|but|please|just|now) stop (?:by|at|in|there|here|taking|eating|smoking|drinking|using|bleeding|coughing|the (?!text|mess|sms|remin)).*
    (?:remove|take|get|delete) (?:me|us) (?:to|there|home|out of (?:the )?(?:hospital|clinic|bed)).*
    (?:take|get|drop) (?:me|us)(?: please| now)? (?!off|from|please|now|immediately|out|of).*
    (?:did|didnt|havent|have not|never|not) (?:i )?(?:get|got|received|receive|recieve) .*
    """,
    start_words="""
    start, unstop, subscribe, resubscribe, re subscribe, opt in, optin, opt me in, resume, restart, begin, sign me up, start again,
    start texts, start messages, start texting, subscribe me, resume messages, resume texts,
    resume texting, restart texts, restart messages, turn on, turn back on, sign me up again, start me, reactivate, activate
    """,
    start_patterns="""
    (?:start|begin|resume|restart|continue) (?:sending |texting |messaging |getting |to send )?(?:me )?(?:the |your |these |my )?(?:text\\w*|messag\\w*|sms|reminder\\w*|notification\\w*)(?: me)?(?: again)?
    (?:start|begin|resume) (?:texting|messaging|sending|contacting)
    (?:want|would like|wish|like) (?:to )?(?:get|receive|have|start|subscribe|resubscribe|opt in|resume) ?(?:getting |receiving )?(?:the |your |these |my )?(?:text\\w*|messag\\w*|sms|reminder\\w*|notification\\w*)?(?: again)
    (?:text|message|send) me again
    (?:sign|put|add) me (?:up|back)(?: on| to| again)?.*
    opt (?:me )?(?:back )?in
    resubscri\\w*
    """,
    help_words="""
    help, help me, info, information, who is this, who are you, whos this, who this, who is it, new phone who dis,
    who dis, who r u, who is texting, who is texting me, what is this, whats this, what is this about, whats this about,
    need help, i need help, can you help me, can you help, help needed, support, menu, options,
    who texted me, who is texting, whose number is this, who are u, what number is this, hello who is this
    """,
    help_patterns="""
    who (?:is|are|r) (?:this|you|u|texting|messaging)(?: \\w+)?
    """,
    polite="""
    please, pls, plz, thanks, thank you, thank u, thx, ty, tks, thank you very much, thanks so much, many thanks, thanks a lot,
    hi, hello, hey, hi there, good morning, good afternoon, good evening, dear, doctor, dr, sir, madam, maam, sorry, so sorry,
    god bless, bless you, no problem, no worries, no prob, np, much appreciated, appreciate it, have a good day, bye, take care,
    very much, so much, lol, well, oh, for me, now, today, my friend, team, all, the appointment, my appointment, for the reminder,
    for reminding me, for letting me know
    """,
    beside_yes="""
    that, is, that is, thats, time, day, date, it, will, be, coming, in, there, i, can, make, we, are, were, us, you, for, on, at, the, my, our, your, mom, dad, wife, husband, both, bright, early, show, up, attend, going, to, plan, planning, all, set, fine, still, this, am, im, ill, well, tomorrow, appointment, appt, visit, reminder, of, here, definitely, we both, have, it down, thank, and, just, confirming, again, ms, mrs, mr, with, as scheduled, as planned, scheduled, at that time, works, perfect, great, good
    """,
    doubts="""
    but, if, unless, maybe, perhaps, might, try, trying, hope, hopefully, probably, possibly, not, no, dont, do not, cant, cannot,
    wont, didnt, never, late, sick, pain, instead, change, whether, depends, think, when, who, unsure, hardly, only, except, before,
    after, until, later, wrong, tell me, first, or, should, ask, question
    """,
    asking="will the, what, when, where, who, why, how, which, is, are, do, does, did, can, could, should, would, will you, may, am",
    alternatives="or",
)
