"""Sentences of several languages with abbreviations, quotations, numbers and dates."""

# ruff: noqa: RUF001

import pytest

from hf_knowlearn.documents.sentences import sentences

# Language -> texts. The mark | separates the expected sentences.
TEXTS = {
    "de": [
        "Am 3. Mai kam er. |Sie kam am 4. Juni 1990 nach Berlin.",
        "Mo, 4. Mai: Die Sitzung beginnt um 9 Uhr. |Di, 5. Mai: Pause.",
        "Es gibt z. B. Äpfel, d. h. Obst. |Dr. Maier u. a. kamen.",
        "Im 19. Jahrhundert wuchs die Stadt. |Ludwig XIV. regierte lange. |Heinrich VIII. starb 1547.",
        "Er sagte: „Ich komme. Warte!“ |Dann ging er.",
        "Der Preis stieg um 3,5 % auf 1.200,50 €. |Das war 2019.",
        "Die Gemeinde liegt bei Nordheim. |1768 zerstörte ein Brand den Ort. 1770 wurde er aufgebaut.",
        "Vgl. Abs. 3 Nr. 4 BGB. |Siehe S. 12 ff. im Buch. |Das gilt bzgl. Art. 5.",
        "Die 2. Auflage erschien im Verlag J. B. Metzler. |Sie hat 300 S. und kostet 20 Euro.",
        "Er wohnt in der Goethestr. 5 in St. Gallen. |Prof. Dr. h. c. Meier lebt dort.",
        "Er kam am 3. |Danach ging er.",
        "»Komm!«, rief sie. |»Jetzt nicht«, sagte er.",
        "Das Konzert ist am 24.12.2020. |Karten gibt es ab 10 Uhr.",
        "Wilhelm II. dankte ab. |Der 1. FC Köln gewann 3:2.",
        "Die Firma hat ca. 50 Mio. Euro Umsatz. |Sie wächst.",
        "Um 9.30 Uhr beginnt es. |Um 14.45 Uhr endet es.",
        "Die Version 1.2.3 läuft. |Siehe www.example.de. |Dort steht es.",
        "„Kommst du?“, fragte sie. |„Ja.“ |Er nickte.",
    ],
    "fr": [
        "M. Dupont est arrivé. |Mme Martin et MM. Blanc sont partis.",
        "Il a dit : « Je viens. Attends ! » |Puis il est parti.",
        "Le taux est de 3,5 % en 2019. |Il a baissé.",
        "Né le 1er mai 1900 à Paris. |Il est mort en 1968. |1970 fut une autre année.",
        "Cf. p. 12 du livre. |C'est-à-dire, etc. Il continue.",
        "Où va-t-il ? |Il va à Lyon ! |Bien sûr.",
        "Le Dr. Roux habite au 12, av. Foch. |Il est médecin.",
        "J.-C. Martin et A. Dupont sont venus. |Ils sont repartis.",
        "Il habite à St. Malo. |Le n° 5 est rouge. |Cela suit de l'art. 3 du code.",
        "« Je pars. Adieu », dit-il. |Elle pleura.",
        "Le 1er janv. 2020, il neigea. |Le 14 juill. est férié.",
    ],
    "es": [
        "El Sr. García llegó. |La Sra. López y la Dra. Ruiz se fueron.",
        "¿Dónde está? |¡Aquí! |Ya viene.",
        "Dijo: «Ya voy. Espera». |Luego se fue.",
        "El 3 de mayo de 1990 subió un 3,5 %. |Bajó en 1991. |1992 fue mejor.",
        "Véase la pág. 12, núm. 4. |EE. UU. es un país. |Ud. lo sabe.",
        "Vive en la Av. Libertad n.º 5. |Es médico, etc. Trabaja mucho.",
        "S. M. el Rey Felipe VI. visitó la ciudad. |El s. XIX fue largo.",
        "La Dña. Ana pesa aprox. 60 kg. Vive aquí.",
        "¿Vienes? —preguntó ella. |—Sí. |Él asintió.",
        "Abre a las 9.30 h. |Cierra a las 10 p. m. y descansa el lunes.",
    ],
    "ru": [
        "Он родился в г. Москва. |Она живёт на ул. Ленина, д. 5.",
        "В 1990 г. он уехал. |В XIX в. город вырос.",
        "Рост составил 3,5 % в 2019 году. |Это много.",
        "А. С. Пушкин родился в 1799 г. Он был поэтом.",
        "Он сказал: «Я иду. Подожди!» |Потом ушёл.",
        "Т. е. это так, и т. д. Вот пример, напр. такой.",
        "3 мая 1990 г. Иван приехал. |Он жил с 1900 по 1950 гг. в Киеве.",
        "Население — 2 млн. человек. |Площадь — 5 кв. км.",
        "Музей им. Ленина закрыт. |См. рис. 3 на стр. 5.",
        "— Ты идёшь? — спросила она. |Он кивнул.",
        "Открыто с 9.30 до 17.00. |В пн. закрыто.",
    ],
    "ja": [
        "東京は日本の首都です。|人口は約1400万人です。",
        "彼は「行きます。待って！」と言った。|そして去った。",
        "3.5%増加した。|1990年5月3日に生まれた。",
        "これは何ですか？|本です！",
        "株式会社A.B.C.は東京にある。|社長は山田さんだ。",
        "今日は晴れ。 |明日は雨。",
        "（注意。重要です。）次に進む。",
        "バージョン1.2.3が動く。|www.example.jpを見よ。|そこにある。",
        "午前9時30分に始まる。|「はい。」|「いいえ。」",
    ],
    "zh": [
        "北京是中国的首都。|人口约2154万。",
        "他说：“我来了。等等！”|然后他走了。",
        "增长了3.5%。|他生于1990年5月3日。",
        "这是什么？|这是书！",
        "《红楼梦》是小说。|作者是曹雪芹。",
        "他问：「你去哪里？」|她没有回答。",
        "他犹豫了……然后来了。|为什么？|因为！",
        "上午9:30开始。|“好。”|“不。”",
    ],
    "ar": [
        "القاهرة عاصمة مصر. |عدد سكانها كبير.",
        "أين هو؟ |إنه هنا! |نعم.",
        "وُلد د. أحمد في 3 مايو 1990. |توفي عام 2000.",
        "ارتفع بنسبة 3.5 ٪ في 2019. |ثم انخفض.",
        "قال: «أنا قادم. انتظر!» |ثم ذهب.",
        "الإصدار 1.2.3 يعمل. |انظر www.example.com. |إنه هناك.",
        "السعر ١٫٥ دولار. |الوزن ٣٫٥ كغ.",
    ],
    "hi": [
        "दिल्ली भारत की राजधानी है। |इसकी जनसंख्या बड़ी है।",
        "डॉ. शर्मा आए। |श्री. वर्मा गए।",
        "वृद्धि १.५ प्रतिशत है। |यह 3.5 % थी।",
        "वह कहाँ है? |वह यहाँ है! |हाँ।",
        'उसने कहा, "मैं आता हूँ। रुको!" |फिर वह चला गया।',
        "ए. पी. जे. अब्दुल कलाम राष्ट्रपति थे। |वे वैज्ञानिक थे।",
        "रु. 500 का नोट है। |यह नया है।",
        "कीमत ₹1,200.50 है। |यह सस्ता है।",
        "वह आया. |वह गया. |यह अच्छा है.",
    ],
    "en": [
        "He came in May. |Ormel is a town. |It burned in May. |1768 was a bad year.",
        "Mon, May 4. |Tue, May 5.",
        "He lives at No. 5, St. James St. in London. |Sales rose 3.5 % in Q1. |Fine.",
        "It was founded c. 1850. |Jan. 5 is the date. |In Sept. 1990 it closed.",
        "Gen. Lee met Sen. Smith at 5 p.m. Monday. |He left.",
        "See Fig. 3. |It shows vol. 2, pp. 3-5, et al. and so on.",
        "Is it Mr. or Mrs.? |Yes.",
        "He won in 2003. |2004 was worse. |In 2005, 17 came.",
    ],
}


