"""Yoruba answers, with their marks and as they are typed without."""

from __future__ import annotations

from dispatchlog.systems.outreach.phrases.language import Language

LANGUAGE = Language(
    code="yo",
    yes_words="bẹẹni, beni, bẹ́ẹ̀ ni, be ni, ehen, bẹẹni ma, bẹẹni sa",
    confirm_words="""
    ó dára, o da, ó dáa, o daa, ódára, mo gbà, mo ti gbà, mo gbọ́, mo ti gbọ́, mo ń bọ̀, mo nbo, mon bo, màá wá, maa wa, mo maa wa, mo ma wa, èmi yóò wá, emi yoo wa, èmi á wá, ema wa, mo máa wà níbẹ̀, maa wa nibe, mo ma wa nibe,
    màá dé, maa de, a máa wá, a n bo, a ma wa, mo fọwọ́ sí, mo fi ọwọ́ sí, dájúdájú, dajudaju, dandan, kò burú, ko buru, ko si wahala, o wa bee, bẹ́ẹ̀ náà ni, mo jẹ́rìí, mo jẹ́rìísí, jẹ́rìí, mo fidi re mule, a dúpẹ́ a máa wá, a ó rí, ao ri, o di ola, ó dọ̀la,
    mo setan, mo ṣetán, o ti da, ok, okay, mo ma de, mo le wa, mo lè wá, ok sir, ok ma,
    mo ti gbà, mo maa wa sibe, mo máa wá síbẹ̀, máa wá, a maa wa, a ma de, mo n bọ̀ wá, ẹ máa retí mi, e maa reti mi, mo wà níbẹ̀, ko si iyipada, o ye mi, ó yé mi, bẹ́ẹ̀ ni mo gbà, mo fẹ́ wá, mo fe wa, mo maa de, ma wa, ma de, ok mo gba
    """,
    confirm_patterns="""
    (?:mo|a) (?:máa|ma|maa|n|ń) (?:wá|bọ̀|wà|dé) (?:níbẹ̀|lọ́la|ni ola|ní àkókò|ni asiko|lola|loni)
    (?:màá|maa) (?:wá|wà|dé) (?:níbẹ̀|lọ́la|ni ola|lola|loni|ni asiko)
    """,
    reschedule_words="""
    rárá, rara o, ó tì, oti, mi ò lè wá, mi o le wa, mi ò ní lè wá, mi ò ní wá, n ko le wa, nko le wa, n kò lè wá, emi ko le wa, mi o wa, mi o ni wa, mi o ma wa, ọjọ́ mìíràn, ojo miran, ojo mii, ọjọ́ míì, àkókò mìíràn, asiko miran, àsìkò míì, akoko mii, akoko miran,
    yí ọjọ́ padà, yi ojo pada, yí àkókò padà, yi akoko pada, yi asiko pada, ẹ yí ọjọ́ padà, ẹ yí àkókò padà, ẹ sún un síwájú, e sun siwaju, sún síwájú, kò ṣeéṣe, ko seese, ko le seese, aye o si, mi o raye, mi ò ráàyè
    """,
    reschedule_patterns="""
    (?:mi ò|mi o|n kò|n ko|nko|emi ko|a ò|a o|a ko) (?:ní |ni |tun )?(?:lè |le |ma |fẹ́ )?(?:wá|lọ|dé|raye|ráàyè|wa si)(?: .*)?
    (?:yí|yi|yii|paarọ̀|paaro|sún|sun) (?:\\w+ ){0,3}(?:padà|pada|síwájú|siwaju|sí|si)(?: .*)?
    (?:ọjọ́|ojo|àkókò|akoko|àsìkò|asiko|aago|wákàtí) (?:mìíràn|miran|mii|míì|miiran|mìràn)(?: .*)?

    (?:mo|a) (?:ní|ni) (?:iṣẹ́|ise|ìrìnàjò|irinajo|ìpàdé|ipade)(?: .*)?
    (?:ṣé|se|nje|ǹjẹ́) (?:\\w+ ){0,4}(?:ọjọ́|ojo) (?:ajé|aje|iṣẹ́gun|isegun|ọjọ́rú|ojoru|ọjọ́bọ̀|ojobo|ẹtì|eti|jimọ̀|jimo|àbámẹ́ta|abameta|àìkú|aiku|míì|mii|miran)(?: .*)?
    """,
    cancel_words="fagilé, fagi le, fagile, ẹ fagi lé e, e fagi le, ẹ fagilé, e fagile, fagi le e, ẹ fagi lé",
    stop_words="""
    dúró, dúró o, ẹ dúró, dáwọ́ dúró, da owo duro, ẹ dá a dúró, e da duro, da duro, ẹ dáwọ́ dúró, e dawo duro, dawo duro, jáwọ́, ẹ jáwọ́, ó tó, ó ti tó, o to ge, ó tó gẹ́ẹ́, o to bee, mi ò fẹ́ mọ́, mi o fe mo, ẹ fi mí sílẹ̀, e fi mi sile, fi mi sile, ẹ yọ mí kúrò,
    e yo mi kuro, yọ mí kúrò, yo mi, fi mi lorun sile, e fi mi lorun sile, e ye, ẹ yé, parí, ẹ má yọ mí lẹ́nu, e ma yo mi lenu, e simi
    """,
    stop_patterns="""
    (?:ẹ |e )?(?:má|ma) (?:tún |tun |se |ṣe )?(?:fi|ránṣẹ́|ranse|text|message|pè|pe|kọ|ko|kowe|kọ̀wé|daamu|dààmú|yọ|yo) (?:\\w+ ){0,5}(?:mọ́|mo)
    (?:ẹ |e )?(?:má|ma)(?!.{0,160} (?:padà|lẹ́kan)) (?:se |ṣe )?(?:fi (?:ifiranse|ìfiránṣẹ́|iwe|atejise|àtẹ̀jíṣẹ́|message|text)|ránṣẹ́|ranse|text|message|kọ̀wé|kowe|pè|pe|yọ|daamu|dààmú)(?: \\w+){0,4} (?:mi|wa)(?: .*)?
    (?:mi ò|mi o|n kò|n ko|nko|emi ko|a ò|a o) (?:fẹ́|fe|nilo|nílò) (?:\\w+ ){0,3}(?:ifiranse|ìfiránṣẹ́|message|messages|text|atejise|àtẹ̀jíṣẹ́|iwe)(?: .*)?
    (?:mi ò|mi o|n kò|n ko|nko|emi ko) (?:fẹ́|fe|nilo) (?:\\w+ ){0,4}(?:mọ́|mo)
    (?:yọ|yo|pa|e yo|ẹ yọ) (?:orúkọ|oruko|nọ́mbà|nomba|number|mi|foonu|no) (?:mi |kúrò |kuro |yii |rẹ́ ){0,2}(?:kúrò|kuro|rẹ́|re)?(?: .*)?
    (?:ẹ |e )?fi (?:mí|mi) (?:sílẹ̀|sile|lọ́rùn|lorun)(?: .*)?
    (?:dá|da|dáwọ́|dawo|dẹ́kun|dekun|jáwọ́|jawo) (?:\\w+ ){0,2}(?:ifiranse|ìfiránṣẹ́|message|messages|text|ránṣẹ́|ranse|fifi)(?: .*)?

    (?:mi ò|mi o|n kò|n ko|nko) (?:fẹ́|fe) (?:máa |maa )?(?:gba|gbọ́|gbo) (?:\\w+ ){1,3}(?:mọ́|mo)
    """,
    not_stop_patterns="""
    (?:ẹ |e )?(?:má|ma) (?:dá|da) (?:\\w+ ){0,3}(?:dúró|duro)(?: .*)?
    (?:ẹ |e )?(?:má|ma) (?:dáwọ́ dúró|dawo duro|dúró|duro|da duro|yọ mí kúrò|yo mi kuro|yo oruko mi|jáwọ́|jawo)(?: .*)?
    \\A(?:.* )?(?:oogun|òògùn|iko|ikọ́|ẹjẹ|eje)(?: .*)?
    (?:mi ò|mi o) (?:tii |ti )?(?:rí|ri|gba) .*
    """,
    start_words="""
    bẹ̀rẹ̀, ẹ bẹ̀rẹ̀, e bere, tún bẹ̀rẹ̀, tun bere, ẹ tún bẹ̀rẹ̀, e tun bere, darapọ̀, darapo, forúkọ sílẹ̀, foruko sile, fi oruko mi sile
    """,
    start_patterns="""
    (?:ẹ |e )?(?:máa|maa|tún|tun) (?:\\w+ ){0,4}(?:ránṣẹ́|ranse|ifiranse|ìfiránṣẹ́|message|text)(?: \\w+){0,3} (?:padà|pada|lẹ́ẹ̀kan si|leekansi|leekan si)
    (?:mo fẹ́|mo fe) (?:\\w+ ){0,3}(?:ifiranse|ìfiránṣẹ́|message|messages|gba)(?: .*)? (?:padà|pada|lẹ́ẹ̀kan si|leekansi|leekan si)
    (?:ẹ |e )?(?:tún |tun )?(?:bẹ̀rẹ̀|bere) (?:si |sí |sii )?(?:\\w+ ){0,2}(?:ránṣẹ́|ranse|fi|ifiranse|message|text)(?: .*)?
    """,
    help_words="""
    ìrànlọ́wọ́, iranlowo, iranwo, ìrànwọ́, ràn mí lọ́wọ́, ran mi lowo, ẹ ràn mí lọ́wọ́, e ran mi lowo, ẹ gbà mí, e gba mi, mo nílò ìrànlọ́wọ́, mo nilo iranlowo, mo fe iranlowo, ta ni, tani, ta ni yìí, tani yi, tani yii, ta ni eyi, tani eyi, ta lẹ jẹ́, ta le je, ta leleyi, tani e
    """,
    help_patterns="(?:ta ni|tani) (?:yìí|yi|eyi|ẹ|e|o|iwo|eleyi)",
    polite="""
    ẹ ṣé, e se, ẹ ṣeun, e seun, ese, esee, eseun, o se, o seun, ose, oseun, ẹ ṣé gan, e se gan, jọ̀wọ́, jowo, ejowo, ẹ jọ̀wọ́, e jowo, ẹ kú àárọ̀, e kaaro, e karo, ẹ káàsán, e kaasan, ẹ kú ìrọ̀lẹ́, e ku irole, e kaale, ẹ kú iṣẹ́, e ku ise, ẹ pẹ̀lẹ́, e pele, dókítà, dokita, sa, ma, ẹ má bínú, e ma binu,
    ko si wahala, kò sí wàhálà, báyìí, bayi, nisinsinyi, alafia, mo dupe, adupe, a dupe
    """,
    beside_yes="""
    mo, a, wá, wa, maa, ma, ní, ni, ọ̀la, lọ́la, lola, àkókò, asiko, fún, fun, yìí, yi, naa, náà, gan, sí, si, níbẹ̀, nibe, emi, èmi, awa, àwa, pẹ̀lú, pelu, gbogbo, lagbara olorun, ọlọ́run, olorun, loni, ojo, ọjọ́
    """,
    doubts="""
    ṣùgbọ́n, sugbon, ṣugbọn, bóyá, boya, bí, tàbí, tabi, abi, ṣé, rárá, kò, ko, mi ò, mi o, pẹ́, pe, dun, ìrora, irora, sibe, ki, nigba, gbiyanju, kò ní
    """,
    asking="kí ni, kini, nígbà wo, nigba wo, níbo, nibo, ta ni, tani, kí ló dé, kilode, báwo, bawo, mélòó, melo, ṣé, aago melo, elo",
    alternatives="tàbí, tabi, abi",
)
