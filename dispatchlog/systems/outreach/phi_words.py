"""Words by which a text says something about somebody's health, in the languages of patients. Data.

Beginnings of words, without accents and in small letters; those that end in "$" are whole words.
"""

from __future__ import annotations

DIAGNOSES = """
abortion aids$ alcoholism alzheimer anaemi anemi aneurysm angina anorexi anxiety arrhythmi arthrit asthma
autis bipolar bronchit bulimi cancer carcinom cardiomyopath cataract cervical chemotherap chlamydi cholera
cirrhos colitis colonoscop copd$ covid crohn depression dementia dengue dermatitis diabet dialys eczema
emphysem endometrio epilep fertilit fibroid fibromyalgi genetic$ gestational glaucoma goitre gonorrh gout$
haemophili heart$-attack hemophili hepatit hernia herpes hiv$ hpv$ hypercholesterol hypertens hyperthyroid
hypoglyc hypothyroid infertil insomnia ivf$ leukaemi leukemi lupus lymphom malaria malignan mammogra melanom
meningit menopaus metasta migraine miscarriage multiple$-sclerosis myelom nephropath neuropath obesity oncolog
osteoporo overdose pancreatit panic$-attack paraly parkinson pneumoni polio$ postnatal pregnan prenatal
prostat psoria psychiatr psychos ptsd$ radiotherap rehab relapse renal$ retinopath rheumat schizo sciatica
scoliosis seizure sepsis sickle std$ sti$ stroke$ suicid syphilis tachycardi thalass thrombo thyroid tonsillit
tubercul tumor tumour typhoid ulcer urolog vasectom vertigo

aa$-meeting addiction alcoholics$-anonymous behavioral$-health behavioural$-health biops cardiolog cd4$ chemo$
detox eating$-disorder gender$-affirm gender$-clinic gender$-identity hormone$-therapy hospice maternity
memory$-clinic mental$-health mri$ narcotics$-anonymous palliati pap$-smear pap$-test sleep$-study tb$
ultrasound viral$-load weight$-loss wound$-care

alergi asma$ ansiedad cardiopat ceguera cirugia$-de demencia depresion derrame desnutricion embaraz enfermedad
esquizofreni hepatic infarto insuficiencia leucemi linfom migrana neumoni paludismo sida$ sifilis sobredosis
quimioterap tuberculos trastorno vih$ verrug carga$-viral cuidados$-paliativos desintoxica ecograf maternidad
resonancia$-magnetica salud$-mental

anxiete avortement cancereux chimiotherap demence depressif diabete drepanocyt enceinte grossesse hypertendu
insuffisance maladie paludeen schizophren sclerose$-en$-plaques toxicoman vih$ surpoids charge$-virale
echograph irm$ maternite sante$-mentale

ansiedade autismo cancro cardiac$ deficienc depressao doenca epilepsia esquizofren gravid gestacao hanseniase
hipertens infarto$ insonia leucemia obesidade pressao$-alta quimio transtorno tuberculose ressonancia$-magnetica
saude$-mental

سرطان السرطان سكري السكري السكر$ سكر$ الإيدز ايدز الايدز السل$ اكتئاب الاكتئاب ربو$ الربو$ صرع$ الصرع$ حامل$
الحمل$ حملك$ ورم$ الورم$ سرطاني التهاب فصام الفصام جلطة الجلطة ملاريا الملاريا كيماوي الكيماوي ضغط$-الدم
فشل$-كلوي السمنة الزهري انيميا

मधुमेह कैंसर कैन्सर डायबिटीज एड्स एचआईवी टीबी$ क्षय$ गर्भ अवसाद दमा$ अस्थमा मिर्गी रक्तचाप हृदय$-रोग
कीमोथेरेपी डिप्रेशन मलेरिया थायराइड हेपेटाइटिस सिज़ोफ्रेनिया बीमारी रोग$ ट्यूमर

jejere itosugbe aisan oyun$ warapa eje$-riru iko-fee
"""

