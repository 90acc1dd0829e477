"""French answers."""

from __future__ import annotations

from dispatchlog.systems.outreach.phrases.language import Language

LANGUAGE = Language(
    code="fr",
    yes_words="""
    oui, ouais, oué, ui, wi, yes, oui oui, mais oui, oui monsieur, oui madame,
    voui, yep, ouep, wé, ouiii, oki
    """,
    confirm_words="""
    ok, okay, okey, dac, d'acc, d'accord, daccord, bien sûr, entendu, c'est entendu, c'est bon, c bon, c ok, c'est ok, ça marche,
    sa marche, ça va, ça me va, ça me convient, cela me convient, parfait, très bien, super, nickel, impec, bien, confirmé,
    confirmée, confirmer, je confirme, confirme, je confirme ma présence, je confirme mon rdv, je confirme mon rendez vous,
    je confirme le rdv, je confirme le rendez vous, oui je confirme, j'y serai, je serai là, je serais là, je serai présent, je serai présente,
    nous serons là, on sera là, on y sera, je viens, je viendrai, on vient, nous viendrons, présent, présente, j'arrive, volontiers, c'est noté,
    bien noté, bien reçu, noté, à demain, à bientôt, à tout à l'heure, à lundi, à mardi, à mercredi, à jeudi, à vendredi, à samedi, c'est parfait,
    sans faute, absolument, tout à fait, exact, c'est confirmé, pour moi, avec plaisir, validé, je valide, on se voit demain,
    c'est bon, c'est parfait, pas de changement, je serai bien là, rdv confirmé, rendez vous confirmé, bien entendu, évidemment, certainement, on fait comme ça, compris, j'ai noté, je note, présence confirmée, c'est noté merci, à plus tard, comme prévu, cela me va, ok c'est noté, je maintiens, je suis dispo, je suis disponible, disponible, dispo
    """,
    confirm_patterns="""
    je confirme (?:ma|mon|le|la|notre|pour|que|bien)
    (?:je|on|nous) (?:y )?(?:serai|serais|serons|sera|viendrai|viendrons) (?:bien )?(?:là|présente?s?|au rendez vous|au rdv)
    (?:j'y|on y|nous y) (?:serai|sera|serons)
    je viendrai
    oui je viens
    """,
    reschedule_words="""
    non, non merci, nan, non désolé, non désolée, reporter, report, décaler, déplacer, changer, modifier, repousser, autre date, autre jour,
    un autre jour, une autre date, autre heure, autre horaire, autre rdv, un autre rdv, un autre rendez vous, reprogrammer,
    impossible, c'est impossible, pas possible, pas dispo, pas disponible, indisponible, je ne peux pas, je peux pas, je ne pourrai pas,
    je pourrai pas, je ne viens pas, je viens pas, je ne viendrai pas, je viendrai pas, empêché, empêchée, changer de date,
    changer le rdv, plus tard, absent, absente, occupé, occupée
    """,
    reschedule_patterns="""
    (?:report|décal|déplac|repouss|reprogramm|avanc)(?:er|é|ez|e|ons|é) ?.*
    (?:ne |n )?(?:peux|peut|pouvons|pourrai|pourrais|pourrons|pourra|saurai) (?:malheureusement |vraiment )?pas (?:venir|être|y|me|assister|honorer|aller|là|ce|demain|lundi|mardi|mercredi|jeudi|vendredi).*
    (?:je|on|nous) (?:ne )?(?:peux|peut|pouvons|pourrai|pourra|pourrons) pas
    (?:je|on|nous) (?:ne )?(?:viens|vient|viendrai|viendra|viendrons|serai|sera|serons) (?:pas|plus|absent).*
    (?:autre|nouvelle|nouveau|nouvel|différente?) (?:jour|date|heure|horaire|créneau|rdv|rendez vous|moment|semaine)
    (?:chang|modifi|annul|boug)\\w* (?:\\w+ ){0,2}(?:heure|date|jour|rdv|rendez vous|rendez|horaire|consultation|lheure)

    (?:auriez|avez|aurez|auriez vous|avez vous|y a t il|il y a) (?:vous )?(?:\\w+ ){0,2}(?:place|créneau|dispo\\w*|autre|horaire|rdv|disponibilité\\w*|chose)(?: .*)?
    (?:ce )?(?:n )?(?:est|nest|sera) pas (?:possible|faisable|bon|dispo)(?: .*)?
    (?:je )?(?:travaille|suis en (?:déplacement|vacances|voyage|congé)|ne suis pas (?:là|dispo\\w*)|suis pas (?:là|dispo\\w*)|suis absent\\w*)(?: .*)?
    plutôt (?:le |la |un |en |l)?(?:matin|après midi|soir|lundi|mardi|mercredi|jeudi|vendredi|samedi|semaine).*
    (?:dois|voudrais|souhaite|faut|aimerais|veux|vais devoir|peux|peut on|possible de|jaimerais|souhaiterais) (?:\\w+ )?(?:annuler|décaler|reporter|déplacer|changer|repousser|modifier|avancer)(?: .*)?
    (?:ne me|me) (?:convient|va|arrange) pas
    """,
    cancel_words="annuler, annule, annulez, annulé, annulation",
    stop_words="""
    stop, arrêt, arrêter, arrêtez, arrête, arrêtes, désabonner, désabonnez moi, désabonnement, me désabonner, désinscrire,
    désinscription, désinscrivez moi, me désinscrire, fin, ça suffit, assez, supprimer, supprimez moi, retirez moi, enlevez moi,
    laissez moi tranquille, laisse moi tranquille, foutez moi la paix, fichez moi la paix, résilier, plus rien, stop sms, stop tout,
    pas intéressé, pas intéressée, quitter, révoquer, bloquer, plus de sms, plus de messages,
    lâchez moi, lâche moi, plus aucun message, plus de textos, plus de mails, foutez moi la paix, fermez la, assez de messages, stop aux messages, stop svp, plus jamais, ne plus recevoir, ne plus contacter, arretez tout
    """,
    stop_patterns="""
    (?:arrêt\\w*|cess\\w*|stopp?e?[rz]?|finiss\\w*) (?:tout de suite |donc |immédiatement |s il vous plait )?(?:de |d |avec )?(?:m'|me |nous |de m'|les |vos |ces |des |tous |tous les |l'|le |la |d'){0,5}(?:écri\\w*|envo[iy]\\w*|env\\w*|contact\\w*|harcel\\w*|messag\\w*|sms|texto\\w*|rappel\\w*|notification\\w*|spam\\w*|embêt\\w*|appel\\w*|mécri\\w*|menvo\\w*|mécrire|dénvo\\w*|spams)
    (?:arrêtez|arrêter|arrête|stop|cessez) (?:de )?(?:mécrire|menvoyer|me contacter|me spammer|membêter|mappeler|mharceler).*
    (?:ne )?(?:m'|me |nous )(?:envo[iy]\\w*|écri\\w*|contact\\w*|dérang\\w*|embêt\\w*) (?:plus|pas|jamais|rien).*
    ne (?:me |nous |m)?(?:envo[iy]\\w*|écri\\w*|contact\\w*|dérang\\w*|embêt\\w*|menvo\\w*|mécri\\w*) (?:plus|pas|jamais|rien|moi).*
    (?:menvoyez|mécrivez|menvoie|mécris|membêtez) (?:plus|pas).*
    (?:ne )?(?:veux|veut|voulons|souhaite|souhaitons|désire) (?:plus|pas) (?:de |d |recevoir |être |que vous |vos |ces |entendre )(?:contact|sms|messag|texto|vos|ces|ça|rien|de|rappel|m|dérang)?\\w*.*
    (?:plus|pas|plus jamais|assez|marre|ras le bol) (?:de |d )(?:vos |ces |tous ces )?(?:sms|messages?|textos?|rappels?|notifications?|spams?)
    désabonn\\w* ?(?:moi)?
    (?:désinscri|desinscri)\\w*
    (?:retir|enlev|supprim|effac|ôt|ray)(?:ez|er|e) (?:moi|mon|ce|le|mes|me)(?: .*)?
    laisse[zr]? (?:moi|nous) (?:tranquille|en paz|en paix)
    (?:foutez|fichez|fous|fiche|foutre) (?:moi|nous) la paix
    (?:annul|résili)\\w* (?:mon |l'|l |les )?(?:abonnement|inscription|messages|sms|labonnement|linscription)
    (?:je )?(?:retire|révoque) mon (?:consentement|accord)

    (?:ne |de ne )?plus (?:jamais )?(?:m |me |nous |menvoyer|mécrire|recevoir|envoyer|contacter|être contacté|rien recevoir)(?:envoyer|écrire|contacter|déranger|solliciter|rien envoyer)?(?: .*)?
    (?:plus|pas) (?:aucun|un seul|de) (?:\\w+ )?(?:messages?|sms|textos?|mails?|rappels?)(?: .*)?
    lâche[zr]? moi(?: .*)?
    (?:me|mon|mes) (?:retirer|supprimer|enlever|désinscrire|effacer)(?: .*)?
    stop (?:aux |les |à |avec |les )?(?:\\w+ )?(?:messages|sms|textos|rappels)
    """,
    not_stop_patterns="""
    (?:n'arrêtez|n arrêtez|n'arrête|narrêtez|narrête|narrete) pas.*
    (?:ne )?(?:vous |t )?(?:arrêtez|arrête) pas.*
    (?:dois je|faut il|puis je|je dois|je peux|est ce que je|quand) (?:\\w+ ){0,3}(?:arrêter|arrêt|supprimer|enlever).*
    (?:retir|enlev|supprim)(?:er|ez|e) (?:mon|mes|le|ce) (?!num|tél|tel|nom|adres|contact).*
    (?:pas|plus) reçu .*
    """,
    start_words="""
    reprendre, reprenez, commencer, commencez, démarrer, début, abonner, m'abonner, s'abonner, abonnez moi, réabonner, me réabonner, réabonnez moi,
    inscrire, m'inscrire, inscrivez moi, recommencer, recommencez, continuer, activer, réactiver
    """,
    start_patterns="""
    (?:recevoir|envoy\\w+|renvoy\\w+|écri\\w+|reprendre|recommenc\\w+) (?:\\w+ ){0,3}(?:à nouveau|de nouveau|encore|nouveau)(?: \\w+){0,3}
    (?:je )?(?:veux|voudrais|souhaite) (?:bien )?(?:recevoir|me réabonner|m'abonner|me réinscrire|à nouveau).*
    (?:reprenez|reprendre|recommencez) (?:\\w+ ){0,3}(?:messages|sms|envois|rappels)
    """,
    help_words="""
    aide, aidez moi, aide moi, besoin d'aide, j'ai besoin d'aide, info, infos, information, renseignements, qui est ce, c'est qui, c qui, qui êtes vous, t'es qui,
    qui es tu, qui c'est, de la part de qui, vous êtes qui, c'est quoi, c'est quoi ça, pouvez vous m'aider, au secours
    """,
    help_patterns="(?:qui êtes vous|c'est qui|cest qui|vous êtes qui|qui est ce|qui mécrit).*",
    polite="""
    s'il vous plaît, s'il vous plait, s il vous plait, svp, stp, merci, merci beaucoup, merci bien, mille mercis, bonjour, bonsoir, salut,
    docteur, dr, madame, monsieur, désolé, désolée, pardon, excusez moi, cordialement, bonne journée, bonne soirée, pas de problème, pas de souci,
    sans problème, aucun problème, à vous, mon rdv, le rdv, rdv, rendez vous, mon rendez vous, pour moi, maintenant, immédiatement, et, alors, tout de suite
    """,
    beside_yes="""
    le, la, mon, ma, rdv, rendez, vous, je, j, y, serai, serons, nous, on, est, c, ce, cest, pour, moi, à, demain, heure, lheure, bien, là, venue, présence, de, notre, mes, avec, et, parfait, bon, ok, tout, viens, viendrai, prévu, comme, très, noté, ça, sa, va, mon fils, mon mari, ma femme
    """,
    doubts="""
    mais, peut être, si, si possible, pas, ne, ou, retard, mal, douleur, quand, essaierai, essayerai, essaie, espère, dépend, avant, après, sauf,
    changer, jamais, encore, toujours, je crois, je pense
    """,
    asking="quoi, quand, où, qui, pourquoi, comment, quel, quelle, combien, est ce que, faut il, puis je, dois je, peut on, c'est à, y a t il",
    alternatives="ou",
)
