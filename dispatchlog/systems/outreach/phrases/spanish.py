"""Spanish answers."""

from __future__ import annotations

from dispatchlog.systems.outreach.phrases.language import Language

LANGUAGE = Language(
    code="es",
    yes_words="sí, s, sip, sep, si si, claro que si, si claro, si señor, si señora",
    confirm_words="""
    ok, oki, vale, va, claro, por supuesto, desde luego, de acuerdo, dale, listo, lista, perfecto, bien, está bien, esta bueno,
    muy bien, bueno, excelente, correcto, confirmo, confirmar, confirmado, confirmada, confirmo mi cita, confirmo la cita,
    confirmo asistencia, confirmo mi asistencia, si confirmo, asistiré, ahí estaré, allí estaré, allá estaré, estaré ahí,
    estaré allí, ahí estaremos, allí estaremos, voy, si voy, iré, ahí voy, voy a ir, si iré, iremos, vamos, ahí nos vemos,
    allí nos vemos, allá nos vemos, nos vemos, nos vemos ahí, nos vemos allí, nos vemos mañana, hasta mañana, hasta entonces,
    sin falta, seguro, acepto, conforme, puedo ir, si puedo, si asistiré, cuenten conmigo, ahí andaré, me parece bien, enterado,
    enterada, entendido, todo bien,
    sipi, simón, cuente conmigo, ahí llego, allí llego, ahi llegare, llegaré, me queda bien, claro que voy, claro que iré, con gusto, con gusto asistiré, con mucho gusto, confirmada la asistencia, asistencia confirmada, confirmada la cita, cita confirmada, ahí voy a estar, ahí los veo, me parece, órale, ahí le caigo, ok ahí estaré, excelente, sin problema ahí estaré, ahí estamos, cómo no, con todo gusto, está confirmado, queda confirmado, queda confirmada, ya confirmé, sí señor
    """,
    confirm_patterns="""
    confirmo (?:mi|la|nuestra|que|el)
    (?:ahí|allí|allá|sí) (?:estaré|estaremos|voy|iré|iremos|nos vemos|asistiré)
    (?:estaré|estaremos) (?:ahí|allí|allá)
    (?:voy a|vamos a) (?:ir|asistir|estar)
    asistiré
    """,
    reschedule_words="""
    no, no gracias, nop, no puedo, no podré, no voy, no iré, no asistiré, reprogramar, reagendar, cambiar, cambiar cita,
    cambiar la cita, cambio, cambio de cita, cambiar fecha, cambiar hora, otro día, otra fecha, otra hora, otro horario, otra cita,
    posponer, aplazar, imposible, me es imposible, no me es posible, mover la cita, más tarde, ocupado, ocupada,
    no me queda, no me queda bien, se me complica, se me hace imposible, no alcanzo, otra semana, otro momento
    """,
    reschedule_patterns="""
    reprogram\\w+
    reagend\\w+
    (?:aplaz|pospon|posterg|retras|adelant)\\w* ?(?:la |mi |lo )?(?:cita|consulta|turno|hora)?
    no (?:me |nos )?(?:puedo|podré|podemos|podremos|podría|voy a poder|vamos a poder|será posible|es posible|alcanzo) ?(?:a )?(?:ir|asistir|llegar|acudir|venir|estar|presentarme|ese|esa|este|mañana|hoy)?
    no (?:voy|iré|asistiré|acudiré|llego|llegaré|iremos|vamos|estaré)
    (?:cambi|muev|mov|corr|pas|cancel|anul)\\w* (?:\\w+ ){0,2}(?:cita|hora|fecha|día|turno|horario|consulta|lunes|martes|miércoles|jueves|viernes|sábado|domingo|semana)
    (?:otr[oa]|diferente|distint[oa]|nuev[oa]) (?:día|fecha|hora|horario|cita|momento|semana)
    (?:la|me la|me lo|se) (?:puede|pueden|podría|podrían) (?:cambiar|mover|pasar|correr|aplazar)

    (?:se me|me) (?:complica|hace (?:difícil|imposible|tarde)|dificulta)(?: .*)?
    (?:tiene|tienen|tendrá|tendrán|hay|habrá|habría|tendría|tendrían) (?:\\w+ )?(?:algo|lugar|espacio|cupo|turno|disponib\\w+|hueco|cita|horario)(?: .*)?
    (?:podría|podrían|puede|pueden|podríamos|se puede) (?:ser )?(?:más tarde|mas tarde|más temprano|el (?:lunes|martes|miércoles|jueves|viernes|sábado)|la (?:próxima|otra)|otro|otra|cambiar\\w*|mover\\w*|pasar\\w*).*
    (?:cambi|muev|mov|pas|corr)\\w*(?:la|lo|me)? (?:\\w+ ){0,2}(?:para|al|a la|a el|por)(?: la| el| otra| otro)? (?:próxim\\w+|otra|otro|lunes|martes|miércoles|jueves|viernes|sábado|domingo|semana|tarde|mañana|siguiente)(?: .*)?
    (?:tengo (?:que )?(?:trabajo|trabajar|otro compromiso|viaje|un compromiso)|estaré de viaje|trabajo ese día|ando de viaje|fuera de la ciudad)(?: .*)?
    no me (?:queda|sirve|conviene|viene bien|va bien|funciona)(?: .*)?
    (?:a esa hora|ese día|esa fecha) no (?:puedo|podré|me).*
    no (?:puedo|podré|podemos)
    """,
    cancel_words="cancelar, cancela, cancelen, cancele, cancelado, anular",
    stop_words="""
    parar, pare, paren, para, alto, basta, baja, darme de baja, dar de baja, denme de baja, salir, detener, detenga, detengan,
    detente, desuscribir, desuscribirme, desuscribirse, desuscribir, eliminar, no molestar, no molesten, no más, ya basta,
    quítenme, bórrenme, sáquenme, stop, fin, terminar, no me escriban, déjenme en paz, déjame en paz, déjeme en paz, no escribir,
    alto por favor, ya paren, cancelar suscripción, dejen de molestar, bloquear, revocar,
    stop mensajes, basta ya, no escriban, no escriba, no manden, no envíen, no me llamen, no más por favor, ya estuvo, no gracias no más, cállense, stop por favor, no insistan
    """,
    stop_patterns="""
    no (?:me |nos )?(?:mand|env[ií]|escrib|molest|contact|llam|text|mensaje|fastidi)\\w* (?:más|mas|nada|otra vez|mensajes|nunca|sms|textos|ya|ningún)
    (?:ya )?no (?:me |nos )(?:mand|env[ií]|escrib|molest|contact|text)\\w+
    (?:deje|dejen|deja|dejá|paren|pare|para|basta|cesen|alto|stop) (?:ya )?(?:de|con) (?:\\w+ )?(?:mand|env[ií]|escrib|molest|contact|llam|text|mensaj|sms|fastidi|recordatorio|avis)\\w*
    (?:paren|pare|detengan|detenga|cancelen|cancele|cancelar|parar|detener|basta|bloque\\w+) (?:los |las |sus |estos |mis |la |mi )?(?:mensaj\\w*|sms|textos|suscripci\\w*|notificaci\\w*|avisos|recordatorios)
    (?:ya )?no (?:quiero|deseo|necesito|me interesa) (?:más |mas |recibir |que me |seguir |sus |estos |los |ningún )\\w*
    no más (?:mensaj\\w*|sms|textos|notificaci\\w*|avisos|recordatorios)
    (?:quit|borr|elimin|saqu|sac|remov|remuev|retir)\\w* (?:mi |el |este |me )?(?:número|numero|teléfono|nombre|de (?:la|su|esta|sus) lista|de (?:la|su) base)
    (?:quítenme|sáquenme|bórrenme|elimínenme|quíteme|sáqueme|bórreme|elimíneme|quitenme) ?(?:de)?
    (?:dar|darme|denme|deme|quiero|dénme) (?:darme )?(?:de )?baja
    d[eé]j(?:en|e|a)(?:me|nos) (?:en paz|tranquil\\w+)
    basta (?:de|con) (?:\\w+ )?(?:mensajes|sms|textos|recordatorios)
    desuscri\\w+
    (?:harto|harta|cansado|cansada) de (?:\\w+ )?mensajes
    (?:revoco|retiro) (?:mi )?(?:consentimiento|permiso|autorización)

    (?:stop|alto|fin) (?:a los |los |de |con )?(?:mensaj\\w*|sms|textos|avisos)
    no (?:quiero|autorizo|deseo|acepto|permito|consiento|necesito) (?:más |mas |que |sus |los |estos |recibir |ningún )(?:\\w+ ){0,3}(?:mensaj\\w*|sms|textos|escrib\\w*|mand\\w*|contact\\w*|env[ií]\\w*|avisos|recordatorios)
    (?:sin|ningún|ni un) (?:más |mas )?(?:mensajes?|sms|textos)
    (?:no|ya no|nunca|jamás) (?:más )?(?:me )?(?:escriban|manden|envíen|molesten|contacten|llamen|escribas|mandes|envíes|molestes|escriba|mande|envíe|moleste)(?: .*)?
    (?:quiero|deseo|quisiera) (?:salir|salirme|borrarme|desuscribirme|que me (?:quiten|borren|saquen|eliminen))(?: .*)?
    """,
    not_stop_patterns="""
    no (?:paren|pare|dejen|deje|me den de baja|me quiten|me borren) ?.*
    no me (?:mandaron|enviaron|han enviado|han mandado|llegó|llegaron|escribieron|contactaron|llamaron|llaman|enviaste) .*
    no me (?:enviaron|mandaron|llamaron|contactaron|escribieron)
    """,
    start_words="""
    comenzar, empezar, iniciar, inicio, suscribir, suscribirme, suscribirse, alta, darme de alta, reanudar, activar, continuar,
    reactivar, empiecen, quiero suscribirme,
    activar mensajes, reactivar mensajes, reanudar mensajes, mándenme mensajes, suscríbanme, actívenme, activen mensajes
    """,
    start_patterns="""
    (?:volver|vuelvan|vuelva|quiero volver|deseo volver) a (?:recibir|mandar\\w*|enviar\\w*|escribir\\w*|suscrib\\w*|mandarme|enviarme).*
    (?:quiero|deseo|me gustaría) (?:recibir|suscribirme|darme de alta).*
    (?:mánd|env[ií])\\w*me (?:otra vez |de nuevo |nuevamente )(?:los |sus )?(?:mensajes|recordatorios|sms)
    (?:reanud|reactiv)\\w+

    (?:activ|reanud|reactiv|reinici)\\w* (?:\\w+ )?(?:mensajes|recordatorios|sms|textos|avisos)
    (?:quiero|deseo) que (?:me )?(?:manden|envíen|escriban|vuelvan)(?: .*)? (?:otra vez|de nuevo|nuevamente|a mandar|a enviar|a escribir)(?: .*)?
    """,
    help_words="""
    ayuda, ayúdame, ayúdenme, ayúdeme, necesito ayuda, información, quién es, quién eres, quién habla, quiénes son, quién es usted,
    de parte de quién, de quién es este número, quién me escribe, auxilio, socorro,
    me pueden ayudar, qué es esto
    """,
    help_patterns="quién (?:es|eres|son|me escribe|habla)(?: usted| ustedes| este)?",
    polite="""
    por favor, porfavor, porfa, pf, gracias, muchas gracias, mil gracias, hola, buenos días, buen día, buenas tardes,
    buenas noches, buenas, doctor, doctora, dr, dra, señor, señora, señorita, disculpe, disculpa, perdón, lo siento, saludos,
    sin problema, no hay problema, muy amable, que tenga buen día, ahora, ya, dios los bendiga, bendiciones, la cita, mi cita, a la cita
    """,
    beside_yes="""
    la, el, mi, cita, a, ahí, allí, allá, voy, estaré, estoy, es, que, con, mañana, para, de, hora, esa, ese, día, esta, está, bien, señor, los, les, nos, vemos, todo, asistencia, y, me, confirmo, mi hijo, mi mamá, con mi, a tiempo, puntual, estar, llego, iré, yo, también, nosotros, entonces, desde luego, hay
    """,
    doubts="""
    pero, tal vez, quizás, quizá, a lo mejor, creo, no, tarde, dolor, duele, cuando, trataré, intentaré, depende, o, cambiar, espero,
    ojalá, antes, después, aunque, nunca, tampoco, si puedo
    """,
    asking="qué, cuándo, dónde, quién, por qué, cómo, cuál, cuánto, cuánta, puedo, puede, pueden, tengo que, debo, hay, es, a qué",
    alternatives="o",
)
