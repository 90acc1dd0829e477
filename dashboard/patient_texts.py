"""The words of the pages that patients open by a link, in the languages that they read. Owns the words; shows nothing."""

# ruff: noqa: RUF001  (French and others are written with letters and marks that look like those of English)
from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# Stored with a yes, so that it can be told later what somebody agreed to; a new one with every change of a consent's words.
WORDING_VERSION = "preference-page-1"
RIGHT_TO_LEFT = frozenset({"ar"})
LANGUAGES = MappingProxyType(
    {
        "en": "English",
        "es": "Español",
        "fr": "Français",
        "ar": "العربية",
        "pt": "Português",
        "hi": "हिन्दी",
        "yo": "Yorùbá",
    }
)

_EN = {
    "clinic": "your clinic",
    "email": "e-mail",
    "sms": "SMS",
    "whatsapp": "WhatsApp",
    "message_title": "A message for you",
    "from": "From {clinic}",
    "until": "You can read this page until {when}.",
    "private": "Do not pass this page on: whoever has its link can read it.",
    "call": "Call {clinic}: {phone}",
    "gone_title": "This link does not open anything",
    "gone": "Links end after some time, to protect you. Check that you opened the whole link. If it still does not open,"
    " please call your clinic: they can tell you what the message says, send it again or change how you are reached.",
    "wait_title": "Please wait a little",
    "wait": "Too many links that do not exist were opened from your network. Try again in 15 minutes, or call your clinic.",
    "refused_title": "Nothing was changed",
    "refused": "The request was not complete. Open the link again and use the button, or call your clinic.",
    "prefs_title": "How we may reach you",
    "prefs": "Choose how {clinic} may write to you. You can change it here whenever you like.",
    "saved": "Your choices are saved.",
    "unchanged": "Nothing was changed.",
    "not_saved": "Nothing was saved. Put right what is marked below.",
    "care_title": "Messages about your care",
    "care": "Appointments, prescriptions and results.",
    "by": "By {channel}",
    "to": "to {address}",
    "no_address": "We have no address or number for this. Call your clinic to add one.",
    "stopped": "Stopped on {day}. Tick it to get messages here again.",
    "stopped_there": "Stopped on {day}. To allow it again, send START from that telephone, or open the link of "
    "a message that came there.",
    "wording_start": "I agree that {clinic} sends me messages about my care by {channel} again, to {address}.",
    "marketing_title": "Health education",
    "marketing": "Only if you want it. Your care does not depend on it, and you can take it back here at any time.",
    "wording_marketing": "I agree that {clinic} sends me health education by {channel}. My"
    " care does not depend on it, and I"
    " can take this back at any time.",
    "quiet_title": "Quiet hours",
    "quiet": "Between these times we write only what is urgent. Time zone: {zone}.",
    "quiet_start": "From",
    "quiet_end": "Until",
    "invalid_time": "Write both times like 22:00.",
    "language_title": "Language",
    "save": "Save my choices",
    "stop_title": "Stop these messages?",
    "stop_all": "Nothing more is sent to you by {channel}, neither about appointments nor anything else.",
    "stop_marketing": "No more health education is sent to you by {channel}. Messages about your care still come.",
    "stop_button": "Stop them",
    "stopped_title": "Done",
    "all_choices": "All your choices",
}
_ES = {
    "clinic": "su clínica",
    "email": "correo electrónico",
    "sms": "SMS",
    "whatsapp": "WhatsApp",
    "message_title": "Un mensaje para usted",
    "from": "De {clinic}",
    "until": "Puede leer esta página hasta el {when}.",
    "private": "No comparta esta página: quien tenga el enlace puede leerla.",
    "call": "Llame a {clinic}: {phone}",
    "gone_title": "Este enlace no abre nada",
    "gone": "Los enlaces caducan pasado un tiempo, para protegerle. Compruebe que"
    " abrió el enlace completo. Si aun así no se"
    " abre, llame a su clínica: pueden decirle lo que dice el mensaje, enviarlo de nuevo o cambiar cómo le contactamos.",
    "wait_title": "Espere un poco, por favor",
    "wait": "Desde su red se abrieron demasiados enlaces que no existen. Inténtelo en 15 minutos o llame a su clínica.",
    "refused_title": "No se cambió nada",
    "refused": "La solicitud no estaba completa. Abra el enlace otra vez y use el botón, o llame a su clínica.",
    "prefs_title": "Cómo podemos contactarle",
    "prefs": "Elija cómo puede escribirle {clinic}. Puede cambiarlo aquí cuando quiera.",
    "saved": "Sus preferencias se han guardado.",
    "unchanged": "No se cambió nada.",
    "not_saved": "No se guardó nada. Corrija lo que está marcado abajo.",
    "care_title": "Mensajes sobre su atención",
    "care": "Citas, recetas y resultados.",
    "by": "Por {channel}",
    "to": "a {address}",
    "no_address": "No tenemos dirección ni número para esto. Llame a su clínica para añadirlo.",
    "stopped": "Detenido el {day}. Márquelo para volver a recibir mensajes aquí.",
    "stopped_there": "Detenido el {day}. Para permitirlo de nuevo, envíe START desde ese teléfono o abra el "
    "enlace de un mensaje que llegó allí.",
    "wording_start": "Acepto que {clinic} me envíe de nuevo mensajes sobre mi atención por {channel}, a {address}.",
    "marketing_title": "Educación para la salud",
    "marketing": "Solo si usted quiere. Su atención no depende de ello y puede retirarlo aquí en cualquier momento.",
    "wording_marketing": "Acepto que {clinic} me envíe educación para la salud por"
    " {channel}. Mi atención no depende de ello"
    " y puedo retirarlo en cualquier momento.",
    "quiet_title": "Horas de silencio",
    "quiet": "Entre estas horas solo escribimos lo urgente. Zona horaria: {zone}.",
    "quiet_start": "Desde",
    "quiet_end": "Hasta",
    "invalid_time": "Escriba ambas horas así: 22:00.",
    "language_title": "Idioma",
    "save": "Guardar mis preferencias",
    "stop_title": "¿Detener estos mensajes?",
    "stop_all": "No se le enviará nada más por {channel}, ni sobre citas ni sobre otra cosa.",
    "stop_marketing": "No se le enviará más educación para la salud por {channel}. Los mensajes sobre su atención siguen.",
    "stop_button": "Detenerlos",
    "stopped_title": "Hecho",
    "all_choices": "Todas sus preferencias",
}
_FR = {
    "clinic": "votre clinique",
    "email": "e-mail",
    "sms": "SMS",
    "whatsapp": "WhatsApp",
    "message_title": "Un message pour vous",
    "from": "De {clinic}",
    "until": "Vous pouvez lire cette page jusqu’au {when}.",
    "private": "Ne transmettez pas cette page : toute personne qui a le lien peut la lire.",
    "call": "Appelez {clinic} : {phone}",
    "gone_title": "Ce lien n’ouvre rien",
    "gone": "Les liens expirent après un certain temps, pour vous protéger. Vérifiez"
    " que vous avez ouvert le lien entier. S’il"
    " ne s’ouvre toujours pas, appelez votre clinique : elle peut vous dire ce que"
    " contient le message, le renvoyer ou changer"
    " la façon de vous joindre.",
    "wait_title": "Merci de patienter un peu",
    "wait": "Trop de liens inexistants ont été ouverts depuis votre réseau. Réessayez dans 15 minutes ou appelez votre"
    " clinique.",
    "refused_title": "Rien n’a été modifié",
    "refused": "La demande était incomplète. Ouvrez le lien de nouveau et utilisez le bouton, ou appelez votre clinique.",
    "prefs_title": "Comment vous joindre",
    "prefs": "Choisissez comment {clinic} peut vous écrire. Vous pouvez le modifier ici quand vous voulez.",
    "saved": "Vos choix sont enregistrés.",
    "unchanged": "Rien n’a été modifié.",
    "not_saved": "Rien n’a été enregistré. Corrigez ce qui est signalé ci-dessous.",
    "care_title": "Messages sur vos soins",
    "care": "Rendez-vous, ordonnances et résultats.",
    "by": "Par {channel}",
    "to": "à {address}",
    "no_address": "Nous n’avons ni adresse ni numéro pour cela. Appelez votre clinique pour en ajouter un.",
    "stopped": "Arrêté le {day}. Cochez la case pour recevoir de nouveau des messages ici.",
    "stopped_there": "Arrêté le {day}. Pour l’autoriser de nouveau, envoyez START depuis ce téléphone ou ouvrez "
    "le lien d’un message reçu à cette adresse.",
    "wording_start": "J’accepte que {clinic} m’envoie de nouveau des messages sur mes soins par {channel}, à {address}.",
    "marketing_title": "Éducation à la santé",
    "marketing": "Seulement si vous le souhaitez. Vos soins n’en dépendent pas et vous pouvez revenir en arrière ici à tout"
    " moment.",
    "wording_marketing": "J’accepte que {clinic} m’envoie de l’éducation à la santé par {channel}. Mes soins n’en dépendent"
    " pas et je peux retirer cet accord à tout moment.",
    "quiet_title": "Heures calmes",
    "quiet": "Entre ces heures, nous n’écrivons que ce qui est urgent. Fuseau horaire : {zone}.",
    "quiet_start": "De",
    "quiet_end": "À",
    "invalid_time": "Écrivez les deux heures ainsi : 22:00.",
    "language_title": "Langue",
    "save": "Enregistrer mes choix",
    "stop_title": "Arrêter ces messages ?",
    "stop_all": "Plus rien ne vous sera envoyé par {channel}, ni sur vos rendez-vous ni sur autre chose.",
    "stop_marketing": "Plus d’éducation à la santé par {channel}. Les messages sur vos soins continuent.",
    "stop_button": "Les arrêter",
    "stopped_title": "C’est fait",
    "all_choices": "Tous vos choix",
}
_AR = {
    "clinic": "عيادتك",
    "email": "البريد الإلكتروني",
    "sms": "الرسائل النصية",
    "whatsapp": "واتساب",
    "message_title": "رسالة لك",
    "from": "من {clinic}",
    "until": "يمكنك قراءة هذه الصفحة حتى {when}.",
    "private": "لا ترسل هذه الصفحة إلى أحد: كل من لديه الرابط يستطيع قراءتها.",
    "call": "اتصل بـ {clinic}: {phone}",
    "gone_title": "هذا الرابط لا يفتح شيئًا",
    "gone": "تنتهي الروابط بعد مدة لحمايتك. تأكد من أنك فتحت الرابط كاملًا. إذا لم"
    " يفتح، فاتصل بعيادتك: يمكنهم إخبارك بما في"
    " الرسالة أو إرسالها من جديد أو تغيير طريقة التواصل معك.",
    "wait_title": "يرجى الانتظار قليلًا",
    "wait": "فُتحت من شبكتك روابط كثيرة غير موجودة. حاول مرة أخرى بعد 15 دقيقة أو اتصل بعيادتك.",
    "refused_title": "لم يتغير شيء",
    "refused": "لم يكن الطلب كاملًا. افتح الرابط من جديد واستخدم الزر، أو اتصل بعيادتك.",
    "prefs_title": "كيف يمكننا التواصل معك",
    "prefs": "اختر كيف يمكن أن تكتب إليك {clinic}. يمكنك تغيير ذلك هنا متى شئت.",
    "saved": "حُفظت اختياراتك.",
    "unchanged": "لم يتغير شيء.",
    "not_saved": "لم يُحفظ شيء. صحّح ما هو مبيّن أدناه.",
    "care_title": "رسائل عن رعايتك",
    "care": "المواعيد والوصفات والنتائج.",
    "by": "عبر {channel}",
    "to": "إلى {address}",
    "no_address": "ليس لدينا عنوان أو رقم لهذا. اتصل بعيادتك لإضافته.",
    "stopped": "أُوقفت في {day}. ضع علامة لتصلك الرسائل هنا من جديد.",
    "stopped_there": "أُوقفت في {day}. للسماح بها من جديد، أرسل START من ذلك الهاتف أو افتح رابط رسالة وصلت إلى هناك.",
    "wording_start": "أوافق على أن ترسل إليّ {clinic} من جديد رسائل عن رعايتي عبر {channel} إلى {address}.",
    "marketing_title": "التثقيف الصحي",
    "marketing": "فقط إذا أردت. رعايتك لا تتوقف على ذلك، ويمكنك التراجع عنه هنا في أي وقت.",
    "wording_marketing": "أوافق على أن ترسل إليّ {clinic} تثقيفًا صحيًا عبر {channel}. رعايتي لا تتوقف على ذلك، ويمكنني"
    " التراجع في أي وقت.",
    "quiet_title": "ساعات الهدوء",
    "quiet": "بين هذين الوقتين لا نكتب إلا ما هو عاجل. المنطقة الزمنية: {zone}.",
    "quiet_start": "من",
    "quiet_end": "إلى",
    "invalid_time": "اكتب الوقتين هكذا: 22:00.",
    "language_title": "اللغة",
    "save": "حفظ اختياراتي",
    "stop_title": "هل تريد إيقاف هذه الرسائل؟",
    "stop_all": "لن يُرسل إليك شيء بعد الآن عبر {channel}، لا عن المواعيد ولا عن غيرها.",
    "stop_marketing": "لن يُرسل إليك تثقيف صحي عبر {channel}. أما الرسائل عن رعايتك فتستمر.",
    "stop_button": "أوقفها",
    "stopped_title": "تم",
    "all_choices": "كل اختياراتك",
}
_PT = {
    "clinic": "a sua clínica",
    "email": "e-mail",
    "sms": "SMS",
    "whatsapp": "WhatsApp",
    "message_title": "Uma mensagem para si",
    "from": "De {clinic}",
    "until": "Pode ler esta página até {when}.",
    "private": "Não partilhe esta página: quem tiver o link pode lê-la.",
    "call": "Ligue para {clinic}: {phone}",
    "gone_title": "Este link não abre nada",
    "gone": "Os links terminam ao fim de algum tempo, para sua proteção. Verifique se"
    " abriu o link completo. Se continuar sem"
    " abrir, ligue para a sua clínica: podem dizer-lhe o que diz a mensagem,"
    " enviá-la de novo ou mudar a forma de contacto.",
    "wait_title": "Aguarde um pouco, por favor",
    "wait": "Da sua rede foram abertos demasiados links que não existem. Tente de novo"
    " em 15 minutos ou ligue para a clínica.",
    "refused_title": "Nada foi alterado",
    "refused": "O pedido não estava completo. Abra o link de novo e use o botão, ou ligue para a sua clínica.",
    "prefs_title": "Como podemos contactar consigo",
    "prefs": "Escolha como pode receber mensagens ({clinic}). Pode mudar aqui sempre que quiser.",
    "saved": "As suas escolhas foram guardadas.",
    "unchanged": "Nada foi alterado.",
    "not_saved": "Nada foi guardado. Corrija o que está assinalado abaixo.",
    "care_title": "Mensagens sobre os seus cuidados",
    "care": "Consultas, receitas e resultados.",
    "by": "Por {channel}",
    "to": "para {address}",
    "no_address": "Não temos endereço nem número para isto. Ligue para a sua clínica para o adicionar.",
    "stopped": "Parado em {day}. Assinale para voltar a receber mensagens aqui.",
    "stopped_there": "Parado em {day}. Para permitir de novo, envie START a partir desse telefone ou abra a "
    "ligação de uma mensagem que lá chegou.",
    "wording_start": "Aceito voltar a receber mensagens sobre os meus cuidados por {channel}, para {address} ({clinic}).",
    "marketing_title": "Educação para a saúde",
    "marketing": "Só se quiser. Os seus cuidados não dependem disto e pode voltar atrás aqui a qualquer momento.",
    "wording_marketing": "Aceito receber educação para a saúde por {channel} ({clinic}). Os"
    " meus cuidados não dependem disto e"
    " posso voltar atrás a qualquer momento.",
    "quiet_title": "Horas de silêncio",
    "quiet": "Entre estas horas só escrevemos o que é urgente. Fuso horário: {zone}.",
    "quiet_start": "Das",
    "quiet_end": "Até",
    "invalid_time": "Escreva as duas horas assim: 22:00.",
    "language_title": "Língua",
    "save": "Guardar as minhas escolhas",
    "stop_title": "Parar estas mensagens?",
    "stop_all": "Nada mais lhe será enviado por {channel}, nem sobre consultas nem sobre outra coisa.",
    "stop_marketing": "Não receberá mais educação para a saúde por {channel}. As"
    " mensagens sobre os seus cuidados continuam.",
    "stop_button": "Parar",
    "stopped_title": "Feito",
    "all_choices": "Todas as suas escolhas",
}
_HI = {
    "clinic": "आपका क्लिनिक",
    "email": "ई-मेल",
    "sms": "एसएमएस",
    "whatsapp": "व्हाट्सऐप",
    "message_title": "आपके लिए एक संदेश",
    "from": "{clinic} की ओर से",
    "until": "आप यह पेज {when} तक पढ़ सकते हैं।",
    "private": "यह पेज किसी को न भेजें: जिसके पास लिंक है, वह इसे पढ़ सकता है।",
    "call": "{clinic} को फ़ोन करें: {phone}",
    "gone_title": "इस लिंक से कुछ नहीं खुलता",
    "gone": "आपकी सुरक्षा के लिए लिंक कुछ समय बाद बंद हो जाते हैं। देखें कि आपने पूरा लिंक खोला है। फिर भी न खुले तो अपने"
    " क्लिनिक को फ़ोन करें: वे बता सकते हैं कि संदेश में क्या है, उसे दोबारा भेज सकते हैं या संपर्क का तरीका बदल सकते हैं।",
    "wait_title": "कृपया थोड़ा रुकें",
    "wait": "आपके नेटवर्क से बहुत से ऐसे लिंक खोले गए जो हैं ही नहीं। 15 मिनट बाद फिर कोशिश करें या अपने क्लिनिक को फ़ोन करें।",
    "refused_title": "कुछ नहीं बदला गया",
    "refused": "अनुरोध पूरा नहीं था। लिंक फिर से खोलें और बटन दबाएँ, या अपने क्लिनिक को फ़ोन करें।",
    "prefs_title": "हम आपसे कैसे संपर्क करें",
    "prefs": "चुनें कि {clinic} आपको कैसे लिखे। आप इसे जब चाहें यहाँ बदल सकते हैं।",
    "saved": "आपकी पसंद सहेज ली गई है।",
    "unchanged": "कुछ नहीं बदला गया।",
    "not_saved": "कुछ सहेजा नहीं गया। नीचे जो चिह्नित है उसे ठीक करें।",
    "care_title": "आपकी देखभाल के संदेश",
    "care": "अपॉइंटमेंट, दवाइयाँ और जाँच के नतीजे।",
    "by": "{channel} से",
    "to": "{address} पर",
    "no_address": "इसके लिए हमारे पास कोई पता या नंबर नहीं है। जोड़ने के लिए अपने क्लिनिक को फ़ोन करें।",
    "stopped": "{day} को बंद किया गया। यहाँ फिर से संदेश पाने के लिए निशान लगाएँ।",
    "stopped_there": "{day} को बंद किया गया। फिर से अनुमति देने के लिए उस फ़ोन से START भेजें, या वहाँ आए किसी संदेश का लिंक खोलें।",
    "wording_start": "मैं सहमत हूँ कि {clinic} मुझे मेरी देखभाल के संदेश फिर से {channel} से {address} पर भेजे।",
    "marketing_title": "स्वास्थ्य शिक्षा",
    "marketing": "केवल यदि आप चाहें। आपकी देखभाल इस पर निर्भर नहीं है और आप इसे कभी भी यहाँ वापस ले सकते हैं।",
    "wording_marketing": "मैं सहमत हूँ कि {clinic} मुझे {channel} से स्वास्थ्य शिक्षा भेजे।"
    " मेरी देखभाल इस पर निर्भर नहीं है और मैं"
    " इसे कभी भी वापस ले सकता/सकती हूँ।",
    "quiet_title": "शांति के घंटे",
    "quiet": "इन समयों के बीच हम केवल बहुत ज़रूरी बात लिखते हैं। समय क्षेत्र: {zone}.",
    "quiet_start": "कब से",
    "quiet_end": "कब तक",
    "invalid_time": "दोनों समय ऐसे लिखें: 22:00.",
    "language_title": "भाषा",
    "save": "मेरी पसंद सहेजें",
    "stop_title": "ये संदेश बंद करें?",
    "stop_all": "आपको {channel} से अब कुछ नहीं भेजा जाएगा, न अपॉइंटमेंट के बारे में, न कुछ और।",
    "stop_marketing": "आपको {channel} से अब स्वास्थ्य शिक्षा नहीं भेजी जाएगी। आपकी देखभाल के संदेश आते रहेंगे।",
    "stop_button": "बंद करें",
    "stopped_title": "हो गया",
    "all_choices": "आपकी सभी पसंद",
}
_YO = {
    "clinic": "ilé ìwòsàn rẹ",
    "email": "ímeèlì",
    "sms": "SMS",
    "whatsapp": "WhatsApp",
    "message_title": "Ìfiránṣẹ́ kan fún ọ",
    "from": "Láti ọ̀dọ̀ {clinic}",
    "until": "O lè ka ojú ewé yìí títí di {when}.",
    "private": "Má ṣe fi ojú ewé yìí ránṣẹ́ sí ẹlòmíràn: ẹnikẹ́ni tó bá ní ìjápọ̀ rẹ̀ lè kà á.",
    "call": "Pe {clinic}: {phone}",
    "gone_title": "Ìjápọ̀ yìí kò ṣí nǹkan kan",
    "gone": "Àwọn ìjápọ̀ máa ń parí lẹ́yìn ìgbà díẹ̀ láti dáàbò bò ọ́. Wò ó bóyá o ṣí"
    " ìjápọ̀ náà lódindi. Tí kò bá ṣì ṣí, jọ̀wọ́ pe"
    " ilé ìwòsàn rẹ: wọ́n lè sọ ohun tó wà nínú ìfiránṣẹ́ náà, tún un fi ránṣẹ́ tàbí yí bí a ṣe ń kàn sí ọ padà.",
    "wait_title": "Jọ̀wọ́ dúró díẹ̀",
    "wait": "A ti ṣí ọ̀pọ̀ ìjápọ̀ tí kò sí láti orí nẹ́tíwọ́ọ̀kì rẹ. Tún gbìyànjú lẹ́yìn ìṣẹ́jú 15, tàbí pe ilé ìwòsàn rẹ.",
    "refused_title": "A kò yí nǹkan kan padà",
    "refused": "Ìbéèrè náà kò pé. Tún ìjápọ̀ náà ṣí kí o lo bọ́tìnì, tàbí pe ilé ìwòsàn rẹ.",
    "prefs_title": "Bí a ṣe lè kàn sí ọ",
    "prefs": "Yan bí {clinic} ṣe lè kọ̀wé sí ọ. O lè yí i padà níbí nígbàkígbà.",
    "saved": "A ti fi àwọn àṣàyàn rẹ pamọ́.",
    "unchanged": "A kò yí nǹkan kan padà.",
    "not_saved": "A kò fi nǹkan kan pamọ́. Tún ohun tí a sàmì sí nísàlẹ̀ ṣe.",
    "care_title": "Ìfiránṣẹ́ nípa ìtọ́jú rẹ",
    "care": "Àdéhùn, oògùn àti èsì àyẹ̀wò.",
    "by": "Nípasẹ̀ {channel}",
    "to": "sí {address}",
    "no_address": "A kò ní àdírẹ́sì tàbí nọ́ńbà fún èyí. Pe ilé ìwòsàn rẹ láti fi kún un.",
    "stopped": "A dá a dúró ní {day}. Fi àmì sí i láti tún gba ìfiránṣẹ́ níbí.",
    "stopped_there": "A dá a dúró ní {day}. Láti tún gbà á láyè, fi START ránṣẹ́ láti orí fóònù yẹn, tàbí ṣí "
    "ìtọ́ka ìfiránṣẹ́ tó dé ibẹ̀.",
    "wording_start": "Mo gbà kí {clinic} tún máa fi ìfiránṣẹ́ nípa ìtọ́jú mi ránṣẹ́ sí mi nípasẹ̀ {channel}, sí {address}.",
    "marketing_title": "Ẹ̀kọ́ nípa ìlera",
    "marketing": "Tí o bá fẹ́ nìkan ni. Ìtọ́jú rẹ kò dá lé e, o sì lè yí ọkàn rẹ padà níbí nígbàkígbà.",
    "wording_marketing": "Mo gbà kí {clinic} máa fi ẹ̀kọ́ nípa ìlera ránṣẹ́ sí mi nípasẹ̀"
    " {channel}. Ìtọ́jú mi kò dá lé e, mo sì lè"
    " yí ọkàn mi padà nígbàkígbà.",
    "quiet_title": "Wákàtí ìdákẹ́jẹ́",
    "quiet": "Láàárín àwọn àkókò wọ̀nyí, ohun kánjúkánjú nìkan ni a ń kọ. Agbègbè àkókò: {zone}.",
    "quiet_start": "Láti",
    "quiet_end": "Títí di",
    "invalid_time": "Kọ àkókò méjèèjì báyìí: 22:00.",
    "language_title": "Èdè",
    "save": "Fi àwọn àṣàyàn mi pamọ́",
    "stop_title": "Ṣé kí a dá àwọn ìfiránṣẹ́ wọ̀nyí dúró?",
    "stop_all": "A kò ní fi nǹkan kan ránṣẹ́ sí ọ mọ́ nípasẹ̀ {channel}, yálà nípa àdéhùn tàbí ohun mìíràn.",
    "stop_marketing": "A kò ní fi ẹ̀kọ́ nípa ìlera ránṣẹ́ sí ọ mọ́ nípasẹ̀ {channel}. Ìfiránṣẹ́ nípa ìtọ́jú rẹ yóò máa wá.",
    "stop_button": "Dá wọn dúró",
    "stopped_title": "Ó ti parí",
    "all_choices": "Gbogbo àṣàyàn rẹ",
}
_TEXTS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {"en": _EN, "es": _ES, "fr": _FR, "ar": _AR, "pt": _PT, "hi": _HI, "yo": _YO}
)


def known_language(language: str) -> str:
    """The nearest of the languages that there are words in: `pt` for `pt-BR`, English where there is none."""
    main = language.replace("_", "-").partition("-")[0].lower()
    return main if main in _TEXTS else "en"


def texts_in(language: str) -> Mapping[str, str]:
    """All words in a known language, by key."""
    return _TEXTS[language]
