"""Hindi answers, in Devanagari and as they are typed in Latin letters."""

from __future__ import annotations

from dispatchlog.systems.outreach.phrases.language import Language

LANGUAGE = Language(
    code="hi",
    yes_words="""
    हाँ, हां, हा, जी, जी हाँ, हाँ जी, हांजी, जी हां, यस, haan, han, hanji, haanji, haan ji, ji haan, ji, jee, ji han,
    """,
    confirm_words="""
    ठीक है, ठीक, ठीक हे, बिल्कुल, पक्का, ज़रूर, जरूर, अवश्य, सही है, सही, अच्छा, मंजूर है, मंज़ूर, स्वीकार है, ओके, ओ के, कन्फर्म, कन्फर्म है, पुष्टि, पुष्टि करता हूं, पुष्टि करती हूं, मैं पुष्टि करता हूं, मैं पुष्टि करती हूं, आऊंगा, आऊंगी, मैं आऊंगा, मैं आऊंगी, मैं आ जाऊंगा,
    मैं आ जाऊंगी, आ जाऊंगा, आ जाऊंगी, हम आएंगे, आएंगे, आ रहा हूं, आ रही हूं, मैं आ रहा हूं, मैं आ रही हूं, पहुंच जाऊंगा, पहुंच जाऊंगी, मिलते हैं, कल मिलते हैं, तय है, चलेगा, हो जाएगा, आ जाएंगे, हम आ जाएंगे,
    theek hai, thik hai, thik h, theek h, tik hai, thik he, theek, thik, ok, okay, okk, bilkul, pakka, zaroor, zarur, jarur, sahi hai, sahi, acha, accha, achha, confirm, confirm hai, confirm karo, confirm kar do, confirm h, manzoor hai, aaunga, aaungi,
    aunga, aungi, main aaunga, main aaungi, mai aaunga, mai aaungi, mein aaunga, main aa jaunga, main aa jaungi, aa jaunga, aa jaungi, aajaunga, aajaungi, a jaunga, a jaungi, aa raha hu, aa rahi hu, aa raha hoon, aa rahi hoon,
    main aa raha hu, main aa rahi hu, hum aayenge, hum aa jayenge, aa jayenge, aayenge, pahunch jaunga, pahunch jaungi, milte hai, milte hain, kal milte hai, kal milte hain, chalega, ho jayega, done,
    आ रहे हैं, हम आ रहे हैं, समय पर पहुंच जाएंगे, हम समय पर पहुंच जाएंगे, पहुंच जाएंगे, हम पहुंच जाएंगे, समय पर आ जाऊंगा, समय पर आएंगे, aa rahe hain, aa rahe hai, hum aa rahe hain, pahunch jayenge, time pe aa jaunga, ज़रूर आऊंगा, जरूर आऊंगी, जी ज़रूर, कन्फर्म कर दो, कन्फर्म करें, पक्का आऊंगा, sahi, theek rahega, ठीक रहेगा, ok ji, haan aa jaunga, samay par aaunga, manjur, मुझे मंजूर है, aana hai, हाँ आना है
    """,
    confirm_patterns="""
    (?:मैं|हम) (?:ज़रूर |जरूर |समय पर |कल |आज |पक्का )?(?:आऊंगा|आऊंगी|आएंगे|आ जाऊंगा|आ जाऊंगी|आ जाएंगे|पहुंच जाऊंगा|पहुंच जाऊंगी)
    (?:main|mai|mein|hum|me) (?:zaroor |zarur |jarur |time pe |time par |kal |aaj |pakka )?(?:aaunga|aaungi|aunga|aungi|aa jaunga|aa jaungi|aajaunga|aajaungi|aa jayenge|aayenge|pahunch jaunga|pahunch jaungi)
    """,
    reschedule_words="""
    नहीं, नही, ना, जी नहीं, नहीं जी, नहीं आ सकता, नहीं आ सकती, नहीं आऊंगा, नहीं आऊंगी, मैं नहीं आ सकता, मैं नहीं आ सकती, मैं नहीं आऊंगा, संभव नहीं, समय बदलो, समय बदलें, समय बदल दो, तारीख बदलो, तारीख बदलें, तारीख बदल दो, बदलें, बदलो, दूसरा दिन,
    दूसरा समय, दूसरी तारीख, कोई और दिन, कोई और समय, और दिन, व्यस्त हूं, बाद में, nahi, nahin, nhi, nai, na, naa, ji nahi, nahi ji, nahi aa sakta, nahi aa sakti, nahi aaunga, nahi aaungi, nahi aa paunga, nahi aa paungi, possible nahi, time badlo, date badlo,
    time change, date change, change time, dusra din, dusra time, doosra din, koi aur din, koi aur time, aur din, baad me, baad mein, busy hu, busy hoon, reschedule karo, reschedule kar do, badlo, badal do
    """,
    reschedule_patterns="""
    (?:नहीं|नही|ना) (?:\\S+ )?(?:आ|पहुंच|जा|आऊंगा|आऊंगी|आएंगे|आ पाऊंगा|आ पाऊंगी|हो पाएगा|आना|मिल) ?(?:सकता|सकती|सकते|पाऊंगा|पाऊंगी|पाएंगे|रहा|रही|जाऊंगा|जाऊंगी|हूं|है)?(?: .*)?
    (?:समय|टाइम|तारीख|दिन|अपॉइंटमेंट|डेट|तारिख) (?:\\S+ )?(?:बदल\\S*|चेंज|आगे|रद्द|कैंसल|कैंसिल|बढ़ा\\S*|पोस्टपोन)(?: .*)?
    (?:दूसरा|दूसरी|दूसरे|कोई और|और कोई|किसी और|कोई दूसरा|अगले|अलग) (?:दिन|समय|टाइम|तारीख|वक्त|डेट|हफ्ते|सप्ताह)(?: .*)?
    (?:की|के) (?:जगह|बजाय|बदले)(?: .*)?
    (?:आगे बढ़ा|रीशेड्यूल|टाल|स्थगित)\\S*(?: .*)?
    (?:nahi|nahin|nhi|nai|na) (?:\\w+ )?(?:aa|pahunch|ja|aaunga|aaungi|aunga|aungi|aayenge|aana) ?(?:sakta|sakti|sakte|paunga|paungi|payenge|raha|rahi|jaunga|payega|hu|hoon|skta|skti)?(?: .*)?
    (?:aa|aana) (?:\\w+ )?(?:nahi|nhi|nahin)(?: .*)?
    (?:time|date|samay|tarikh|tareekh|din|appointment|appt) (?:\\w+ )?(?:badal\\w*|badl\\w*|change|aage|cancel|postpone|reschedule)(?: .*)?
    (?:change|badal|badlo|cancel|postpone|reschedule) (?:kar\\w*|karo|do|karna|karein) ?(?:.*)?
    (?:dusra|dusri|dusre|doosra|doosri|koi aur|aur koi|kisi aur|koi dusra|agle|next) (?:din|time|samay|tarikh|date|hafte|week)(?: .*)?
    (?:ki jagah|ke badle|ke bajay)(?: .*)?

    (?:उस दिन|कल|आज|तब) (?:\\S+ )?(?:काम|व्यस्त|बाहर|छुट्टी|ऑफिस|शादी)(?: .*)?
    (?:us din|kal|aaj) (?:\\w+ )?(?:kaam|busy|bahar|office|shaadi|shadi)(?: .*)?
    (?:सोमवार|मंगलवार|बुधवार|गुरुवार|शुक्रवार|शनिवार|रविवार|शाम|सुबह|दोपहर|अगले हफ्ते|अगले सप्ताह|परसों) (?:\\S+ ){0,3}(?:सकता|सकती|मिलेगा|मिल|होगा|चलेगा|कर दो|कर दीजिए|आ सकता|आ सकती)(?: .*)?
    (?:somwar|mangalwar|budhwar|guruwar|shukrawar|shukravar|shanivar|ravivar|monday|tuesday|wednesday|thursday|friday|saturday|sunday|sham|shaam|subah|dopahar|parso|agle hafte|next week) (?:\\w+ ){0,3}(?:sakta|sakti|milega|mil|hoga|chalega|kar do|kardo)(?: .*)?
    (?:मुझे|mujhe) (?:\\S+ )?(?:appointment|अपॉइंटमेंट) (?:cancel|रद्द|कैंसिल|बदल|change)\\S*(?: .*)?
    """,
    cancel_words="रद्द, रद्द करें, रद्द करो, रद्द कर दो, कैंसल, कैंसिल, cancel karo, cancel kar do, radd karo, radd",
    stop_words="""
    बंद, बंद करो, बंद करें, बंद कीजिए, बंद कर दो, बंद कर दीजिए, रोकें, रोको, रोक दो, रुको, रुकें, रुकिए, बस, बस करो, बस करें, स्टॉप, मत भेजो, मत भेजिए, और मत भेजो, हटाओ, हटा दो, मुझे हटा दो, परेशान मत करो, तंग मत करो, सदस्यता रद्द करें, अनसब्सक्राइब,
    band, band karo, band karein, band kijiye, band kar do, band kardo, band kar dijiye, roko, rokein, rok do, ruko, bas, bas karo, bas kro, mat bhejo, mat bhejiye, mat bhejna, aur mat bhejo, hatao, hata do, mujhe hata do, pareshan mat karo, tang mat karo,
    stop karo, stop kar do, stop kro, band kro,
    tang mat kijiye, pareshan mat kijiye, तंग मत कीजिए, परेशान मत कीजिए, message mat karo, msg mat karo, मैसेज मत करो, अब बस, bas ab, बस अब, हटाइए, band kro yaar
    """,
    stop_patterns="""
    (?:मैसेज|मेसेज|संदेश|सन्देश|एसएमएस|संदेशा|मेसेजेस|मैसेजेस|सूचना|रिमाइंडर|टेक्स्ट|यह|ये) (?:\\S+ )?(?:बंद|मत|रोक|रोको|रोकें|स्टॉप|नहीं चाहिए|नही चाहिए|ना)(?: .*)?
    (?:मत|न|ना|नहीं) (?:भेज|लिख|मैसेज|सताओ|सता|सम्पर्क|संपर्क)\\S*(?: .*)?
    (?:मुझे|हमें) (?:\\S+ )?(?:परेशान|तंग|डिस्टर्ब) (?:मत|न|ना|नहीं)(?: .*)?
    (?:मेरा|मेरे|यह|इस|ये) (?:नंबर|नम्बर|नाम|फोन) (?:\\S+ )?(?:हटा|डिलीट|मिटा|निकाल)\\S*(?: .*)?
    (?:मुझे|मेरा) (?:\\S+ )?(?:लिस्ट|सूची) से (?:हटा|निकाल)\\S*(?: .*)?
    (?:अब |और |आपके |कोई |कोई और ){1,3}(?:संदेश|मैसेज|मेसेज|एसएमएस) (?:नहीं|नही|मत)(?: .*)?
    (?:message|messages|msg|msgs|mesage|sms|text|texts|reminder|reminders|sandesh|ye|yeh) (?:\\w+ ){0,2}(?:band|bandh|mat|roko|rok|stop|nahi chahiye|nhi chahiye|na bhej\\w*)(?: .*)?
    (?:mat|na|nahi) (?:bhej|likh|message|msg|text|sms|contact)\\w*(?: .*)?
    (?:mujhe|muje|hume) (?:\\w+ )?(?:pareshan|tang|disturb) (?:mat|na|nahi)(?: .*)?
    (?:mera|mere|ye|yeh|is) (?:number|no|naam|phone|nambar) (?:\\w+ )?(?:hata|delete|mita|nikal|remove)\\w*(?: .*)?
    list se (?:hata|nikal|remove)\\w*(?: .*)?
    (?:band|stop) (?:karo|kro|kar do|kardo|karein|kijiye|kar dijiye) (?:ye |yeh |in |ab |sab )?(?:message|messages|msg|msgs|sms|texts?|sab)?
    (?:akela|अकेला) (?:chhod|chod|छोड़)\\S* ?(?:do|दो)?

    (?:तंग|परेशान|डिस्टर्ब) (?:मत|न|ना) \\S+
    (?:tang|pareshan|disturb) (?:mat|na) \\w+
    (?:भेजना|भेजने|लिखना) (?:\\S+ )?(?:बंद|रोक|छोड़)\\S*(?: .*)?
    (?:bhejna|bhejne|likhna) (?:\\w+ )?(?:band|rok|stop)\\w*(?: .*)?
    """,
    not_stop_patterns="""
    \\A(?:.* )?(?:बंद|रोक) (?:मत|ना|न|नहीं|नही)(?: .*)?
    \\A(?:.* )?(?:band|roko|stop|rok) (?:mat|na|nahi|nhi|nahin)(?: .*)?
    \\A(?:.* )?(?:दवा|दवाई|गोली|इलाज|dawa|dawai|goli|medicine|khoon|खून|khansi|खांसी|bukhar|बुखार|dard|दर्द)(?: .*)?
    \\A(?:.* )?(?:मैसेज|संदेश|message|msg) (?:नहीं|nahi|nhi|nahin) (?:आया|मिला|aaya|mila|aya)(?: .*)?
    """,
    start_words="""
    शुरू, शुरु, शुरू करें, शुरू करो, शुरू कर दो, शुरू कीजिए, आरंभ, चालू, चालू करो, चालू करें, सब्सक्राइब, फिर से शुरू करें, फिर से शुरू करो, shuru, shuru karo, shuru karein, shuru kar do, shuru kijiye, chalu karo, chalu kar do, chalu,
    phir se shuru karo, dobara shuru karo, start karo, start kar do,
    चालू कर दो, चालू कीजिए, फिर से चालू करो, वापस शुरू करो, वापस चालू करो, chalu kar dijiye, wapas shuru karo, शुरू कर दीजिए, भेजना शुरू करो
    """,
    start_patterns="""
    (?:फिर से|दोबारा|फिर) (?:\\S+ ){0,3}(?:भेज|शुरू|शुरु|चालू|मैसेज|संदेश)\\S*(?: .*)?
    (?:phir se|fir se|dobara|wapas) (?:\\w+ ){0,3}(?:bhej|shuru|chalu|message|msg)\\w*(?: .*)?
    (?:मैसेज|संदेश|message|messages|msg) (?:\\S+ )?(?:शुरू|चालू|shuru|chalu|start)(?: .*)?
    """,
    help_words="""
    मदद, मदद करें, मदद करो, मदद चाहिए, मेरी मदद करो, सहायता, सहायता चाहिए, हेल्प, जानकारी, कौन, कौन है, कौन हैं आप, आप कौन हैं, आप कौन, यह कौन है, madad, madad karo, madad chahiye, meri madad karo, sahayata, sahayta, help karo, jankari, kaun,
    kaun hai, kon hai, aap kaun, aap kaun hai, aap kaun ho, aap kon ho, kaun ho, ye kaun hai,
    मुझे मदद चाहिए, मुझे सहायता चाहिए, mujhe madad chahiye, कौन बोल रहे हैं, आप कौन बोल रहे हैं, kaun bol rahe hain, aap kaun bol rahe hain, aap kaun bol rahe ho, kaun bol raha hai, कौन बोल रहा है, ये किसका नंबर है, yeh kiska number hai
    """,
    help_patterns="""
    (?:आप|यह|ये) कौन(?: हैं| है| हो)?
    (?:aap|ye|yeh) (?:kaun|kon)(?: hai| ho| hain| h)?
    """,
    polite="""
    धन्यवाद, शुक्रिया, कृपया, प्लीज, प्लीज़, नमस्ते, नमस्कार, डॉक्टर, डॉक्टर साहब, सर, मैडम, माफ करना, माफ़ कीजिए, क्षमा करें, कोई बात नहीं, अभी, dhanyawad, dhanyavad, shukriya, kripya, plz, please, pls, namaste, namaskar, doctor, doctor sahab, sir, madam, mam,
    sorry, maaf karna, koi baat nahi, abhi, bhai, sahab, thank you, thanks, yaar, भाई
    """,
    beside_yes="""
    ha, मैं, हम, कल, आज, समय, पर, आ, जाऊंगा, जाऊंगी, को, है, हैं, हूं, भी, तो, अपॉइंटमेंट, के, लिए, का, main, mai, hum, kal, aaj, time, pe, par, aa, jaunga, jaungi, ko, hai, hain, hu, bhi, to, appointment, ke, liye, ka, h, se, mummy, papa, mera, meri, मेरा, मेरी
    """,
    doubts="""
    लेकिन, मगर, पर, शायद, अगर, यदि, या, नहीं, नही, मत, देर, दर्द, कब, कोशिश, पहले, बाद, lekin, magar, par, shayad, agar, ya, nahi, nhi, nahin, mat, late, der, dard, kab, koshish, pehle, baad
    """,
    asking="क्या, कब, कहाँ, कहां, कौन, क्यों, कैसे, कितना, कितने, kya, kab, kahan, kaha, kaun, kyun, kaise, kitna, kitne",
    alternatives="या, ya",
)