MEDICINES = """
abacavir acetaminophen acyclovir adalimumab albuterol allopurinol alprazolam amiodarone amitriptyline
amlodipin amoxicil amoxycil antabuse antidepress antipsychot antiretrovir apixaban aripiprazol artemether
aspirin atenolol atorvastatin augmentin azithromycin baclofen bisoprolol budesonid buprenorphin bupropion
candesartan captopril carbamazepin carbidopa carvedilol cefixim ceftriaxon cephalexin cetirizin ciprofloxacin
cisplatin citalopram clonazepam clopidogrel clozapin codein coartem contracepti cotrimoxazol dapagliflozin
diazepam diclofenac digoxin diltiazem dolutegravir donepezil doxycyclin duloxetin efavirenz empagliflozin
enalapril enoxaparin escitalopram esomeprazol estradiol ethambutol fentanyl fluconazol fluoxetin fluticason
furosemid gabapentin gliclazid glimepirid glipizid glyburid haloperidol humira hydrochlorothiazid
hydroxychloroquin hydroxyurea ibuprofen imatinib insulin$ insulina insuline isoniazid ivermectin ketamin
lamivudin lamotrigin lansoprazol letrozol levetiracetam levodopa levothyrox levothyroxin lipitor lisinopril
lithium$ litio$ loperamid loratadin lorazepam losartan meloxicam memantin metformin methadon methotrexat
methylphenidat metoprolol metronidazol mifepriston misoprostol mirtazapin montelukast morphin naloxon
naltrexon naproxen nevirapin nifedipin nitrofurantoin nitroglycerin olanzapin omeprazol ondansetron oxycodon
ozempic pantoprazol paracetamol paroxetin penicil phenytoin pioglitazon prednison prednisolon pregabalin
propranolol prozac quetiapin quinin$ ramipril ranitidin rifampic risperidon ritalin rivaroxaban rosuvastatin
salbutamol semaglutid sertralin sildenafil simvastatin sitagliptin spironolacton suboxon sumatriptan tamoxifen
tamsulosin tenofovir testosteron topiramat tramadol trazodon trastuzumab truvada valproat valsartan venlafaxin
ventolin verapamil viagra warfarin xanax zidovudin zoloft zolpidem

accutane adderall botox epipen isotretinoin mounjaro plan$-b$ prep$-clinic prep$-pill prep$-prescription
prep$-refill saxenda vyvanse wegovy zepbound

انسولين الأنسولين الانسولين ميتفورمين باراسيتامول أموكسيسيلين اموكسيسيلين وارفارين مورفين أسبرين اسبرين
इंसुलिन मेटफॉर्मिन पैरासिटामोल एस्पिरिन वारफारिन मॉर्फिन एमोक्सिसिलिन metformina amoxicilina paracetamol
ibuprofeno losartana levotiroxina sertralina fluoxetina enalapril$ warfarina metformine amoxicilline
ibuprofene
"""

# Beside a figure or a finding they make it a result.
MEASURES = """
a1c$ hba1c$ glucose glucosa glycemi glycaemi glicemi glucemi cholesterol colesterol ldl$ hdl$ triglycerid
creatinin creatinine haemoglobin hemoglobin hemoglobina viral$-load carga$-viral charge$-virale cd4$ psa$ tsh$
inr$ egfr$ bmi$ imc$ spo2$ platelet leucocyt leukocyt wbc$ rbc$ potassium sodium bilirubin ferritin troponin
blood$-pressure blood$-sugar presion$-arterial pressao$-arterial tension$-arterielle bp$ هيموجلوبين سكر$
كوليسترول हीमोग्लोबिन कोलेस्ट्रॉल शुगर
"""

TESTS = """
test$ tests$ tested$ result$ results$ biopsy biops smear$ scan$ x-ray$ xray$ mri$ culture$ swab$ screening$
prueba resultado examen$ exame$ analisis analise resultat depistage frottis irm$ تحليل التحليل نتيجة نتيجتك
النتيجة فحص الفحص जांच परिणाम टेस्ट रिपोर्ट ayewo esi$
"""

FOUND = """
positive$ negative$ reactive$ nonreactive$ abnormal$ detected$ undetectable$ malignant$ benign$ elevated$ low$
high$ inconclusive$ positivo$ positiva$ negativo$ negativa$ anormal$ alterado$ alterada$ reactivo$ reactiva$
positif$ positive$ negatif$ negative$ anormaux$ anormale$ eleve$ reagente$ إيجابية إيجابي ايجابية ايجابي سلبية
سلبي पॉजिटिव नेगेटिव पॉज़िटिव सकारात्मक नकारात्मक
"""

IDENTIFIED = """
mrn$ medical$-record medical$-record$-no record$-number patient$-id patient$-number chart$-number
hospital$-number ssn$ social$-security emirates$-id passport insurance$-number policy$-number member$-id nhs$
nin$ aadhaar cpf$ curp$ dni$ national$-id expediente historia$-clinica numero$-de$-paciente prontuario
cartao$-sus dossier$-medical numero$-de$-securite الهوية رقم$-الملف رقم$-المريض आधार मरीज$-संख्या
"""

BORN = """
dob$ d$-o$-b$ date$-of$-birth birth$-date birthdate$ birthday$ born$ fecha$-de$-nacimiento nacido$ nacida$
nacio$ date$-de$-naissance ne$-le$ nee$-le$ data$-de$-nascimento nascido$ nascida$ nascimento$ تاريخ$-الميلاد
مواليد जन्म$ जन्मतिथि ojo$-ibi$
"""
