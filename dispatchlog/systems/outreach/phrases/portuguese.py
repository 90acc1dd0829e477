"""Portuguese answers."""

from __future__ import annotations

from dispatchlog.systems.outreach.phrases.language import Language

LANGUAGE = Language(
    code="pt",
    yes_words="sim, s, ss, simm, sim sim, claro que sim, sim senhor, sim senhora",
    confirm_words="""
    ok, okay, oki, tá, tá bom, ta bom, está bom, tá bem, está bem, tudo bem, tudo certo, certo, certinho, beleza, blz, bele, combinado, fechado, confirmo,
    confirmado, confirmada, confirmar, pode confirmar, confirma, confirmo presença, confirmo minha presença, confirmo a consulta, confirmo consulta,
    confirmo minha consulta, com certeza, claro, certeza, perfeito, ótimo, excelente, vou, vou sim, irei, irei sim, eu vou, estarei lá, estarei aí, estarei presente,
    estaremos lá, estaremos aí, vou estar lá, lá estarei, comparecerei, vou comparecer, até amanhã, até lá, até logo, até mais, até breve, até segunda, nos vemos lá,
    vejo vocês lá, de acordo, concordo, aceito, presente, joia, jóia, show, isso, isso mesmo, bom, positivo, pode deixar, vamos, iremos,
    sem falta, entendido, ciente,
    confirmadíssimo, está confirmado, está confirmadíssimo, tá confirmado, confirmadíssima, está confirmada, presença confirmada, consulta confirmada, claro que vou, vou com certeza, pode contar comigo, conte comigo, estarei, eu irei, eu confirmo, tô indo, a gente vai, iremos sim, ok confirmado, isso aí, bora, tamo junto, tranquilo, de boa, sem dúvida, show de bola, está marcado, marcado, confirmadinho, tudo ok, tudo certinho
    """,
    confirm_patterns="""
    confirmo (?:a|minha|o|que|presença|sim|nossa)
    (?:estarei|estaremos) (?:lá|aí|presente)
    (?:vou|vamos|irei|iremos) (?:sim|comparecer|estar (?:lá|aí)|com certeza)
    pode confirmar
    comparecerei
    """,
    reschedule_words="""
    não, nao, n, não posso, não vou, não poderei, não consigo, não vou poder, não vou conseguir, não dá, não dá pra mim, não irei, remarcar, reagendar,
    remarcação, adiar, mudar, trocar, alterar, desmarcar, outro dia, outra data, outro horário, outra hora, mudar horário, mudar a data, mudar o horário,
    mais tarde, impossível, não obrigado, não obrigada, infelizmente não, não estarei, não comparecerei, ocupado, ocupada, indisponível
    """,
    reschedule_patterns="""
    (?:remarc|reagend|desmarc)\\w+
    (?:adi|antecip|posterg)(?:ar|o|a|ei) ?.*
    (?:não|nao|num|n) (?:vou |irei |iremos |vamos |posso|podemos|poderei|poderemos|consigo|conseguirei|tenho como|dá pra|da pra|da para|estarei|comparecerei|vou) ?(?:mais )?(?:poder|conseguir|ir|comparecer|estar|chegar|dar|aí|lá|amanhã|hoje|nesse|neste|na|no)?.*
    (?:mud|troc|alter|cancel|pass)(?:ar|o|a|e|em) (?:\\w+ ){0,2}(?:consulta|horário|hora|data|dia|agendamento|segunda|terça|quarta|quinta|sexta|sábado|semana|exame)
    (?:outr[oa]|nov[oa]|diferente) (?:dia|data|horário|hora|semana|momento)

    (?:tem|têm|teria|há|haveria|existe) (?:\\w+ )?(?:vaga|horário|algum|alguma|disponibilidade|encaixe|como|data)(?: .*)?
    (?:pode|poderia|dá pra|da pra|daria pra|podemos|seria possível) (?:ser )?(?:mais tarde|mais cedo|outro|outra|na (?:segunda|terça|quarta|quinta|sexta)|segunda|terça|quarta|quinta|sexta|semana|mudar|trocar|remarcar|passar)(?: .*)?
    (?:tenho|vou ter|estou com) (?:trabalho|que trabalhar|outro compromisso|viagem|um compromisso|reunião)(?: .*)?
    (?:estarei|vou estar|tô|estou) (?:viajando|de viagem|trabalhando|ocupad\\w|fora)(?: .*)?
    (?:ter que|preciso|tenho que|quero|gostaria de|queria|vou) (?:cancelar|mudar|trocar|adiar|remarcar|desmarcar|alterar)(?: .*)?
    não vai (?:dar|rolar|ser possível)(?: .*)?
    não me (?:serve|convém|atende)(?: .*)?
    """,
    cancel_words="cancelar, cancela, cancele, cancelem, cancelado, cancelada",
    stop_words="""
    parar, pare, parem, para, pára, sair, chega, basta, descadastrar, descadastre, descadastra, me descadastre, cancelar inscrição, remover, remova, me remova,
    me remove, me tire, me tira, me exclua, excluir, desinscrever, stop, fim, não perturbe, me deixe em paz, me deixa em paz, me deixem em paz, cancelar assinatura,
    não quero mais, bloquear, encerrar, não enviar, não envie, não mande, não tenho interesse, sem mensagens, para com isso, parem com isso, revogar,
    me esquece, me esqueçam, me esqueça, parem!, vaza, some, sumam, não perturbem, chega!, me larga, sem sms, stop por favor, não enviem, não mandem
    """,
    stop_patterns="""
    (?:não|nao|nunca) (?:me |nos )?(?:mand|envi|escrev|contat|incomod|perturb|chat|amol|lig)\\w* (?:mais|nada|mensag\\w*|sms|isso|nunca|torpedo\\w*|de novo)
    (?:não|nao) (?:me |nos )(?:mand|envi|escrev|contat|incomod|perturb)(?:e|em|a|am|ar)
    (?:para|parem|pare|parar|chega|cesse|deixa|deixe|deixem|pára) (?:já )?(?:de|com) (?:\\w+ )?(?:mand|envi|escrev|contat|incomod|perturb|mensag|msg|sms|lembrete|torpedo|ess|spam)\\w*
    (?:parem|pare|parar|cancelar|cancelem|cancele|suspend\\w+|bloque\\w+) (?:as |os |essas |esses |suas |minha |a |com )?(?:mensag\\w*|msgs?|sms|inscrição|assinatura|notificaç\\w*|lembretes|avisos|envios?)
    (?:não|nao) (?:quero|desejo|aceito|preciso|autorizo|gostaria de) (?:mais |receber |que me |nenhuma |essas |esse |suas )(?:receber|mensag|sms|msg|isso|nada|essas|mand|nenhum|mais|notific|lembret|contato|esse|suas)?\\w*.*
    (?:chega|basta|cansei|cansado|cansada|farto|farta) (?:de |com )?(?:tanta |tantas |essas |receber |suas )?(?:mensag\\w*|msgs?|sms|lembretes|torpedos)
    (?:tir|remov|exclu|apag|delet|retir)\\w* (?:o |meu |este |esse |da |me |do |desta |dessa ){0,5}(?:número|numero|telefone|nome|contato|lista|cadastro|celular)
    me (?:tir|remov|exclu|descadastr|desinscrev|apag|delet)\\w*
    me deix(?:e|a|em) (?:em paz|quiet\\w)
    descadastr\\w*
    sem mais (?:mensagens|sms|msgs?)
    (?:revogo|retiro) (?:meu |o )?(?:consentimento|autorização)

    (?:para|pare|parem) (?:já )?de (?:encher|perturbar|incomodar|amolar|chatear|me|ficar)(?: .*)?
    (?:quero|desejo|gostaria de|queria) (?:sair|me descadastrar|ser removid\\w|ser excluíd\\w|cancelar a inscrição|parar de receber)(?: .*)?
    (?:cancel|bloque|suspend|par)\\w* (?:\\w+ ){0,2}(?:sms|mensagens|mensagem|msg|msgs|notificações|lembretes|envio|envios)
    (?:tir|remov|exclu|apag|delet|retir)\\w* (?:o |meu |este |esse ){0,5}(?:número|numero|telefone|nome|contato|cadastro|celular)(?: .*)?
    (?:nenhuma|mais nenhuma|nem mais uma) (?:mensagem|msg|sms)(?: .*)?
    """,
    not_stop_patterns="""
    (?:não|nao) (?:pare|parem|para|me tire|me remova|me descadastre)(?: .*)?
    (?:não|nao) (?:me )?(?:mandaram|enviaram|chegou|recebi|mandou|enviou) ?.*
    me (?:tir|remov)\\w+ (?:uma|a|essa|esta) dúvida.*
    """,
    start_words="""
    começar, iniciar, início, comece, inscrever, me inscrever, me inscreva, assinar, retomar, voltar, ativar, reativar, continuar, recomeçar, cadastrar,
    me cadastre,
    ativar mensagens, reativar mensagens, me cadastre de novo, me inscreva de novo, quero voltar, voltar a receber, ativar lembretes
    """,
    start_patterns="""
    (?:voltar|voltem|volte|volta) a (?:receber|mandar|enviar|me mandar|me enviar).*
    (?:quero|gostaria de|desejo) (?:voltar a )?(?:receber|me inscrever|me cadastrar|me recadastrar).*
    (?:mand|envi)\\w+ (?:\\w+ ){0,2}(?:de novo|novamente|outra vez)
    """,
    help_words="""
    ajuda, me ajuda, me ajude, ajude me, preciso de ajuda, socorro, informação, informações, info, quem é, quem é você, quem fala, quem está falando, quem são vocês,
    de quem é esse número, quem é vc, o que é isso, podem me ajudar, quem ta falando
    """,
    help_patterns="quem (?:é|são|fala|tá falando|está falando)(?: você| vocês| vc| esse)?",
    polite="""
    por favor, pfv, pf, pfvr, por gentileza, obrigado, obrigada, obg, brigado, brigada, muito obrigado, muito obrigada, valeu, vlw, grato, grata, agradeço, oi, olá, ola,
    bom dia, boa tarde, boa noite, doutor, doutora, dr, dra, senhor, senhora, desculpe, desculpa, sem problema, sem problemas, não tem problema, abraço, abraços, agora, já,
    a consulta, minha consulta, consulta, deus abençoe, então, gente, moça, moço, e
    """,
    beside_yes="""
    a, o, minha, meu, consulta, lá, aí, vou, estarei, é, que, com, amanhã, para, pra, de, hora, horário, nesse, esse, dia, está, tá, bem, nos, vemos, tudo, presença, eu, estar, ir, irei, também, nós, até, no, na, às, pontualmente, com a, exame, confirmo, certo
    """,
    doubts="""
    mas, talvez, se, acho, não, nao, ou, atrasar, atraso, atrasado, atrasada, dor, doendo, quando, tentar, tentarei, depende, espero, antes, depois, porém, nunca, mudar,
    trocar, ainda
    """,
    asking="o que, que, quando, onde, quem, por que, como, qual, quanto, posso, pode me, preciso, devo, tem, é, será que",
    alternatives="ou",
)
