"""The sentences of the standard texts, by language. Data; `standard_texts` makes templates of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sentences:
    """One language's sentences; `{at}` is where the appointment's instant stands. The short ones are for text messages."""

    hello: str
    provider: str
    place: str
    questions: str
    answer: str
    cannot_come: str
    subjects: dict[str, str]
    sentences: dict[str, str]
    short: dict[str, str]
    medicine: str = ""
    test: str = ""


SENTENCES = {
    "en": Sentences(
        hello="Hello {name},",
        provider="With:",
        place="Place:",
        questions="Questions:",
        answer="Reply 1 to confirm, 2 for another time.",
        cannot_come="If you cannot come, please tell us as early as you can.",
        medicine="Medicine:",
        test="Test:",
        subjects={
            "appt_confirm": "Your appointment is booked",
            "appt_reminder": "Your appointment is coming up",
            "no_show": "We missed you",
            "rx_refill": "Your prescription",
            "lab_ready": "Your results are ready",
            "campaign_education": "News for you",
            "urgent": "Please call us today",
        },
        sentences={
            "appt_confirm": "your appointment is on {at}.",
            "appt_reminder": "we look forward to seeing you on {at}.",
            "no_show": "we missed you at your appointment on {at}. Please call us, and we will find another time.",
            "rx_refill": "it is time to refill your prescription. Please call us, or ask your pharmacy.",
            "lab_ready": "your results are ready. Please call us if you want to talk about them.",
            "campaign_education": "{message}",
            "urgent": "please call us as soon as you can.",
        },
        short={
            "appt_confirm": "your appointment is on {at}.",
            "appt_reminder": "see you on {at}.",
            "no_show": "we missed you on {at}. Call us for another time.",
            "rx_refill": "it is time to refill your prescription. Please call us.",
            "lab_ready": "your results are ready. Please call us.",
            "campaign_education": "{message}",
            "urgent": "please call us as soon as you can.",
        },
    ),
    "es": Sentences(
        hello="Hola, {name}:",
        provider="Con:",
        place="Lugar:",
        questions="Preguntas:",
        answer="1 para confirmar, 2 para otra hora.",
        cannot_come="Si no puede venir, avísenos lo antes posible.",
        medicine="Medicamento:",
        test="Prueba:",
        subjects={
            "appt_confirm": "Su cita está reservada",
            "appt_reminder": "Su próxima cita",
            "no_show": "No pudimos verle",
            "rx_refill": "Su receta",
            "lab_ready": "Sus resultados están listos",
            "campaign_education": "Novedades para usted",
            "urgent": "Llámenos hoy, por favor",
        },
        sentences={
            "appt_confirm": "su cita es el {at}.",
            "appt_reminder": "le esperamos el {at}.",
            "no_show": "no pudimos verle en su cita del {at}. Llámenos y buscaremos otra hora.",
            "rx_refill": "es hora de renovar su receta. Llámenos o pregunte en su farmacia.",
            "lab_ready": "sus resultados están listos. Llámenos si quiere hablar de ellos.",
            "campaign_education": "{message}",
            "urgent": "llámenos en cuanto pueda, por favor.",
        },
        short={
            "appt_confirm": "su cita: {at}.",
            "appt_reminder": "hasta el {at}.",
            "no_show": "no vino el {at}. Por favor llame.",
            "rx_refill": "es hora de renovar su receta. Por favor llame.",
            "lab_ready": "sus resultados ya llegaron. Por favor llame.",
            "campaign_education": "{message}",
            "urgent": "por favor llame en cuanto pueda.",
        },
    ),
    "fr": Sentences(
        hello="Bonjour {name},",
        provider="Avec :",
        place="Lieu :",
        questions="Questions :",
        answer="Répondez 1 pour confirmer, 2 pour changer.",
        cannot_come="Si vous ne pouvez pas venir, prévenez-nous dès que possible.",
        medicine="Médicament :",
        test="Analyse :",
        subjects={
            "appt_confirm": "Votre rendez-vous est pris",
            "appt_reminder": "Votre prochain rendez-vous",
            "no_show": "Nous ne vous avons pas vu",
            "rx_refill": "Votre ordonnance",
            "lab_ready": "Vos résultats sont disponibles",
            "campaign_education": "Des nouvelles pour vous",
            "urgent": "Appelez-nous aujourd'hui",
        },
        sentences={
            "appt_confirm": "votre rendez-vous est le {at}.",
            "appt_reminder": "nous vous attendons le {at}.",
            "no_show": "nous ne vous avons pas vu à votre rendez-vous du {at}. Appelez-nous pour en prendre un autre.",
            "rx_refill": "il est temps de renouveler votre ordonnance. Appelez-nous ou demandez à votre pharmacie.",
            "lab_ready": "vos résultats sont disponibles. Appelez-nous si vous voulez en parler.",
            "campaign_education": "{message}",
            "urgent": "appelez-nous dès que possible.",
        },
        short={
            "appt_confirm": "votre rendez-vous est le {at}.",
            "appt_reminder": "nous vous attendons le {at}.",
            "no_show": "nous ne vous avons pas vu le {at}. Appelez-nous.",
            "rx_refill": "il est temps de renouveler votre ordonnance. Appelez-nous.",
            "lab_ready": "vos résultats sont disponibles. Appelez-nous.",
            "campaign_education": "{message}",
            "urgent": "appelez-nous dès que possible.",
        },
    ),
    "ar": Sentences(
        hello="مرحبا {name}،",
        provider="مع:",
        place="المكان:",
        questions="للأسئلة:",
        answer="أرسل 1 للتأكيد أو 2 لتغيير الموعد.",
        cannot_come="إذا تعذر حضورك فأخبرنا في أقرب وقت.",
        medicine="الدواء:",
        test="التحليل:",
        subjects={
            "appt_confirm": "تم حجز موعدك",
            "appt_reminder": "موعدك القادم",
            "no_show": "لم نتمكن من رؤيتك",
            "rx_refill": "وصفتك",
            "lab_ready": "نتائجك جاهزة",
            "campaign_education": "أخبار لك",
            "urgent": "يرجى الاتصال بنا اليوم",
        },
        sentences={
            "appt_confirm": "موعدك يوم {at}.",
            "appt_reminder": "نتطلع إلى رؤيتك يوم {at}.",
            "no_show": "لم نرك في موعدك يوم {at}. اتصل بنا لتحديد موعد آخر.",
            "rx_refill": "حان وقت تجديد وصفتك. اتصل بنا أو اسأل صيدليتك.",
            "lab_ready": "نتائجك جاهزة. اتصل بنا إذا أردت الحديث عنها.",
            "campaign_education": "{message}",
            "urgent": "يرجى الاتصال بنا في أقرب وقت.",
        },
        short={
            "appt_confirm": "موعدك {at}.",
            "appt_reminder": "نراك {at}.",
            "no_show": "لم نرك {at}. اتصل بنا لموعد آخر.",
            "rx_refill": "حان وقت تجديد وصفتك. اتصل بنا.",
            "lab_ready": "نتائجك جاهزة. اتصل بنا.",
            "campaign_education": "{message}",
            "urgent": "يرجى الاتصال بنا في أقرب وقت.",
        },
    ),
    "pt": Sentences(
        hello="Olá, {name},",
        provider="Com:",
        place="Local:",
        questions="Dúvidas:",
        answer="1 para confirmar, 2 para mudar.",
        cannot_come="Se não puder vir, avise-nos o quanto antes.",
        medicine="Medicamento:",
        test="Exame:",
        subjects={
            "appt_confirm": "Sua consulta está marcada",
            "appt_reminder": "Sua próxima consulta",
            "no_show": "Sentimos sua falta",
            "rx_refill": "Sua receita",
            "lab_ready": "Seus resultados estão prontos",
            "campaign_education": "Novidades para você",
            "urgent": "Ligue para nós hoje",
        },
        sentences={
            "appt_confirm": "sua consulta é {at}.",
            "appt_reminder": "esperamos você {at}.",
            "no_show": "sentimos sua falta na consulta de {at}. Ligue para marcarmos outra hora.",
            "rx_refill": "está na hora de renovar sua receita. Ligue para nós ou fale com sua farmácia.",
            "lab_ready": "seus resultados estão prontos. Ligue para nós se quiser falar sobre eles.",
            "campaign_education": "{message}",
            "urgent": "ligue para nós assim que puder.",
        },
        short={
            "appt_confirm": "consulta {at}.",
            "appt_reminder": "até {at}.",
            "no_show": "sentimos sua falta {at}. Ligue-nos.",
            "rx_refill": "está na hora de renovar sua receita. Ligue para nós.",
            "lab_ready": "seus resultados estão prontos. Ligue para nós.",
            "campaign_education": "{message}",
            "urgent": "ligue para nós assim que puder.",
        },
    ),
    "hi": Sentences(
        hello="नमस्ते {name},",
        provider="किनके साथ:",
        place="स्थान:",
        questions="प्रश्नों के लिए:",
        answer="1 = पुष्टि, 2 = दूसरा समय।",
        cannot_come="यदि आप नहीं आ सकते, तो कृपया हमें जल्दी बताएँ।",
        subjects={
            "appt_confirm": "आपका अपॉइंटमेंट तय है",
            "appt_reminder": "आपका आगामी अपॉइंटमेंट",
        },
        sentences={
            "appt_confirm": "आपका अपॉइंटमेंट {at} है।",
            "appt_reminder": "हम {at} आपकी प्रतीक्षा करेंगे।",
        },
        short={
            "appt_confirm": "अपॉइंटमेंट {at}।",
            "appt_reminder": "मिलते हैं {at}।",
        },
    ),
    "yo": Sentences(
        hello="Ẹ n lẹ́ {name},",
        provider="Pẹ̀lú:",
        place="Ibi:",
        questions="Ìbéèrè:",
        answer="1 = bẹ́ẹ̀ni, 2 = àkókò mìíràn.",
        cannot_come="Bí ẹ kò bá lè wá, ẹ jọ̀ọ́ ẹ tètè sọ fún wa.",
        subjects={
            "appt_confirm": "A ti gba àkókò fún yín",
            "appt_reminder": "Àkókò yín ń bọ̀",
        },
        sentences={
            "appt_confirm": "a ti gba àkókò fún yín: {at}.",
            "appt_reminder": "a ń retí yín ní {at}.",
        },
        short={
            "appt_confirm": "àkókò yín: {at}.",
            "appt_reminder": "à ń retí yín: {at}.",
        },
    ),
}