@pytest.mark.parametrize(("language", "text"), [(code, text) for code, texts in TEXTS.items() for text in texts])
def test_a_text_has_exactly_these_sentences(language: str, text: str):
    expected = [part.strip(" ") for part in text.split("|")]
    assert sentences(text.replace("|", ""), language).texts == expected


# One sentence each: the full stop belongs to an abbreviation, an initial, a title or an ordinal.
ONE_SENTENCE = {
    "de": """
        Dr. med. Huber kam; z.B. Äpfel; i. d. R. Montag; Prof. Meier kam; Dipl.-Ing. Meier kam; Karl-H. Meier kam;
        inkl. MwSt. Versand; Hrsg. Müller; geb. Schmidt; die 5. Klasse; im 3. Jh. v. Chr. Rom; der 1. FC Köln;
        der 30. Geburtstag; jeden 1. Sonntag; im Okt. Regen; den 4. Mai 2020; Mo., 4. Mai; § 5 Abs. 2 S. 1 gilt;
        2. Aufl. Berlin 1990; Anm. d. Red. Hier; ehem. Bürgermeister; zzgl. Versand; St. Gallen; bzw. Birnen
    """,
    "fr": """
        M. Dupont vint; Mgr. Martin vint; Mlle. Anne vint; le gén. Leclerc vint; J.-P. Sartre vint; p. ex. Paris;
        en janv. 1990; l'art. 5 dit; le vol. 3 dit; nos. 5 et 6; éd. Gallimard; coll. Folio; le t. II parut
    """,
    "es": """
        Dña. Ana vino; p. ej. Madrid; aprox. 5 km; EE. UU. Es; ene. 1990; Mons. López vino; núm. 4 es; D. Juan vino;
        la Sra. López vino; Fco. López vino
    """,
    "ru": """
        в г. Москва; им. Ленина; св. Николай жил; оз. Байкал; до н. э. Рим вырос; табл. 2 здесь; доц. Иванов;
        янв. 1990; млн. Рублей; напр. Москва; А. С. Пушкин; р. Волга; т. е. Иван
    """,
    "ar": "د. أحمد جاء; أ.د. محمد جاء; ص.ب. 123 هنا; ق.م. روما; م. خالد جاء",
    "hi": "डॉ. शर्मा आए; श्री. वर्मा गए; रु. 500 है; ई.पू. 500 में; एम. एस. धोनी आए; कि.मी. दूर है",
    "en": """
        vol. 2 says; at 5 p.m. Monday he left; at 5 a.m. EST he left; Atty. Gen. Smith came; 2nd ed. London; No. 5 is;
        Sen. Smith came; J. R. R. Tolkien wrote; approx. Five came; D. Silva came
    """,
    "it": "il dott. Rossi venne; la sig.ra Bianchi venne; l'art. 5 dice",
    "pt": "a Profa. Costa veio; o art. 5 diz; a Dra. Costa veio",
}


@pytest.mark.parametrize(
    ("language", "text"),
    [(code, " ".join(text.split())) for code, texts in ONE_SENTENCE.items() for text in texts.split(";")],
)
def test_an_abbreviation_or_an_ordinal_does_not_end_a_sentence(language: str, text: str):
    assert sentences(f"Here {text}", language).texts == [f"Here {text}"]


def test_the_region_of_a_language_does_not_matter():
    text = "Am 3. Mai kam er. Mo, 4. Mai: Pause."
    expected = ["Am 3. Mai kam er.", "Mo, 4. Mai: Pause."]
    for code in ("de", "de-AT", "de_CH", "DE"):
        assert sentences(text, code).texts == expected


def test_the_rules_of_one_language_do_not_apply_to_another():
    assert len(sentences("He had 3. Dogs bark.", "en").texts) == 2
    assert len(sentences("Il vint. 1990 fut froid.", "fr").texts) == 2
    assert len(sentences("L'art. Il est beau.", "fr").texts) == 2  # a number follows the abbreviation "art."
